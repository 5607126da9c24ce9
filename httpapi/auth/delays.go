package auth

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// freeFailures is how many logins of a user from a network may fail before the next one is delayed, by a time that
	// doubles up to maxDelay.
	freeFailures = 5
	maxDelay     = 15 * time.Minute
	// freeOfProxy and maxOfProxy limit in the same way all logins of a user that one proxy forwards, except those from
	// known networks of the user. The addresses that a proxy names may be forged, and an IPv6 client has thousands of
	// networks. Logins from all other networks compete: an attacker who never stops keeps the user out.
	freeOfProxy = 100
	maxOfProxy  = 10 * time.Second
	// maxOwn is how many networks are remembered for each user: those of the latest successful logins, and then those
	// of the user's sessions.
	maxOwn = 8
	// forgetAfter is how long failures are remembered after the last one.
	forgetAfter = time.Hour
	// maxPairs bounds the memory. The pair whose last failure is the oldest is forgotten first.
	maxPairs = 50_000
)

// Delays counts failed logins by user and network, and by user and proxy. Each replica counts on its own.
type Delays struct {
	mu    sync.Mutex
	pairs map[[sha256.Size]byte]*failures
	// own has the known networks of each user, the newest last. Only successful logins add to them.
	own map[string][]string
}

type failures struct {
	count int
	last  time.Time
}

// NewDelays makes a Delays without failures.
func NewDelays() *Delays {
	return &Delays{pairs: map[[sha256.Size]byte]*failures{}, own: map[string][]string{}}
}

// limit is the delay of a pair: none for the first free failures, then one that doubles up to most.
type limit struct {
	pair [sha256.Size]byte
	free int
	most time.Duration
}

// limits returns the limits of a login: that of its network, and that of its proxy if the network is not known.
func (d *Delays) limits(user string, from Origin) []limit {
	network := Network(from.Address)
	all := []limit{{key(user, network), freeFailures, maxDelay}}
	if from.Via.IsValid() && !slices.Contains(d.own[user], network) {
		all = append(all, limit{key(user, "proxy "+from.Via.String()), freeOfProxy, maxOfProxy})
	}
	return all
}

// Begin counts a login as failed before its password is checked, so that concurrent logins are counted too. If wait is
// not zero, nothing was counted, and the caller must refuse the login. Otherwise it must call Succeed or Abandon unless
// the login fails.
func (d *Delays) Begin(user string, from Origin, now time.Time) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.limits(user, from)
	for _, l := range all {
		wait = max(wait, d.wait(l, now))
	}
	if wait > 0 {
		return wait
	}
	for _, l := range all {
		d.count(l, now)
	}
	return 0
}

// wait returns how long a login must wait for a limit.
func (d *Delays) wait(l limit, now time.Time) time.Duration {
	pair := d.pairs[l.pair]
	if pair == nil || now.Sub(pair.last) > forgetAfter || pair.count < l.free {
		return 0
	}
	delay := min(l.most, time.Second<<min(pair.count-l.free, 10))
	return max(0, pair.last.Add(delay).Sub(now))
}

func (d *Delays) count(l limit, now time.Time) {
	pair := d.pairs[l.pair]
	if pair == nil || now.Sub(pair.last) > forgetAfter {
		d.makeRoom(now)
		pair = &failures{}
		d.pairs[l.pair] = pair
	}
	pair.count++
	pair.last = now
}

// Succeed forgets the failures of a user from a network, and remembers the network as one of the user.
func (d *Delays) Succeed(user string, from Origin) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeBack(user, from)
	network := Network(from.Address)
	delete(d.pairs, key(user, network))
	own := slices.DeleteFunc(d.own[user], func(known string) bool { return known == network })
	d.own[user] = append(own[max(0, len(own)-maxOwn+1):], network)
}

// Know adds networks of earlier logins of a user, the newest first. They count as older than those of Succeed.
func (d *Delays) Know(user string, networks []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, network := range networks {
		if own := d.own[user]; len(own) < maxOwn && !slices.Contains(own, network) {
			d.own[user] = slices.Insert(own, 0, network)
		}
	}
}

// Abandon uncounts a login that Begin counted and whose password was not checked.
func (d *Delays) Abandon(user string, from Origin) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeBack(user, from)
}

func (d *Delays) takeBack(user string, from Origin) {
	for _, l := range d.limits(user, from) {
		pair := d.pairs[l.pair]
		if pair == nil {
			continue
		}
		if pair.count--; pair.count <= 0 {
			delete(d.pairs, l.pair)
		}
	}
}

// makeRoom removes expired pairs if there are maxPairs, and the oldest pair if none has expired.
func (d *Delays) makeRoom(now time.Time) {
	if len(d.pairs) < maxPairs {
		return
	}
	var oldest [sha256.Size]byte
	var oldestAt time.Time
	for k, pair := range d.pairs {
		if now.Sub(pair.last) > forgetAfter {
			delete(d.pairs, k)
		} else if oldestAt.IsZero() || pair.last.Before(oldestAt) {
			oldest, oldestAt = k, pair.last
		}
	}
	if len(d.pairs) >= maxPairs {
		delete(d.pairs, oldest)
	}
}

// key hashes the name, so that no password stays in memory: people type passwords where a name belongs.
func key(user, from string) [sha256.Size]byte {
	return sha256.Sum256([]byte(from + "\x00" + user))
}

// Network returns what counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address.
func Network(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}
