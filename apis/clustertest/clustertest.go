// Package clustertest connects tests to a real API server.
package clustertest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// Config is how to reach the cluster of KUBECONFIG, with any number of requests per second. Without one the test is
// skipped, or fails where CI is true.
func Config(t testing.TB) *rest.Config {
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
	cfg.QPS = -1
	return cfg
}

// Kube is a client of the cluster of KUBECONFIG.
func Kube(t testing.TB) kubernetes.Interface {
	t.Helper()
	kube, err := kubernetes.NewForConfig(Config(t))
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// InstallCRDs creates the CustomResourceDefinitions in a directory that the cluster lacks, and waits until it serves
// them.
func InstallCRDs(t testing.TB, cfg *rest.Config, dir string) {
	t.Helper()
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "kontroler.*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no CustomResourceDefinitions in %s: %v", dir, err)
	}
	crds := client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	})
	for _, file := range files {
		crd := readCRD(t, file)
		if _, err := crds.Create(t.Context(), crd, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		awaitServed(t, client.Resource(resourceOf(t, crd)))
	}
}

func readCRD(t testing.TB, file string) *unstructured.Unstructured {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(raw, &crd.Object); err != nil {
		t.Fatal(err)
	}
	return crd
}

// resourceOf returns the resource of the first version that a CustomResourceDefinition has.
func resourceOf(t testing.TB, crd *unstructured.Unstructured) schema.GroupVersionResource {
	t.Helper()
	group, _, groupErr := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, pluralErr := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	versions, _, versionsErr := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if groupErr != nil || pluralErr != nil || versionsErr != nil || len(versions) == 0 {
		t.Fatalf("%s has no version", crd.GetName())
	}
	version, _ := versions[0].(map[string]any)["name"].(string)
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

func awaitServed(t testing.TB, resource dynamic.ResourceInterface) {
	t.Helper()
	for {
		_, err := resource.List(t.Context(), metav1.ListOptions{Limit: 1})
		if err == nil {
			return
		}
		if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test has ended while the API server did not serve a CustomResourceDefinition")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
