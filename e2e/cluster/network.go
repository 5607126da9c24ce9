package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// The network of a cluster is one bridge on the host, with one cable to each
// node's network namespace. Routes lead from the host and from every node to
// each node's Pods, so that nothing on the way translates or forwards, and no
// setting of the host changes.

// reserveNetwork picks addresses that nothing on the host uses, starting where
// the cluster's name says, and makes the bridge that claims them. Callers hold
// the host-wide lock.
func reserveNetwork(c *Cluster) error {
	taken, err := usedNets()
	if err != nil {
		return err
	}
	first, span := firstOctet(c.Name), maxOctet-minOctet+1
	for i := range span {
		c.Octet = minOctet + (first-minOctet+i)%span
		if !overlapsAny(c.wholeNet(), taken) {
			if err := c.save(); err != nil {
				return err
			}
			return addBridge(c)
		}
	}
	return errors.New("finding free addresses: every 10.64.0.0/16 to 10.254.0.0/16 is in use")
}

func overlapsAny(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) {
			return true
		}
	}
	return false
}

// usedNets lists the host's networks: its addresses' and its routes', without
// default routes.
func usedNets() ([]netip.Prefix, error) {
	var nets []netip.Prefix
	add := func(n *net.IPNet) {
		if n == nil {
			return
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		ones, _ := n.Mask.Size()
		if ok && ones > 0 {
			nets = append(nets, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range addrs {
		add(a.IPNet)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		add(r.Dst)
	}
	return nets, nil
}

func addBridge(c *Cluster) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.id()}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding bridge %s: %w", c.id(), err)
	}
	if err := netlink.AddrAdd(bridge, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(c.hostIP(), 24))}); err != nil {
		return fmt.Errorf("giving bridge %s its address: %w", c.id(), err)
	}
	if err := netlink.LinkSetAlias(bridge, c.networkAlias()); err != nil {
		return fmt.Errorf("describing bridge %s: %w", c.id(), err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("bringing up bridge %s: %w", c.id(), err)
	}
	return nil
}

// networkAlias is the bridge's description, which tells whose it is.
func (c *Cluster) networkAlias() string {
	const limit = 250
	alias := "Kubernetes of " + c.Dir
	return alias[:min(limit, len(alias))]
}

// networkOwner returns the description of the bridge of the cluster's name,
// and nothing when there is no such bridge.
func networkOwner(c *Cluster) (string, error) {
	link, err := netlink.LinkByName(c.id())
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for bridge %s: %w", c.id(), err)
	}
	return cmp.Or(link.Attrs().Alias, "not described"), nil
}

// connectNode makes a node's network namespace and its cable, and the routes
// between it, the host and the nodes before it.
func connectNode(c *Cluster, index int) error {
	if err := newNetns(c.netID(index)); err != nil {
		return err
	}
	ns, err := netns.GetFromName(c.netID(index))
	if err != nil {
		return fmt.Errorf("opening network namespace %s: %w", c.netID(index), err)
	}
	defer ns.Close()
	bridge, err := netlink.LinkByName(c.id())
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", c.id(), err)
	}
	cable := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: c.netID(index), MasterIndex: bridge.Attrs().Index},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(int(ns)),
	}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("adding link %s: %w", c.netID(index), err)
	}
	if err := netlink.LinkSetUp(cable); err != nil {
		return fmt.Errorf("bringing up link %s: %w", c.netID(index), err)
	}
	if err := configureNode(c, ns, index); err != nil {
		return fmt.Errorf("setting up network namespace %s: %w", c.netID(index), err)
	}
	return routeNode(c, index)
}

// configureNode sets up the node's side of the cable.
func configureNode(c *Cluster, ns netns.NsHandle, index int) error {
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if name == "eth0" {
			if err := h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(c.nodeIP(index), 24))}); err != nil {
				return err
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
	}
	if err := addRoute(h, netip.MustParsePrefix("0.0.0.0/0"), c.hostIP()); err != nil {
		return err
	}
	for other := 1; other < index; other++ {
		if err := addRoute(h, c.nodePodNet(other), c.nodeIP(other)); err != nil {
			return err
		}
	}
	return nil
}

// routeNode leads the host and the nodes before this one to its Pods, and the
// host to the Services by way of the first node.
func routeNode(c *Cluster, index int) error {
	host, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	defer host.Close()
	if err := addRoute(host, c.nodePodNet(index), c.nodeIP(index)); err != nil {
		return err
	}
	if index == 1 {
		return addRoute(host, c.serviceNet(), c.nodeIP(index))
	}
	for other := 1; other < index; other++ {
		if err := inNetns(c.netID(other), func() error {
			h, err := netlink.NewHandle()
			if err != nil {
				return err
			}
			defer h.Close()
			return addRoute(h, c.nodePodNet(index), c.nodeIP(index))
		}); err != nil {
			return err
		}
	}
	return nil
}

func addRoute(h *netlink.Handle, to netip.Prefix, via netip.Addr) error {
	if err := h.RouteReplace(&netlink.Route{Dst: ipNet(to), Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("adding a route to %s by %s: %w", to, via, err)
	}
	return nil
}

// disconnect removes whatever there is of the cluster's network. Routes go
// with the bridge.
func disconnect(c *Cluster) error {
	var errs []error
	names := []string{c.id()}
	for i := 1; i <= maxNodes; i++ {
		names = append(names, c.netID(i))
		if err := deleteNetns(c.netID(i)); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			errs = append(errs, fmt.Errorf("removing link %s: %w", name, err))
		}
	}
	// The directory may hold others' namespaces, or be a mount: then it stays.
	_ = os.Remove(filepath.Dir(netnsPath("x")))
	return errors.Join(errs...)
}

func netnsPath(name string) string { return filepath.Join("/run/netns", name) }

// newNetns makes a named network namespace; ip netns lists it.
func newNetns(name string) error {
	return onThread(func() error {
		ns, err := netns.NewNamed(name)
		if err != nil {
			return fmt.Errorf("making network namespace %s: %w", name, err)
		}
		return ns.Close()
	})
}

func deleteNetns(name string) error {
	err := netns.DeleteNamed(name)
	path := netnsPath(name)
	if _, statErr := os.Stat(path); errors.Is(statErr, os.ErrNotExist) {
		return nil
	}
	if removeErr := os.Remove(path); removeErr != nil {
		return fmt.Errorf("removing network namespace %s: %w", name, errors.Join(err, removeErr))
	}
	return nil
}

// inNetns calls f in a named network namespace. Processes that f starts are
// born there.
func inNetns(name string, f func() error) error {
	return onThread(func() error {
		ns, err := netns.GetFromName(name)
		if err != nil {
			return fmt.Errorf("opening network namespace %s: %w", name, err)
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", name, err)
		}
		return f()
	})
}

// onThread calls f on a thread of its own, which ends with f, so that the
// namespaces f enters affect nothing else.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
