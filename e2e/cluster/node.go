package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const containerdSocket = "/run/containerd/containerd.sock"

var (
	//go:embed templates/containerd.toml
	containerdTemplate string
	//go:embed templates/cni.conflist
	cniTemplate string
	//go:embed templates/kubelet.yaml
	kubeletTemplate string
	//go:embed templates/hosts.toml
	hostsTemplate string
)

// runNode runs a node's machine.
func runNode(ctx context.Context, s *supervisor) error {
	c := s.cluster
	n, err := c.node(strings.TrimPrefix(s.machine, "node-"))
	if err != nil {
		return err
	}
	if err := prepareNode(c, n); err != nil {
		return err
	}
	plugin, err := newCNI(c, n, s)
	if err != nil {
		return err
	}
	if err := serveCNI(ctx, plugin, cniSocket); err != nil {
		return err
	}
	// containerd finds the shim on its PATH.
	s.env = map[string][]string{filepath.Base(containerdProgram): {"PATH=" + c.nodeBin(n) + ":" + searchPath}}
	if err := s.start(containerdProgram, "--config", filepath.Join(c.nodeDir(n), "containerd.toml")); err != nil {
		return err
	}
	conn, err := dialContainerd(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return pullImages(ctx, conn, c, n) })
	g.Go(func() error {
		if err := waitAPIServer(ctx, c); err != nil {
			return err
		}
		if err := s.start("kubelet", kubeletArgs(c, n)...); err != nil {
			return err
		}
		return s.start("kube-proxy", proxyArgs(c, n)...)
	})
	return g.Wait()
}

// prepareNode sets up all that the machine's components find there.
func prepareNode(c *Cluster, n Node) error {
	if err := syscall.Sethostname([]byte(n.Name)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	exeDir, err := exeDir()
	if err != nil {
		return err
	}
	if err := privateMounts(c.Dir, exeDir); err != nil {
		return err
	}
	for dir, at := range map[string]string{
		"kubelet": "/var/lib/kubelet", "containerd": "/var/lib/containerd", "pods": "/var/log/pods",
	} {
		if err := bindDir(filepath.Join(c.nodeDir(n), dir), at); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("letting the node forward: %w", err)
	}
	if err := installFront(c.nodeBin(n), exeDir); err != nil {
		return err
	}
	return writeNodeConfig(c, n)
}

// writeNodeConfig writes the configuration of the node's components.
func writeNodeConfig(c *Cluster, n Node) error {
	snapshotter, err := snapshotterFor(c.nodeDir(n))
	if err != nil {
		return err
	}
	values := map[string]any{
		"Dir": c.nodeDir(n), "PKI": c.path("pki"), "Name": n.Name, "CgroupRoot": c.cgroup(n),
		"NodeIP": c.nodeIP(n.Index), "DNS": c.controlIP(),
		"Registry": c.registryURL(), "PauseImage": pauseImage,
		"Bin": c.nodeBin(n), "Plugin": cniPlugin, "Runtime": runtimeFront,
		"Snapshotter": snapshotter, "Socket": containerdSocket,
	}
	for file, text := range map[string]string{
		"containerd.toml": containerdTemplate, "cni/10-cluster.conflist": cniTemplate,
		"kubelet.yaml": kubeletTemplate, "certs.d/_default/hosts.toml": hostsTemplate,
		"resolv.conf": "nameserver {{.DNS}}\n",
	} {
		t, err := template.New(file).Parse(text)
		if err != nil {
			return fmt.Errorf("reading the template of %s: %w", file, err)
		}
		var out bytes.Buffer
		if err := t.Execute(&out, values); err != nil {
			return fmt.Errorf("filling in %s: %w", file, err)
		}
		path := filepath.Join(c.nodeDir(n), file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		if err := writeAtomic(path, out.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// snapshotterFor picks how containers' file systems are stacked: overlayfs,
// except where the directory is itself on one.
func snapshotterFor(dir string) (string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return "", fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}

func kubeletArgs(c *Cluster, n Node) []string {
	return []string{
		"--config=" + filepath.Join(c.nodeDir(n), "kubelet.yaml"),
		"--kubeconfig=" + c.nodeKubeconfig(n),
		"--hostname-override=" + n.Name,
		"--node-ip=" + c.nodeIP(n.Index).String(),
	}
}

func proxyArgs(c *Cluster, n Node) []string {
	return []string{
		"--kubeconfig=" + c.pkiFile("proxy", "kubeconfig"),
		"--hostname-override=" + n.Name,
		"--cluster-cidr=" + c.podNet().String(),
		"--proxy-mode=iptables",
		"--conntrack-max-per-core=0", "--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
	}
}

// dialContainerd connects to containerd and waits until it answers as a
// container runtime: after a node was lost it first takes stock.
func dialContainerd(ctx context.Context) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(
		"unix://"+containerdSocket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(
			grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: pollInterval, Multiplier: 1, MaxDelay: pollInterval}},
		),
	)
	if err != nil {
		return nil, fmt.Errorf("reaching containerd: %w", err)
	}
	runtime := runtimeapi.NewRuntimeServiceClient(conn)
	if err := poll(ctx, func() (bool, error) {
		if _, err := os.Stat(containerdSocket); err != nil {
			return false, nil
		}
		_, err := runtime.Version(ctx, &runtimeapi.VersionRequest{})
		return err == nil, nil
	}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("waiting for containerd: %w", err)
	}
	return conn, nil
}

// pullImages fetches the images that tests and the demo name, so that the
// first Pods need not wait, and notes that it is done.
func pullImages(ctx context.Context, conn *grpc.ClientConn, c *Cluster, n Node) error {
	images := runtimeapi.NewImageServiceClient(conn)
	for _, ref := range append([]string{pauseImage}, busyboxImages...) {
		request := &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}}
		err := poll(ctx, func() (bool, error) {
			_, err := images.PullImage(ctx, request)
			return err == nil, nil
		})
		if err != nil {
			return fmt.Errorf("pulling %s: %w", ref, err)
		}
	}
	return writeAtomic(c.imagesReady(n), nil)
}
