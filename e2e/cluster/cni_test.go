package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// testNode is a plugin whose node is a network namespace of the test's own.
type testNode struct {
	t *testing.T
	*cni
	config string // of the plugin, without the closing brace
	mapped []string
}

// newTestNode gives the node the addresses of a network that has room for few Pods.
func newTestNode(t *testing.T, pods string) *testNode {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := &testNode{t: t, config: `{"cniVersion":"1.0.0","name":"test","type":"cluster"`}
	node := netip.MustParseAddr("10.77.16.2")
	n.netns("node")
	err := inNetns(n.id("node"), func() error {
		host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		n.cni = &cni{pods: netip.MustParsePrefix(pods), node: node, host: host}
		lo, err := host.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := host.LinkSetUp(lo); err != nil {
			return err
		}
		return host.AddrAdd(lo, &netlink.Addr{IPNet: ipNet(single(node))})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.host.Close)
	n.portmap = func(_ context.Context, env map[string]string, config []byte) ([]byte, error) {
		n.mapped = append(n.mapped, env["CNI_COMMAND"])
		var c struct {
			PrevResult json.RawMessage `json:"prevResult"`
		}
		return c.PrevResult, json.Unmarshal(config, &c)
	}
	return n
}

func (n *testNode) id(name string) string { return fmt.Sprintf("kt%d%s", os.Getpid(), name) }

// netns makes a network namespace that ends with the test.
func (n *testNode) netns(name string) (path string) {
	n.t.Helper()
	if err := newNetns(n.id(name)); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := deleteNetns(n.id(name)); err != nil {
			n.t.Error(err)
		}
	})
	return netnsPath(n.id(name))
}

// call calls the plugin as front does.
func (n *testNode) call(command, container, netns, more string) (status byte, output string) {
	n.t.Helper()
	vars := []string{
		"cluster", "CNI_COMMAND=" + command, "CNI_CONTAINERID=" + container, "CNI_NETNS=" + netns, "CNI_IFNAME=eth0",
	}
	status, data := n.answer(n.t.Context(), []byte(strings.Join(vars, "\x00")+"\x00\x00"+n.config+more+"}"))
	return status, string(data)
}

// add adds a Pod and returns the result.
func (n *testNode) add(container, netns, more string) (result cniResult, raw string) {
	n.t.Helper()
	status, raw := n.call("ADD", container, netns, more)
	if status != 0 {
		n.t.Fatalf("ADD %s: %s", container, raw)
	}
	if err := json.Unmarshal([]byte(raw), &result); err != nil {
		n.t.Fatal(err)
	}
	return result, raw
}

func (n *testNode) mustCall(command, container, netns, more string) {
	n.t.Helper()
	if status, output := n.call(command, container, netns, more); status != 0 {
		n.t.Errorf("%s %s: %s", command, container, output)
	}
}

// links counts the node's ends of cables.
func (n *testNode) links() (count int) {
	n.t.Helper()
	links, err := n.host.LinkList()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, link := range links {
		if link.Type() == "veth" {
			count++
		}
	}
	return count
}

