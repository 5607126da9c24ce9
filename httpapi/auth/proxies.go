package auth

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Proxies are the proxies whose forwarding headers count.
type Proxies struct {
	networks []netip.Prefix
	// names are in the client certificates of proxies, as DNS names or URIs.
	names []string
}

// ParseProxies reads networks (10.0.0.0/8), addresses, and names of client certificates, separated by commas. Names
// need client certificates.
func ParseProxies(list string, hasClientCA bool) (Proxies, error) {
	var p Proxies
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if address, err := netip.ParseAddr(entry); err == nil {
			p.networks = append(p.networks, netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()))
			continue
		}
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			p.networks = append(p.networks, prefix.Masked())
			continue
		}
		if strings.ContainsAny(entry, " \t") || strings.Contains(entry, "/") && !strings.Contains(entry, "://") {
			return Proxies{}, fmt.Errorf(
				"%q is neither a network such as 10.0.0.0/8 nor a name in a client certificate", entry)
		}
		if !hasClientCA {
			return Proxies{}, fmt.Errorf("%q is the name in a client certificate, which needs --client-ca", entry)
		}
		p.names = append(p.names, strings.ToLower(entry))
	}
	return p, nil
}

// Origin is where a request comes from.
type Origin struct {
	// Address is that of the client.
	Address netip.Addr
	// Via is the proxy that named Address, which may be forged if others can send to the proxy's network. It is no
	// address if the client itself is connected.
	Via netip.Addr
}

// forwarding are the headers of proxies.
var forwarding = []string{"X-Forwarded-For", "X-Forwarded-Proto"}

// Client returns where a request comes from, and whether the client uses HTTPS. The headers X-Forwarded-For and
// X-Forwarded-Proto count only if the peer is a proxy; isIgnored reports that they are there and do not count. The
// address is then the last one in X-Forwarded-For that is not a proxy's.
func (p Proxies) Client(r *http.Request) (from Origin, isHTTPS, isIgnored bool) {
	isHTTPS = r.TLS != nil
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from.Address = peer.Addr().Unmap()
	}
	peer := from.Address
	if !p.isProxy(r, peer) {
		return from, isHTTPS, slices.ContainsFunc(forwarding, func(h string) bool { return r.Header[h] != nil })
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) > 0 {
		last := strings.Split(proto[len(proto)-1], ",")
		isHTTPS = strings.EqualFold(strings.TrimSpace(last[len(last)-1]), "https")
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		forwarded, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break // What stands before it is not known to come from a proxy.
		}
		from = Origin{Address: forwarded, Via: peer}
		if !p.contains(forwarded) {
			break
		}
	}
	return from, isHTTPS, false
}

// Ignored says that headers of a proxy do not count, which is a mistake in the flags or somebody's attempt. It does so
// once a minute, because anybody can send them.
type Ignored struct {
	mu   sync.Mutex
	last time.Time
}

// Log logs the address of a peer whose headers are ignored.
func (i *Ignored) Log(log *slog.Logger, peer netip.Addr, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if since := now.Sub(i.last); since >= 0 && since < time.Minute {
		return
	}
	i.last = now
	log.Warn("ignoring X-Forwarded-For and X-Forwarded-Proto of a peer. If the peer is your proxy, add its network to "+
		"--trusted-proxies (KONTROLER_TRUSTED_PROXIES)", "peer", peer.String())
}

// parseHop reads an address, with or without a port.
func parseHop(hop string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return address.Unmap().WithZone(""), true
	}
	if both, err := netip.ParseAddrPort(hop); err == nil {
		return both.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func (p Proxies) contains(address netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// isProxy reports whether the peer of a request is a proxy, by its address or its certificate.
func (p Proxies) isProxy(r *http.Request, peer netip.Addr) bool {
	if p.contains(peer) {
		return true
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	leaf := r.TLS.VerifiedChains[0][0]
	isNamed := func(name string) bool { return slices.Contains(p.names, strings.ToLower(name)) }
	for _, uri := range leaf.URIs {
		if isNamed(uri.String()) {
			return true
		}
	}
	return slices.ContainsFunc(leaf.DNSNames, isNamed)
}
