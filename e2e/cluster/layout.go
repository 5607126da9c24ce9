package main

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Cluster is what cluster.json holds: all that is needed to find again
// everything the cluster made.
type Cluster struct {
	Name          string   `json:"name"`
	Dir           string   `json:"dir"`
	Octet         int      `json:"octet"` // the cluster's addresses are 10.Octet.0.0/16
	Bare          bool     `json:"bare"`  // no scheduler and no node
	APIServerArgs []string `json:"apiserverArgs,omitempty"`
	Nodes         []Node   `json:"nodes"`
}

// Node is one machine that runs Pods. Its index, from 1, picks its addresses.
type Node struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
}

const (
	minOctet, maxOctet = 64, 254
	maxNodes           = 32
	apiPort            = 6443
	registryPort       = 5000
)

var (
	clusterName = regexp.MustCompile(`^[a-z0-9]{1,8}$`)
	nodeName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)
)

// defaultName derives a short name from a directory.
func defaultName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))[:6]
}

// firstOctet is where the search for free addresses starts.
func firstOctet(name string) int {
	sum := sha256.Sum256([]byte(name))
	return minOctet + (int(sum[0])<<8|int(sum[1]))%(maxOctet-minOctet+1)
}

func (c *Cluster) addr(third, fourth byte) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(c.Octet), third, fourth})
}

// wholeNet holds every address of the cluster.
func (c *Cluster) wholeNet() netip.Prefix { return netip.PrefixFrom(c.addr(0, 0), 16) }

// serviceNet holds the Services' addresses, apiServiceIP the API server's.
func (c *Cluster) serviceNet() netip.Prefix { return netip.PrefixFrom(c.addr(0, 0), 20) }
func (c *Cluster) apiServiceIP() netip.Addr { return c.addr(0, 1) }

// hostIP is the host's address on the bridge to the nodes.
func (c *Cluster) hostIP() netip.Addr { return c.addr(16, 1) }

// podNet holds the Pods of all nodes.
func (c *Cluster) podNet() netip.Prefix { return netip.PrefixFrom(c.addr(128, 0), 17) }

// nodeIP is a node's address on the bridge; the control machine shares the
// first node's.
func (c *Cluster) nodeIP(index int) netip.Addr { return c.addr(16, byte(1+index)) }
func (c *Cluster) controlIP() netip.Addr       { return c.nodeIP(1) }

// nodePodNet holds one node's Pods: 1022 addresses.
func (c *Cluster) nodePodNet(index int) netip.Prefix {
	return netip.PrefixFrom(c.addr(byte(128+4*(index-1)), 0), 22)
}

func (c *Cluster) apiURL() string { return fmt.Sprintf("https://%s:%d", c.controlIP(), apiPort) }
func (c *Cluster) registryURL() string {
	return fmt.Sprintf("http://%s:%d", c.controlIP(), registryPort)
}

// id names the cluster's bridge and its cgroup; links and network namespaces
// add a node's index.
func (c *Cluster) id() string             { return "kc-" + c.Name }
func (c *Cluster) netID(index int) string { return fmt.Sprintf("%s-%d", c.id(), index) }

// cgroup is a node's cgroup below each hierarchy's root.
func (c *Cluster) cgroup(n Node) string { return filepath.Join("/", c.id(), n.Name) }

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}
func (c *Cluster) kubeconfig() string            { return c.path("kubeconfig") }
func (c *Cluster) nodeDir(n Node) string         { return c.path("nodes", n.Name) }
func (c *Cluster) nodeBin(n Node) string         { return filepath.Join(c.nodeDir(n), "bin") }
func (c *Cluster) logFile(program string) string { return c.path("log", program+".log") }
func (c *Cluster) imagesReady(n Node) string     { return filepath.Join(c.nodeDir(n), "images-ready") }
func (c *Cluster) nodeKubeconfig(n Node) string {
	return c.path("pki", "kubelet-"+n.Name+".kubeconfig")
}
func (c *Cluster) pkiFile(name, ext string) string { return c.path("pki", name+"."+ext) }

// node returns the node of that name.
func (c *Cluster) node(name string) (Node, error) {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("no node %q in the cluster in %s", name, c.Dir)
}

// addNode gives a new node the next index.
func (c *Cluster) addNode(name string) (Node, error) {
	if _, err := c.node(name); err == nil {
		return Node{}, fmt.Errorf("there is a node %q already", name)
	}
	if !nodeName.MatchString(name) {
		return Node{}, fmt.Errorf("node name %q: use at most 40 of a-z, 0-9 and -", name)
	}
	n := Node{Name: name, Index: len(c.Nodes) + 1}
	if n.Index > maxNodes {
		return Node{}, fmt.Errorf("a cluster has at most %d nodes", maxNodes)
	}
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

var errNoCluster = errors.New("no cluster here")

// load reads the cluster of a directory; errNoCluster when there is none.
func load(dir string) (*Cluster, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cluster.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, "cluster.json"), errNoCluster)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cluster: %w", err)
	}
	c := &Cluster{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("reading the cluster in %s: %w", dir, err)
	}
	c.Dir = dir
	return c, nil
}

// save writes cluster.json.
func (c *Cluster) save() error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the cluster: %w", err)
	}
	return writeAtomic(c.path("cluster.json"), append(data, '\n'))
}

// writeAtomic replaces a file as a whole.
func writeAtomic(path string, data []byte) error {
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
