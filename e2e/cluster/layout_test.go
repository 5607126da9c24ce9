package main

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestDefaultNameIsShortAndStable(t *testing.T) {
	seen := map[string]string{}
	for i := range 1000 {
		dir := fmt.Sprintf("/tmp/TestSomething%d/001/cluster", i)
		name := defaultName(dir)
		if !clusterName.MatchString(name) {
			t.Fatalf("defaultName(%q) = %q, which up would refuse", dir, name)
		}
		if name != defaultName(dir) {
			t.Fatalf("defaultName(%q) differs from call to call", dir)
		}
		if other, ok := seen[name]; ok {
			t.Fatalf("%s and %s are both called %s", dir, other, name)
		}
		seen[name] = dir
	}
}

func TestLinkNamesFit(t *testing.T) {
	const limit = 15 // IFNAMSIZ less the terminating zero
	c := &Cluster{Name: "abcdefgh"}
	if name := c.netID(maxNodes); len(name) > limit {
		t.Errorf("link name %q is longer than %d", name, limit)
	}
}

func TestFirstOctetIsInRange(t *testing.T) {
	for i := range 10000 {
		if o := firstOctet(fmt.Sprint(i)); o < minOctet || o > maxOctet {
			t.Fatalf("firstOctet(%d) = %d, want %d to %d", i, o, minOctet, maxOctet)
		}
	}
}

func TestNetworksDoNotOverlap(t *testing.T) {
	c := &Cluster{Octet: 100}
	nets := map[string]netip.Prefix{
		"services": c.serviceNet(),
		"nodes":    netip.PrefixFrom(c.hostIP(), 24).Masked(),
	}
	for i := 1; i <= maxNodes; i++ {
		pods := c.nodePodNet(i)
		if !c.podNet().Contains(pods.Addr()) {
			t.Errorf("Pods of node %d are in %s, outside %s", i, pods, c.podNet())
		}
		if !nets["nodes"].Contains(c.nodeIP(i)) {
			t.Errorf("node %d has address %s, outside %s", i, c.nodeIP(i), nets["nodes"])
		}
		nets[fmt.Sprintf("Pods of node %d", i)] = pods
	}
	for a, p := range nets {
		if p != p.Masked() || !c.wholeNet().Contains(p.Addr()) {
			t.Errorf("%s: %s is not a network in %s", a, p, c.wholeNet())
		}
		for b, q := range nets {
			if a != b && p.Overlaps(q) {
				t.Errorf("%s (%s) and %s (%s) overlap", a, p, b, q)
			}
		}
	}
	if !c.serviceNet().Contains(c.apiServiceIP()) {
		t.Errorf("the API server's Service has %s, outside %s", c.apiServiceIP(), c.serviceNet())
	}
}

func TestAddNode(t *testing.T) {
	c := &Cluster{}
	for i := 1; i <= maxNodes; i++ {
		n, err := c.addNode(fmt.Sprintf("n%d", i))
		if err != nil || n.Index != i {
			t.Fatalf("addNode %d = %+v, %v", i, n, err)
		}
	}
	for _, bad := range []string{"n1", "one-more", "", "../x", "UPPER", "-x"} {
		if _, err := c.addNode(bad); err == nil {
			t.Errorf("addNode(%q) succeeded", bad)
		}
	}
}

func TestSplitRef(t *testing.T) {
	for ref, want := range map[string][2]string{
		"alpine":                         {"library/alpine", "latest"},
		"alpine:3":                       {"library/alpine", "3"},
		"docker.io/library/busybox:1.36": {"library/busybox", "1.36"},
		"registry.k8s.io/pause:3.10":     {"pause", "3.10"},
		"localhost:5000/a/b:c":           {"a/b", "c"},
		"example/app":                    {"example/app", "latest"},
		"ghcr.io/example/app/controller": {"example/app/controller", "latest"},
	} {
		repo, tag := splitRef(ref)
		if got := [2]string{repo, tag}; got != want {
			t.Errorf("splitRef(%q) = %v, want %v", ref, got, want)
		}
	}
}
