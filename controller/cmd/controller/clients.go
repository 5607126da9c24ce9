package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"kontroler/controller/leader"
	"kontroler/generated/clientset/versioned"
)

// podNamespaceFile contains the namespace of the Pod in which this process runs.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// clients send requests to the API server, through the gate. kube and dags share connections and the rate limit.
type clients struct {
	kube kubernetes.Interface // encodes as protobuf
	dags versioned.Interface  // encodes as JSON, the only encoding of custom resources
	// lease has no rate limit, and connections of its own, which the gate does not block: a stale leader may still read
	// and renew its Lease.
	lease kubernetes.Interface
}

// newClients makes the clients.
func newClients(cfg config, gate *leader.Gate) (clients, error) {
	base, err := restConfig(cfg.kubeconfig)
	if err != nil {
		return clients{}, err
	}
	base.UserAgent = "kontroler-controller/" + version.String()
	base.QPS = -1
	base.Wrap(gate.Wrap)
	// client-go's default dialer has the same timeouts.
	base.Dial = gate.Dial((&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext)
	protobuf := rest.CopyConfig(base)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	unlimited := rest.CopyConfig(protobuf)
	unlimited.Dial = nil
	if qps := float32(cfg.kubeAPIQPS); qps > 0 {
		limiter := flowcontrol.NewTokenBucketRateLimiter(qps, max(1, int(2*qps)))
		base.RateLimiter, protobuf.RateLimiter = limiter, limiter
	}
	var c clients
	if c.kube, err = kubernetes.NewForConfig(protobuf); err != nil {
		return clients{}, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.lease, err = kubernetes.NewForConfig(unlimited); err != nil {
		return clients{}, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.dags, err = versioned.NewForConfig(base); err != nil {
		return clients{}, fmt.Errorf("making a client for DAGs: %w", err)
	}
	return c, nil
}

// restConfig reads kubeconfig, a list of files like KUBECONFIG. If it is empty, restConfig uses the Pod's service
// account.
func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("no cluster. Set --kubeconfig (or KUBECONFIG), or run in a Pod")
		}
		if err != nil {
			return nil, fmt.Errorf("reading the service account of this Pod: %w", err)
		}
		return cfg, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if files := filepath.SplitList(kubeconfig); len(files) > 1 {
		rules = &clientcmd.ClientConfigLoadingRules{Precedence: files}
	}
	loaded, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w. Check --kubeconfig (or KUBECONFIG)", err)
	}
	cfg, err := clientcmd.NewDefaultClientConfig(*loaded, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s selects no cluster: %w. Check --kubeconfig (or KUBECONFIG)", kubeconfig, err)
	}
	return cfg, nil
}

// leaseNamespace returns the configured namespace, else that of the Pod, else "default".
func leaseNamespace(cfg config) string {
	if cfg.leaseNamespace != "" {
		return cfg.leaseNamespace
	}
	if cfg.kubeconfig == "" {
		if namespace, err := os.ReadFile(podNamespaceFile); err == nil && len(namespace) > 0 {
			return strings.TrimSpace(string(namespace))
		}
	}
	return "default"
}