func TestCNIAddCheckDel(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/22")
	pod := n.netns("pod")
	result, raw := n.add("one", pod, "")
	ip := result.IPs[0].Address
	if !n.pods.Contains(ip.Addr()) || ip.Bits() != 32 ||
		result.IPs[0].Interface != 1 || result.Interfaces[1].Sandbox != pod {
		t.Errorf("ADD = %s, want one address of %s on the second interface, in %s", raw, n.pods, pod)
	}
	err := inNetns(n.id("pod"), func() error {
		route, err := netlink.RouteGet(netip.MustParseAddr("10.1.2.3").AsSlice())
		if err != nil {
			return err
		}
		if !route[0].Gw.Equal(n.node.AsSlice()) || !route[0].Src.Equal(ip.Addr().AsSlice()) {
			return fmt.Errorf("the Pod reaches the world by %s as %s, want %s as %s",
				route[0].Gw, route[0].Src, n.node, ip.Addr())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	n.mustCall("CHECK", "one", pod, `,"prevResult":`+raw)
	if status, _ := n.call("CHECK", "one", pod, ""); status == 0 {
		t.Error("CHECK without a prevResult succeeds")
	}
	if status, output := n.call("ADD", "one", pod, ""); status == 0 {
		t.Errorf("a second ADD of the same attachment succeeds: %s", output)
	}
	n.mustCall("CHECK", "one", pod, `,"prevResult":`+raw)
	for range 2 {
		n.mustCall("DEL", "one", pod, "")
	}
	n.mustCall("DEL", "one", "", "")
	n.mustCall("DEL", "never-added", "/run/netns/never-made", "")
	if status, _ := n.call("CHECK", "one", pod, `,"prevResult":`+raw); status == 0 {
		t.Error("CHECK after DEL succeeds")
	}
	if n.links() != 0 {
		t.Errorf("%d links are left", n.links())
	}
}

func TestCNIAddresses(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/29") // five addresses
	seen := map[netip.Prefix]string{}
	for i := range 5 {
		name := fmt.Sprint("pod", i)
		result, _ := n.add(name, n.netns(name), "")
		ip := result.IPs[0].Address
		if other, ok := seen[ip]; ok {
			t.Fatalf("%s and %s both have %s", name, other, ip)
		}
		seen[ip] = name
	}
	sixth := n.netns("sixth")
	if status, output := n.call("ADD", "sixth", sixth, ""); status == 0 {
		t.Fatalf("ADD succeeds without a free address: %s", output)
	}
	if n.links() != 5 {
		t.Errorf("there are %d links, want 5: a failed ADD leaves none", n.links())
	}
	n.mustCall("DEL", "pod2", "", "")
	if result, _ := n.add("sixth", sixth, ""); seen[result.IPs[0].Address] != "pod2" {
		t.Errorf("the sixth Pod has %s, want the address that pod2 gave back", result.IPs[0].Address)
	}
	// DEL of the former owner comes again, as after a crash: the address is another's now.
	n.mustCall("DEL", "pod2", "", "")
	if n.links() != 5 {
		t.Errorf("there are %d links, want 5", n.links())
	}
	valid := `,"cni.dev/valid-attachments":[{"containerID":"pod0","ifname":"eth0"},` +
		`{"containerID":"sixth","ifname":"eth0"}]`
	n.mustCall("GC", "", "", valid)
	if n.links() != 2 {
		t.Errorf("after GC there are %d links, want the 2 that are valid", n.links())
	}
}

// An address goes back when the Pod's network namespace ends without a DEL, as when a node is lost.
func TestCNIAddressGoesWithNamespace(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/30") // one address
	n.add("lost", n.netns("lost"), "")
	if err := netns.DeleteNamed(n.id("lost")); err != nil {
		t.Fatal(err)
	}
	if err := poll(t.Context(), func() (bool, error) { return n.links() == 0, nil }); err != nil {
		t.Fatal(err)
	}
	n.add("next", n.netns("next"), "")
}

func TestCNIHostPorts(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/22")
	pod := n.netns("pod")
	ports := `,"runtimeConfig":{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}`
	_, raw := n.add("one", pod, ports)
	n.mustCall("CHECK", "one", pod, ports+`,"prevResult":`+raw)
	n.mustCall("DEL", "one", pod, ports)
	if want := []string{"ADD", "CHECK", "DEL"}; !slices.Equal(n.mapped, want) {
		t.Errorf("calls of portmap: %v, want %v", n.mapped, want)
	}
	n.portmap = func(context.Context, map[string]string, []byte) ([]byte, error) { return nil, fmt.Errorf("refused") }
	if status, output := n.call("ADD", "two", pod, ports); status == 0 || !strings.Contains(output, "refused") {
		t.Errorf("ADD = %d, %s, want the refusal", status, output)
	}
	if n.links() != 0 {
		t.Errorf("%d links are left", n.links())
	}
}

func TestCNILoopback(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/22")
	pod := n.netns("pod")
	call := func(command string) (byte, []byte) {
		return n.answer(t.Context(), []byte("loopback\x00CNI_COMMAND="+command+
			"\x00CNI_CONTAINERID=one\x00CNI_IFNAME=lo\x00CNI_NETNS="+pod+
			"\x00\x00"+`{"cniVersion":"0.3.1","name":"cni-loopback","type":"loopback"}`))
	}
	if status, _ := call("CHECK"); status == 0 {
		t.Error("CHECK before ADD succeeds")
	}
	var result cniResult
	status, output := call("ADD")
	if err := json.Unmarshal(output, &result); err != nil || status != 0 || result.IPs[0].Version != "4" {
		t.Errorf("ADD = %d, %s", status, output)
	}
	for _, command := range []string{"CHECK", "DEL"} {
		if status, output := call(command); status != 0 {
			t.Errorf("%s: %s", command, output)
		}
	}
}

func TestCNIRefusals(t *testing.T) {
	n := newTestNode(t, "10.77.128.0/22")
	const (
		attachment = "\x00CNI_CONTAINERID=a\x00CNI_IFNAME=b"
		config     = "\x00\x00{\"cniVersion\":\"1.0.0\"}"
	)
	for name, test := range map[string]struct {
		call string
		code int
	}{
		"an unknown version":   {"cluster\x00CNI_COMMAND=ADD\x00\x00{\"cniVersion\":\"9.0.0\"}", cniBadVersion},
		"no container":         {"cluster\x00CNI_COMMAND=ADD" + config, cniBadEnvironment},
		"no network namespace": {"cluster\x00CNI_COMMAND=ADD" + attachment + config, cniBadEnvironment},
		"an unknown command": {
			"cluster\x00CNI_COMMAND=X" + attachment + "\x00CNI_NETNS=c" + config, cniBadEnvironment,
		},
		"a configuration cut":   {"cluster\x00CNI_COMMAND=ADD\x00\x00{\"cniVersion", cniBadContent},
		"a call without an end": {"cluster\x00CNI_COMMAND=ADD", cniBadContent},
	} {
		var failure struct {
			CNIVersion string `json:"cniVersion"`
			Code       int    `json:"code"`
			Msg        string `json:"msg"`
		}
		status, output := n.answer(t.Context(), []byte(test.call))
		if err := json.Unmarshal(output, &failure); err != nil {
			t.Fatal(err)
		}
		if status == 0 || failure.Code != test.code || failure.Msg == "" || failure.CNIVersion == "" {
			t.Errorf("%s: status %d, %s, want code %d", name, status, output, test.code)
		}
	}
	var versions struct {
		CNIVersion string   `json:"cniVersion"`
		Supported  []string `json:"supportedVersions"`
	}
	_, output := n.answer(t.Context(), []byte("cluster\x00CNI_COMMAND=VERSION\x00\x00{\"cniVersion\":\"0.4.0\"}"))
	if err := json.Unmarshal(output, &versions); err != nil || versions.CNIVersion != "0.4.0" ||
		!slices.Equal(versions.Supported, cniVersions) {
		t.Errorf("VERSION = %s", output)
	}
	n.mustCall("STATUS", "", "", "")
}
