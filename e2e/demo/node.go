package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kontroler/generated/clientset/versioned"
)

const clusterCommand = "e2e/cluster/run"

// node is the cluster of the demo.
type node struct {
	kubeconfig string // empty means the default of kubectl
	binaries   string // folder of its kubectl; empty means the PATH
	kube       kubernetes.Interface
	kontroler  versioned.Interface
	dynamic    dynamic.Interface
}

func (d *demo) nodeStep() string {
	if d.current {
		return "connecting to the current cluster"
	}
	return "starting a Kubernetes node"
}

// startNode starts a cluster, or connects to that of the user.
func (d *demo) startNode(ctx context.Context, say func(string)) (string, error) {
	if err := inRepository(); err != nil {
		return "", err
	}
	if d.current {
		return d.connectCurrent(ctx)
	}
	dir := filepath.Join(d.dir, "node")
	if err := runCluster(ctx, say, "up", dir, "--owner-pid", strconv.Itoa(os.Getpid())); err != nil {
		return "", err
	}
	d.atEnd("Kubernetes node taken down", func(ctx context.Context) error {
		return runCluster(ctx, func(string) {}, "down", dir)
	})
	d.node = &node{kubeconfig: filepath.Join(dir, "kubeconfig"), binaries: filepath.Join(dir, "bin")}
	version, err := d.node.connect()
	if err != nil {
		return "", err
	}
	return "Kubernetes " + version + ", one node, real containers", nil
}

// connectCurrent connects to the cluster of the user, in which the demo uses one namespace.
func (d *demo) connectCurrent(ctx context.Context) (string, error) {
	d.node = &node{}
	version, err := d.node.connect()
	if err != nil {
		return "", err
	}
	switch _, err := d.node.kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{}); {
	case err == nil:
		return "", fmt.Errorf("this cluster has a namespace %q, which the demo would use: kubectl delete namespace %s",
			namespace, namespace)
	case !apierrors.IsNotFound(err):
		return "", fmt.Errorf("looking for namespace %q: %w", namespace, err)
	}
	return "the current cluster, Kubernetes " + version, nil
}

// connect makes the clients and returns the version of the API server.
func (n *node) connect() (string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = n.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if n.kubeconfig != "" {
		if err := avoidProxy(config.Host); err != nil {
			return "", err
		}
	}
	config.QPS = -1
	if err := n.makeClients(config); err != nil {
		return "", fmt.Errorf("making clients: %w", err)
	}
	info, err := n.kube.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("connecting to the API server: %w", err)
	}
	return strings.TrimPrefix(info.GitVersion, "v"), nil
}

func (n *node) makeClients(config *rest.Config) error {
	var errs [3]error
	n.kube, errs[0] = kubernetes.NewForConfig(config)
	n.kontroler, errs[1] = versioned.NewForConfig(config)
	n.dynamic, errs[2] = dynamic.NewForConfig(config)
	return errors.Join(errs[:]...)
}

// avoidProxy excludes the node on this machine from the proxies of this process and those that it starts.
func avoidProxy(server string) error {
	u, err := url.Parse(server)
	if err != nil {
		return fmt.Errorf("reading the server's address: %w", err)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		value := u.Hostname()
		if old := os.Getenv(name); old != "" {
			value += "," + old
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

// runCluster runs e2e/cluster/run. It reports each line of output; the error contains the last ones.
func runCluster(ctx context.Context, say func(string), args ...string) error {
	cmd := exec.CommandContext(ctx, clusterCommand, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	var all bytes.Buffer
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(io.TeeReader(reader, &all))
		for lines.Scan() {
			say(strings.TrimPrefix(lines.Text(), "cluster: "))
		}
		_, _ = io.Copy(&all, reader) // the rest, after a line that is too long for the scanner
	}()
	err := cmd.Run()
	writer.Close()
	<-read
	if err != nil {
		return &loggedError{err: fmt.Errorf("%s %s: %w", clusterCommand, args[0], err), tail: tail(all.String(), 15)}
	}
	return nil
}
