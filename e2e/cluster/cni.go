package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The CNI plugin gives each Pod a cable to its node and one address. The node's kernel is the only record of
// addresses: an address is in use while the node has a route to it, and the route goes with the Pod's cable, however
// that ends. Nothing can be leaked, and nothing need be found again after a crash.

// cniVersions are the versions of the CNI specification that the plugin speaks, the newest last. containerd configures
// loopback by an old one.
var cniVersions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Codes of errors, as the CNI specification names them.
const (
	cniBadVersion     = 1
	cniBadEnvironment = 4
	cniBadContent     = 6
	cniBadConfig      = 7
	cniFailed         = 100 // what the specification has no code for
)

// cniError is an error with a code of the CNI specification.
type cniError struct {
	code int
	err  error
}

func (e *cniError) Error() string { return e.err.Error() }

func cniErrorf(code int, format string, args ...any) error {
	return &cniError{code: code, err: fmt.Errorf(format, args...)}
}

// cniCall is one call of a plugin.
type cniCall struct {
	plugin    string
	env       map[string]string
	input     []byte
	config    cniConfig
	container string
	netns     string
	ifname    string
}

// cniConfig is what the plugin reads of its configuration.
type cniConfig struct {
	CNIVersion    string          `json:"cniVersion"`
	Name          string          `json:"name"`
	Type          string          `json:"type"`
	PrevResult    json.RawMessage `json:"prevResult,omitempty"`
	RuntimeConfig struct {
		PortMappings []json.RawMessage `json:"portMappings,omitempty"`
	} `json:"runtimeConfig"`
	ValidAttachments []cniAttachment `json:"cni.dev/valid-attachments,omitempty"`
}

type cniAttachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

type cniResult struct {
	CNIVersion string         `json:"cniVersion"`
	Interfaces []cniInterface `json:"interfaces"`
	IPs        []cniIP        `json:"ips"`
	Routes     []cniRoute     `json:"routes,omitempty"`
	DNS        struct{}       `json:"dns"`
}

type cniInterface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type cniIP struct {
	Version   string       `json:"version,omitempty"` // before 1.0.0
	Address   netip.Prefix `json:"address"`
	Gateway   *netip.Addr  `json:"gateway,omitempty"`
	Interface int          `json:"interface"`
}

type cniRoute struct {
	Dst netip.Prefix `json:"dst"`
	GW  netip.Addr   `json:"gw"`
}

// cni is a node's CNI plugin.
type cni struct {
	pods netip.Prefix
	node netip.Addr
	host *netlink.Handle // in the node's network namespace
	// portmap calls the plugin for host ports with a configuration.
	portmap func(ctx context.Context, env map[string]string, config []byte) ([]byte, error)
}

// readCNICall reads what front sends: the plugin's name, its CNI_ variables, an empty string, and its input.
func readCNICall(data []byte) (*cniCall, error) {
	head, input, found := strings.Cut(string(data), "\x00\x00")
	if !found {
		return nil, cniErrorf(cniBadContent, "the call was cut short")
	}
	fields := strings.Split(head, "\x00")
	call := &cniCall{plugin: fields[0], input: []byte(input), env: map[string]string{}}
	for _, field := range fields[1:] {
		name, value, _ := strings.Cut(field, "=")
		call.env[name] = value
	}
	if err := json.Unmarshal(call.input, &call.config); err != nil {
		return nil, cniErrorf(cniBadContent, "reading the configuration: %w", err)
	}
	call.container, call.netns, call.ifname = call.env["CNI_CONTAINERID"], call.env["CNI_NETNS"], call.env["CNI_IFNAME"]
	return call, nil
}

// answer carries out a call and returns the exit status and the output.
func (p *cni) answer(ctx context.Context, data []byte) (status byte, output []byte) {
	version := cniVersions[len(cniVersions)-1]
	call, err := readCNICall(data)
	if err == nil {
		if slices.Contains(cniVersions, call.config.CNIVersion) {
			version = call.config.CNIVersion
		}
		if output, err = p.do(ctx, call); err == nil {
			return 0, output
		}
	}
	code, failure := cniFailed, &cniError{}
	if errors.As(err, &failure) {
		code = failure.code
	}
	output, err = json.Marshal(map[string]any{"cniVersion": version, "code": code, "msg": err.Error()})
	if err != nil {
		return 1, nil
	}
	return 1, output
}

