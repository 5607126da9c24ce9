package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// upTimeout bounds the wait for a cluster or a node to be ready.
const upTimeout = 2 * time.Minute

type upOptions struct {
	dir, name string
	nodes     int
	bare      bool
	ownerPID  int
	apiArgs   []string
}

func parseUp(args []string) (upOptions, error) {
	var o upOptions
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flags.StringVar(&o.name, "name", "", "")
	flags.IntVar(&o.nodes, "nodes", 1, "")
	flags.BoolVar(&o.bare, "no-node", false, "")
	flags.IntVar(&o.ownerPID, "owner-pid", 0, "")
	flags.Func("apiserver-arg", "", func(arg string) error {
		o.apiArgs = append(o.apiArgs, arg)
		return nil
	})
	var dir string
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		dir, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("reading the arguments of up: %w", err)
	}
	if dir == "" && flags.NArg() == 1 {
		dir = flags.Arg(0)
	} else if flags.NArg() > 0 {
		return o, fmt.Errorf("up: unexpected argument %q", flags.Arg(0))
	}
	if dir == "" {
		return o, errors.New("up needs a directory\n" + usage)
	}
	var err error
	if o.dir, err = filepath.Abs(dir); err != nil {
		return o, fmt.Errorf("finding %s: %w", dir, err)
	}
	if o.name == "" {
		o.name = defaultName(o.dir)
	}
	if !clusterName.MatchString(o.name) {
		return o, fmt.Errorf("--name %q: use at most 8 of a-z and 0-9", o.name)
	}
	if o.nodes < 1 || o.nodes > maxNodes {
		return o, fmt.Errorf("--nodes %d: use 1 to %d", o.nodes, maxNodes)
	}
	return o, nil
}

// upCommand starts a cluster, and removes it again when it does not come up.
func upCommand(ctx context.Context, args []string) error {
	o, err := parseUp(args)
	if err != nil {
		return err
	}
	if err := checkRequirements(o.bare); err != nil {
		return err
	}
	started := time.Now()
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("making the cluster's directory: %w", err)
	}
	unlock, err := lockDir(ctx, o.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := clearOld(ctx, o.dir); err != nil {
		return err
	}
	c := &Cluster{Name: o.name, Dir: o.dir, Bare: o.bare, APIServerArgs: o.apiArgs}
	for i := 1; i <= o.nodes && !o.bare; i++ {
		if _, err := c.addNode(fmt.Sprintf("node%d", i)); err != nil {
			return err
		}
	}
	if err := startCluster(ctx, c, o.ownerPID); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		if downErr := removeFailed(cleanup, c); downErr != nil {
			return fmt.Errorf("starting cluster %s: %w\nand cleaning up failed: %w; run down %s",
				c.Name, err, downErr, c.Dir)
		}
		return fmt.Errorf(
			"starting cluster %s: %w\nlogs are in %s; nothing was left running, so up may be tried again",
			c.Name,
			err,
			c.path("log"),
		)
	}
	fmt.Printf("cluster %s is up after %.1fs: KUBECONFIG=%s\n", c.Name, time.Since(started).Seconds(), c.kubeconfig())
	return nil
}

// clearOld makes way for a new cluster: it removes one that is broken or was
// left half made, and refuses to touch one that runs.
func clearOld(ctx context.Context, dir string) error {
	old, err := load(dir)
	if errors.Is(err, errNoCluster) {
		return nil
	}
	if err != nil {
		return err
	}
	parts, err := old.recorded()
	if err != nil {
		return err
	}
	if parts[controlMachine].alive() {
		return fmt.Errorf("cluster %s in %s is up already; run down %s first", old.Name, dir, dir)
	}
	return removeCluster(ctx, old)
}

