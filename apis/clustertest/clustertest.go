// Package clustertest connects tests to a real API server.
package clustertest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Config returns the client configuration of the cluster of KUBECONFIG, without a rate limit. Without KUBECONFIG the
// test is skipped; with CI=true it fails.
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

// Kube returns a client of the cluster of KUBECONFIG.
func Kube(t testing.TB) kubernetes.Interface {
	t.Helper()
	kube, err := kubernetes.NewForConfig(Config(t))
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

// InstallCRDs creates the CustomResourceDefinitions in a directory that the cluster lacks, and replaces those that do
// not have the selectable fields of their file. It waits until the cluster serves them.
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
		_, err := crds.Create(t.Context(), crd, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = replaceOld(t, crds, crd)
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitServed(t, client.Resource(resourceOf(t, crd)), selectableFields(t, crd))
	}
}

// replaceOld applies a CustomResourceDefinition if that of the cluster has other selectable fields.
func replaceOld(t testing.TB, crds dynamic.ResourceInterface, crd *unstructured.Unstructured) error {
	t.Helper()
	old, err := crds.Get(t.Context(), crd.GetName(), metav1.GetOptions{})
	if err != nil || slices.Equal(selectableFields(t, old), selectableFields(t, crd)) {
		return err
	}
	_, err = crds.Apply(t.Context(), crd.GetName(), crd, metav1.ApplyOptions{FieldManager: "clustertest", Force: true})
	return err
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

// versionOf returns the first version that a CustomResourceDefinition has.
func versionOf(t testing.TB, crd *unstructured.Unstructured) map[string]any {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) == 0 {
		t.Fatalf("%s has no version", crd.GetName())
	}
	version, _ := versions[0].(map[string]any)
	return version
}

func resourceOf(t testing.TB, crd *unstructured.Unstructured) schema.GroupVersionResource {
	t.Helper()
	group, _, groupErr := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, pluralErr := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	if groupErr != nil || pluralErr != nil {
		t.Fatalf("%s has no group or name", crd.GetName())
	}
	version, _ := versionOf(t, crd)["name"].(string)
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

// selectableFields returns the fields by which the objects of a CustomResourceDefinition can be selected.
func selectableFields(t testing.TB, crd *unstructured.Unstructured) (fields []string) {
	t.Helper()
	selectable, _ := versionOf(t, crd)["selectableFields"].([]any)
	for _, field := range selectable {
		path, _, _ := unstructured.NestedString(field.(map[string]any), "jsonPath")
		fields = append(fields, strings.TrimPrefix(path, "."))
	}
	return fields
}

// awaitServed waits until objects can be listed and selected by fields.
func awaitServed(t testing.TB, resource dynamic.ResourceInterface, fields []string) {
	t.Helper()
	for _, field := range append(fields, "metadata.name") {
		awaitList(t, resource, metav1.ListOptions{Limit: 1, FieldSelector: field + "=none"})
	}
}

func awaitList(t testing.TB, resource dynamic.ResourceInterface, options metav1.ListOptions) {
	t.Helper()
	for {
		_, err := resource.List(t.Context(), options)
		if err == nil {
			return
		}
		if !apierrors.IsNotFound(err) && !apierrors.IsBadRequest(err) {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test has ended while the API server did not serve a CustomResourceDefinition")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