func (p *cni) do(ctx context.Context, call *cniCall) ([]byte, error) {
	command := call.env["CNI_COMMAND"]
	if command == "VERSION" {
		return marshalVersions(call.config.CNIVersion)
	}
	if !slices.Contains(cniVersions, call.config.CNIVersion) {
		return nil, cniErrorf(cniBadVersion, "cniVersion %q: use one of %s",
			call.config.CNIVersion, strings.Join(cniVersions, ", "))
	}
	switch command {
	case "STATUS":
		return nil, nil
	case "GC":
		return nil, p.collect(call)
	}
	needed := []string{"CNI_CONTAINERID", "CNI_IFNAME"}
	if command != "DEL" {
		needed = append(needed, "CNI_NETNS")
	}
	for _, name := range needed {
		if call.env[name] == "" {
			return nil, cniErrorf(cniBadEnvironment, "%s is not set", name)
		}
	}
	switch command {
	case "ADD":
		return p.add(ctx, call)
	case "DEL":
		return nil, p.del(ctx, call)
	case "CHECK":
		return nil, p.check(ctx, call)
	}
	return nil, cniErrorf(cniBadEnvironment, "CNI_COMMAND %q: use ADD, DEL, CHECK, STATUS, GC or VERSION", command)
}

func marshalVersions(asked string) ([]byte, error) {
	if !slices.Contains(cniVersions, asked) {
		asked = cniVersions[len(cniVersions)-1]
	}
	return json.Marshal(map[string]any{"cniVersion": asked, "supportedVersions": cniVersions})
}

const loopbackPlugin = "loopback"

func (p *cni) add(ctx context.Context, call *cniCall) ([]byte, error) {
	ns, err := netns.GetFromPath(call.netns)
	if err != nil {
		return nil, cniErrorf(cniBadEnvironment, "opening CNI_NETNS %s: %w", call.netns, err)
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("entering %s: %w", call.netns, err)
	}
	defer inside.Close()
	if call.plugin == loopbackPlugin {
		return addLoopback(inside, call)
	}
	result, err := p.connect(ns, inside, call)
	if err != nil {
		return nil, err
	}
	output, err := json.Marshal(result)
	if err == nil && len(call.config.RuntimeConfig.PortMappings) > 0 {
		output, err = p.mapPorts(ctx, call, output)
	}
	if err != nil {
		return nil, errors.Join(err, p.disconnect(hostLink(call.container, call.ifname)))
	}
	return output, nil
}

func addLoopback(inside *netlink.Handle, call *cniCall) ([]byte, error) {
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("finding lo: %w", err)
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("bringing up lo: %w", err)
	}
	if len(call.config.PrevResult) > 0 {
		return call.config.PrevResult, nil
	}
	return json.Marshal(cniResult{
		CNIVersion: call.config.CNIVersion,
		Interfaces: []cniInterface{{Name: "lo", MAC: "00:00:00:00:00:00", Sandbox: call.netns}},
		IPs: []cniIP{{
			Version: ipVersion(call.config.CNIVersion), Address: netip.MustParsePrefix("127.0.0.1/8"),
		}},
	})
}

// ipVersion is the member of an address that results have before 1.0.0.
func ipVersion(cniVersion string) string {
	if strings.HasPrefix(cniVersion, "0.") {
		return "4"
	}
	return ""
}

// hostLink names the node's end of an attachment's cable.
func hostLink(container, ifname string) string {
	sum := sha256.Sum256([]byte(container + "/" + ifname))
	return hostLinkPrefix + hex.EncodeToString(sum[:])[:12]
}

const hostLinkPrefix = "pod"

