package webhook

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// Guard decides which addresses webhooks may reach. The zero Guard refuses the addresses that are always refused:
// loopback, unspecified, link-local, multicast and reserved ones, and those of cloud metadata services. Private
// addresses are allowed, because most receivers are Services of the cluster.
type Guard struct {
	denied []netip.Prefix
}

// NewGuard makes a Guard that also refuses the networks in list: CIDRs or single addresses, separated by commas. The
// error names every entry that is neither.
func NewGuard(list string) (Guard, error) {
	var g Guard
	var invalid []string
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(entry)
		if addr, addrErr := netip.ParseAddr(entry); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			invalid = append(invalid, fmt.Sprintf("%q", entry))
			continue
		}
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		g.denied = append(g.denied, prefix.Masked())
	}
	if len(invalid) > 0 {
		return Guard{}, fmt.Errorf("not a network such as 10.0.0.0/8 or fd00::/8: %s", strings.Join(invalid, ", "))
	}
	return g, nil
}

// refusedError says why an address is refused.
type refusedError string

func (e refusedError) Error() string { return string(e) }

// control checks the address of a connection that a net.Dialer is about to make.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q is refused: not an IP address", address)
	}
	return g.check(to.Addr())
}

// check returns an error if an address may not be reached. It names the address and says why.
func (g Guard) check(addr netip.Addr) error {
	for _, form := range forms(addr) {
		if why := g.refusal(form); why != "" {
			return refusedError(fmt.Sprintf("address %s is refused: %s", addr, why))
		}
	}
	return nil
}

// metadata are the addresses of cloud metadata services, which also serve credentials, except the link-local
// 169.254.169.254.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"), netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("fd00:42::42"),
}

var (
	// thisNetwork is "this host on this network" (RFC 1122). Linux treats most of these addresses as local.
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	reserved    = netip.MustParsePrefix("240.0.0.0/4")
)

// refusal returns why an address is refused. Empty means that it is allowed.
func (g Guard) refusal(addr netip.Addr) string {
	switch {
	case addr.IsLoopback():
		return "loopback"
	case addr.IsUnspecified(), thisNetwork.Contains(addr):
		return "unspecified"
	case addr == netip.AddrFrom4([4]byte{169, 254, 169, 254}):
		return "a cloud metadata service"
	case addr.IsLinkLocalUnicast():
		return "link-local"
	case addr.IsMulticast():
		return "multicast"
	case reserved.Contains(addr):
		return "broadcast or reserved"
	}
	for _, m := range metadata {
		if addr == m {
			return "a cloud metadata service"
		}
	}
	for _, prefix := range g.denied {
		if prefix.Contains(addr) {
			return "--webhook-deny has " + prefix.String()
		}
	}
	return ""
}

// embeddings are the IPv6 networks whose addresses contain an IPv4 address, and the positions of its four bytes.
var embeddings = []struct {
	prefix   netip.Prefix
	at       [4]int
	inverted bool
}{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}, false},           // IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}, false}, // IPv4-translated
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}, false},    // NAT64
	// NAT64 within a site. RFC 6052 allows prefixes of several lengths.
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}, false},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}, false},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}, false},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}, false},
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}, false},    // 6to4
	{netip.MustParsePrefix("2001::/32"), [4]int{12, 13, 14, 15}, true}, // Teredo
}

// forms returns an address and the IPv4 addresses that it may contain.
func forms(addr netip.Addr) []netip.Addr {
	addr = addr.WithZone("").Unmap()
	all := []netip.Addr{addr}
	if addr.Is4() {
		return all
	}
	bytes := addr.As16()
	for _, e := range embeddings {
		if !e.prefix.Contains(addr) {
			continue
		}
		var v4 [4]byte
		for i, at := range e.at {
			if v4[i] = bytes[at]; e.inverted {
				v4[i] ^= 0xff
			}
		}
		all = append(all, netip.AddrFrom4(v4))
	}
	return all
}
