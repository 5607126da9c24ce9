package auth

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

const (
	// freeFailures is how many logins of a user from a network may fail before the next one is delayed.
	freeFailures = 5
	// maxDelay bounds the delay, which doubles with each failure.
	maxDelay = 15 * time.Minute
	// forgetAfter is when failures are forgotten, counted from the last one.
	forgetAfter = time.Hour
	// maxPairs bounds the memory. The pair that failed least recently is forgotten first.
	maxPairs = 50_000
)

// Delays counts failed logins by user and network. It is the memory of one replica.
type Delays struct {
	mu    sync.Mutex
	pairs map[[sha256.Size]byte]*failures
}

type failures struct {
	count int
	last  time.Time
}

// NewDelays makes a Delays without failures.
func NewDelays() *Delays { return &Delays{pairs: map[[sha256.Size]byte]*failures{}} }

// Begin counts a login as failed, before its password is checked, so that many at a time are counted too. If the pair
// must wait, nothing is counted, and the login must be refused.
func (d *Delays) Begin(user, network string, now time.Time) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pair := d.pairs[key(user, network)]
	if pair == nil || now.Sub(pair.last) > forgetAfter {
		d.makeRoom(now)
		pair = &failures{}
		d.pairs[key(user, network)] = pair
	}
	if over := pair.count - freeFailures; over >= 0 {
		delay := maxDelay
		if over < 10 {
			delay = min(maxDelay, time.Second<<over)
		}
		if wait = pair.last.Add(delay).Sub(now); wait > 0 {
			return wait
		}
	}
	pair.count++
	pair.last = now
	return 0
}

// Succeed forgets the failures of a user from a network.
func (d *Delays) Succeed(user, network string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pairs, key(user, network))
}

// Abandon takes back a login that was begun and whose password was not checked. A pair without a failure takes no room
// from those that have some.
func (d *Delays) Abandon(user, network string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pair := d.pairs[key(user, network)]
	if pair == nil {
		return
	}
	if pair.count--; pair.count <= 0 {
		delete(d.pairs, key(user, network))
	}
}

// makeRoom removes forgotten pairs if there are too many, and the oldest if all are recent.
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

// key hides the name: people type passwords where a name belongs.
func key(user, network string) [sha256.Size]byte {
	return sha256.Sum256([]byte(network + "\x00" + user))
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