// connect lays the cable of an attachment.
func (p *cni) connect(ns netns.NsHandle, inside *netlink.Handle, call *cniCall) (result *cniResult, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags, attrs.NumTxQueues, attrs.NumRxQueues =
		hostLink(call.container, call.ifname), net.FlagUp, 1, 1
	cable := &netlink.Veth{
		LinkAttrs: attrs, PeerName: call.ifname, PeerNamespace: netlink.NsFd(int(ns)),
		PeerNumTxQueues: 1, PeerNumRxQueues: 1,
	}
	if err := p.host.LinkAdd(cable); err != nil {
		return nil, fmt.Errorf("adding link %s: %w", attrs.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.disconnect(attrs.Name))
		}
	}()
	outer, err := p.host.LinkByName(attrs.Name)
	if err != nil {
		return nil, fmt.Errorf("finding link %s: %w", attrs.Name, err)
	}
	inner, err := inside.LinkByName(call.ifname)
	if err != nil {
		return nil, fmt.Errorf("finding %s in %s: %w", call.ifname, call.netns, err)
	}
	ip, err := p.takeAddress(outer.Attrs().Index, call.container)
	if err != nil {
		return nil, err
	}
	if err := p.configure(inside, inner, ip); err != nil {
		return nil, fmt.Errorf("setting up %s in %s: %w", call.ifname, call.netns, err)
	}
	return &cniResult{
		CNIVersion: call.config.CNIVersion,
		Interfaces: []cniInterface{
			{Name: attrs.Name, MAC: outer.Attrs().HardwareAddr.String()},
			{Name: call.ifname, MAC: inner.Attrs().HardwareAddr.String(), Sandbox: call.netns},
		},
		IPs: []cniIP{{
			Version: ipVersion(call.config.CNIVersion), Address: single(ip), Gateway: &p.node, Interface: 1,
		}},
		Routes: []cniRoute{{Dst: everywhere, GW: p.node}},
	}, nil
}

var everywhere = netip.MustParsePrefix("0.0.0.0/0")

func single(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }

// takeAddress gives a link the first free address from where the container's name says. Adding a route fails where
// there is one: two calls cannot take the same address.
func (p *cni) takeAddress(link int, container string) (netip.Addr, error) {
	sum := sha256.Sum256([]byte(container))
	const reserved = 3 // the network's first two addresses and its last one
	count := uint32(1)<<(32-p.pods.Bits()) - reserved
	first := binary.BigEndian.Uint32(sum[:]) % count
	for i := range count {
		ip := nthAddress(p.pods, 2+(first+i)%count)
		err := p.host.RouteAdd(&netlink.Route{
			LinkIndex: link, Dst: ipNet(single(ip)), Scope: netlink.SCOPE_LINK, Src: p.node.AsSlice(),
		})
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return netip.Addr{}, fmt.Errorf("adding a route to %s: %w", ip, err)
		}
		return ip, nil
	}
	return netip.Addr{}, fmt.Errorf("every address of %s is in use", p.pods)
}

func nthAddress(p netip.Prefix, n uint32) netip.Addr {
	base := p.Addr().As4()
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(base[:])+n)))
}

// configure sets up the Pod's end of the cable: all it sends goes to the node.
func (p *cni) configure(inside *netlink.Handle, link netlink.Link, ip netip.Addr) error {
	if err := inside.AddrAdd(link, &netlink.Addr{IPNet: ipNet(single(ip))}); err != nil {
		return fmt.Errorf("adding address %s: %w", ip, err)
	}
	if err := inside.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing it up: %w", err)
	}
	index := link.Attrs().Index
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: ipNet(single(p.node)), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Dst: ipNet(everywhere), Gw: p.node.AsSlice()},
	} {
		if err := inside.RouteAdd(route); err != nil {
			return fmt.Errorf("adding a route to %s: %w", route.Dst, err)
		}
	}
	return nil
}

// del removes what add has made. Whatever is gone already is no error: the runtime repeats DEL until it succeeds.
func (p *cni) del(ctx context.Context, call *cniCall) error {
	if call.plugin == loopbackPlugin {
		return nil // lo goes with its network namespace
	}
	if len(call.config.RuntimeConfig.PortMappings) > 0 {
		if _, err := p.mapPorts(ctx, call, call.config.PrevResult); err != nil {
			return err
		}
	}
	return p.disconnect(hostLink(call.container, call.ifname))
}

// disconnect removes a cable by its node's end, and with it the route that holds its address.
func (p *cni) disconnect(name string) error {
	link, err := p.host.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = p.host.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing link %s: %w", name, err)
	}
	return nil
}

