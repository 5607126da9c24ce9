package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"kontroler/apis/process"
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
	base, err := process.RESTConfig(cfg.kubeconfig)
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
	shared, err := rest.HTTPClientFor(base) // client-go shares no connections between two configurations with a Dial
	if err != nil {
		return clients{}, fmt.Errorf("making an HTTP client: %w", err)
	}
	var c clients
	if c.kube, err = kubernetes.NewForConfigAndClient(protobuf, shared); err != nil {
		return clients{}, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.lease, err = kubernetes.NewForConfig(unlimited); err != nil {
		return clients{}, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.dags, err = versioned.NewForConfigAndClient(base, shared); err != nil {
		return clients{}, fmt.Errorf("making a client for DAGs: %w", err)
	}
	return c, nil
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
