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

// Proxies are the trusted proxies. The forwarding headers of other peers are ignored.
type Proxies struct {
	networks []netip.Prefix
	// names are in the client certificates of proxies, as DNS names or URIs.
	names []string
}

// ParseProxies parses a comma-separated list of networks (10.0.0.0/8), addresses, and names in client certificates.
// Names are an error without hasClientCA.
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
	// Via is the proxy that named Address. Address may be forged if clients reach the server from the proxy's network.
	// Via is the zero Addr if the client connected directly.
	Via netip.Addr
}

// forwarding are the headers of proxies.
var forwarding = []string{"X-Forwarded-For", "X-Forwarded-Proto"}

// Client returns where a request comes from, and whether the client uses HTTPS. If the peer is a trusted proxy,
// X-Forwarded-Proto decides about HTTPS, and the address is the last one in X-Forwarded-For that is not a proxy's. The
// headers of other peers are ignored; isIgnored reports that the request has some.
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
			break // a client may have forged the entries before an invalid one
		}
		from = Origin{Address: forwarded, Via: peer}
		if !p.contains(forwarded) {
			break
		}
	}
	return from, isHTTPS, false
}

// Ignored warns about ignored forwarding headers: --trusted-proxies lacks a proxy, or a client forges them. It warns at
// most once a minute, because anybody can send such headers.
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

// parseHop parses an address with or without a port.
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