// check fails unless an attachment is as add has left it.
func (p *cni) check(ctx context.Context, call *cniCall) error {
	ns, err := netns.GetFromPath(call.netns)
	if err != nil {
		return cniErrorf(cniBadEnvironment, "opening CNI_NETNS %s: %w", call.netns, err)
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("entering %s: %w", call.netns, err)
	}
	defer inside.Close()
	if call.plugin == loopbackPlugin {
		_, err := linkUp(inside, "lo")
		return err
	}
	var prev cniResult
	if err := json.Unmarshal(call.config.PrevResult, &prev); err != nil || len(prev.IPs) == 0 {
		return cniErrorf(cniBadConfig, "CHECK needs the prevResult of ADD, with an address")
	}
	outer, err := linkUp(p.host, hostLink(call.container, call.ifname))
	if err != nil {
		return err
	}
	inner, err := linkUp(inside, call.ifname)
	if err != nil {
		return err
	}
	ip := prev.IPs[0].Address.Addr()
	if err := hasAddress(inside, inner, ip); err != nil {
		return err
	}
	if err := hasRoute(p.host, outer, single(ip)); err != nil {
		return err
	}
	if err := hasRoute(inside, inner, everywhere); err != nil {
		return err
	}
	if len(call.config.RuntimeConfig.PortMappings) > 0 {
		_, err = p.mapPorts(ctx, call, call.config.PrevResult)
	}
	return err
}

func linkUp(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding link %s: %w", name, err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		return nil, fmt.Errorf("link %s is down", name)
	}
	return link, nil
}

func hasAddress(h *netlink.Handle, link netlink.Link, ip netip.Addr) error {
	addrs, err := h.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the addresses of %s: %w", link.Attrs().Name, err)
	}
	for _, a := range addrs {
		if a.IP.Equal(ip.AsSlice()) {
			return nil
		}
	}
	return fmt.Errorf("link %s has lost address %s", link.Attrs().Name, ip)
}

func hasRoute(h *netlink.Handle, link netlink.Link, to netip.Prefix) error {
	routes, err := h.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the routes of %s: %w", link.Attrs().Name, err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == to.String() {
			return nil
		}
	}
	return fmt.Errorf("link %s has lost its route to %s", link.Attrs().Name, to)
}

// collect removes the cables of attachments that the runtime does not know any more.
func (p *cni) collect(call *cniCall) error {
	if call.plugin == loopbackPlugin {
		return nil
	}
	valid := map[string]bool{}
	for _, a := range call.config.ValidAttachments {
		valid[hostLink(a.ContainerID, a.IfName)] = true
	}
	links, err := p.host.LinkList()
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	var errs []error
	for _, link := range links {
		if name := link.Attrs().Name; strings.HasPrefix(name, hostLinkPrefix) && link.Type() == "veth" && !valid[name] {
			errs = append(errs, p.disconnect(name))
		}
	}
	return errors.Join(errs...)
}

// mapPorts hands a Pod's host ports to the plugin of the distribution for them, which few Pods need.
func (p *cni) mapPorts(ctx context.Context, call *cniCall, result []byte) ([]byte, error) {
	config := map[string]any{}
	if err := json.Unmarshal(call.input, &config); err != nil {
		return nil, cniErrorf(cniBadContent, "reading the configuration: %w", err)
	}
	config["type"], config["capabilities"] = portmapPlugin, map[string]bool{"portMappings": true}
	delete(config, "prevResult")
	if len(result) > 0 {
		config["prevResult"] = json.RawMessage(result)
	}
	data, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("configuring host ports: %w", err)
	}
	output, err := p.portmap(ctx, call.env, data)
	if err != nil {
		return nil, fmt.Errorf("mapping host ports: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return output, nil
}

// newCNI returns the plugin for the network namespace that the calling process is in.
func newCNI(c *Cluster, n Node, s *supervisor) (*cni, error) {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	return &cni{
		pods: c.nodePodNet(n.Index), node: c.nodeIP(n.Index), host: host,
		portmap: func(_ context.Context, env map[string]string, config []byte) ([]byte, error) {
			environ := os.Environ()
			for name, value := range env {
				environ = append(environ, name+"="+value)
			}
			return s.run(portmapProgram, nil, environ, "/", config)
		},
	}, nil
}
