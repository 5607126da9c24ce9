// Package clustertest connects tests to a real API server.
package clustertest

import (
	"os"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Kube is a client of the cluster of KUBECONFIG. Without one the test is skipped, or fails where CI is true.
func Kube(t testing.TB) kubernetes.Interface {
	t.Helper()
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		const missing = "KUBECONFIG is not set: this test needs an API server (e2e/cluster/run up DIR --no-node)"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return kube
}