// startCluster makes a cluster and waits until Pods can run.
func startCluster(ctx context.Context, c *Cluster, ownerPID int) error {
	for _, dir := range []string{"bin", "log", "nodes", "pki", "run", "volumes"} {
		if err := os.MkdirAll(c.path(dir), 0o755); err != nil {
			return fmt.Errorf("making the cluster's directory: %w", err)
		}
	}
	if err := claimNetwork(ctx, c); err != nil {
		return err
	}
	if ownerPID != 0 {
		if err := startWatch(c, ownerPID); err != nil {
			return err
		}
	}
	exeDir, err := exeDir()
	if err != nil {
		return err
	}
	if err := linkKubectl(c); err != nil {
		return err
	}
	if err := writePKI(c); err != nil {
		return err
	}
	if !c.Bare {
		if err := buildImages(ctx, exeDir); err != nil {
			return err
		}
	}
	for i := 1; i <= max(1, len(c.Nodes)); i++ {
		if err := connectNode(c, i); err != nil {
			return err
		}
	}
	var g errgroup.Group
	g.Go(func() error { return startMachine(ctx, c, controlMachine, 1) })
	for _, n := range c.Nodes {
		g.Go(func() error { return startNode(ctx, c, n) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return waitReady(ctx, c, c.Nodes...)
}

// linkKubectl gives the cluster this binary under kubectl's name: by a hard
// link, which outlives the build cache, where the file system allows.
func linkKubectl(c *Cluster) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	if os.Link(exe, c.path("bin", "kubectl")) == nil {
		return nil
	}
	if err := os.Symlink(exe, c.path("bin", "kubectl")); err != nil {
		return fmt.Errorf("making kubectl: %w", err)
	}
	return nil
}

// claimNetwork gives the cluster addresses. The lock is on a directory that
// every host has, since clusters in different directories compete here.
func claimNetwork(ctx context.Context, c *Cluster) error {
	unlock, err := lockDir(ctx, "/run")
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeOrphan(ctx, c); err != nil {
		return err
	}
	return reserveNetwork(c)
}

// startNode starts a node's machine, in a network namespace made before.
func startNode(ctx context.Context, c *Cluster, n Node) error {
	if err := os.MkdirAll(c.nodeDir(n), 0o755); err != nil {
		return fmt.Errorf("making the directory of node %s: %w", n.Name, err)
	}
	if err := os.RemoveAll(c.imagesReady(n)); err != nil {
		return fmt.Errorf("preparing node %s: %w", n.Name, err)
	}
	if err := writeNodePKI(c, n); err != nil {
		return err
	}
	if err := makeCgroup(c, n); err != nil {
		return err
	}
	return startMachine(ctx, c, n.machine(), n.Index)
}

func newClient(c *Cluster) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Timeout = 5 * time.Second
	config.QPS, config.Burst = 100, 100
	// The cluster is on this host: no proxy leads to it.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client, nil
}

// waitReady waits until the API server serves, Pods have a service account,
// and the given nodes are ready and have their images.
func waitReady(ctx context.Context, c *Cluster, nodes ...Node) error {
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("not ready after %s", upTimeout))
	defer cancel()
	since := time.Now()
	client, err := newClient(c)
	if err != nil {
		return err
	}
	waits := map[string]func() bool{
		"the default service account": func() bool {
			_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
			return err == nil
		},
	}
	if !c.Bare {
		waits["the storage class"] = func() bool {
			_, err := client.StorageV1().StorageClasses().Get(ctx, defaultClass, metav1.GetOptions{})
			return err == nil
		}
	}
	for _, n := range nodes {
		waits["the images of node "+n.Name] = func() bool {
			_, err := os.Stat(c.imagesReady(n))
			return err == nil
		}
		waits["node "+n.Name] = func() bool { return nodeReady(ctx, client, n, since) }
	}
	if err := waitAPIServerOrFailure(ctx, c); err != nil {
		return err
	}
	for what, done := range waits {
		err := poll(ctx, func() (bool, error) { return done(), c.failure() })
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
	return nil
}

// waitAPIServerOrFailure ends the wait early when a machine has ended.
func waitAPIServerOrFailure(ctx context.Context, c *Cluster) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		cancel(poll(ctx, func() (bool, error) { return false, c.failure() }))
	}()
	return waitAPIServer(ctx, c)
}
