package auth

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
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

// Client returns the address of the client of a request, and whether the client uses HTTPS. The headers X-Forwarded-For
// and X-Forwarded-Proto count only if the peer is a proxy. The address is then the last one in X-Forwarded-For that is
// not a proxy's.
func (p Proxies) Client(r *http.Request) (address netip.Addr, isHTTPS bool) {
	isHTTPS = r.TLS != nil
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		address = peer.Addr().Unmap()
	}
	if !p.isProxy(r, address) {
		return address, isHTTPS
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
		address = forwarded
		if !p.contains(address) {
			break
		}
	}
	return address, isHTTPS
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
