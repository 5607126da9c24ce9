package compat_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/clientset/versioned"
)

const crdDir = "../../manifests/crd"

var (
	kubeconfig = flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig of the API server")

	crds = schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}

	install = sync.OnceValues(installCRDs)
)

// cluster is a real API server with the CRDs, and a namespace for the test.
type cluster struct {
	config    *rest.Config
	typed     versioned.Interface
	dynamic   dynamic.Interface
	namespace string
}

// connect returns a cluster. Without an API server it skips the test; in CI the test fails.
func connect(t *testing.T) cluster {
	t.Helper()
	if *kubeconfig == "" {
		const reason = "no API server. Set KUBECONFIG; `e2e/cluster/run up DIR --no-node` starts one"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	config, err := install()
	if err != nil {
		t.Fatalf("installing the CRDs: %v", err)
	}
	c := cluster{config: config, typed: versioned.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config)}
	namespaces := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "compat-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespaces.Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	c.namespace = made.Name
	return c
}

// installCRDs applies the CRDs and waits until their resources are served.
func installCRDs() (*rest.Config, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	files, err := crdFiles()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		crd, err := readCRD(file)
		if err != nil {
			return nil, err
		}
		if _, err := client.Resource(crds).Apply(ctx, crd.GetName(), crd,
			metav1.ApplyOptions{FieldManager: "compat", Force: true}); err != nil {
			return nil, err
		}
	}
	for _, plural := range []string{"dags", "dagruns", "dagtasks"} {
		resource := client.Resource(v1alpha1.SchemeGroupVersion.WithResource(plural))
		served := func(ctx context.Context) (bool, error) {
			_, err := resource.List(ctx, metav1.ListOptions{Limit: 1})
			if apierrors.IsNotFound(err) {
				return false, nil
			}
			return err == nil, err
		}
		if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, served); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// crdFiles returns the files that the kustomization lists.
func crdFiles() ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(crdDir, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	err = yaml.Unmarshal(raw, &kustomization)
	return kustomization.Resources, err
}

// readCRD reads a file of crdFiles.
func readCRD(file string) (*unstructured.Unstructured, error) {
	raw, err := os.ReadFile(filepath.Join(crdDir, file))
	if err != nil {
		return nil, err
	}
	crd := &unstructured.Unstructured{}
	return crd, yaml.UnmarshalStrict(raw, &crd.Object)
}

// apply applies a manifest by server-side apply with strict field validation, as `kubectl apply --server-side` does.
func (c cluster) apply(ctx context.Context, manifest []byte) (*unstructured.Unstructured, error) {
	object, err := parse(manifest)
	if err != nil {
		return nil, err
	}
	return c.resource(object.GetKind()).Patch(ctx, object.GetName(), types.ApplyPatchType, manifest,
		metav1.PatchOptions{FieldManager: "compat", FieldValidation: metav1.FieldValidationStrict})
}

// create creates an object with strict field validation, as `kubectl create` does.
func (c cluster) create(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return c.resource(object.GetKind()).
		Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

// resource returns the dynamic client of a kind in the test's namespace.
func (c cluster) resource(kind string) dynamic.ResourceInterface {
	plural := map[string]string{"DAG": "dags", "DagRun": "dagruns", "DagTask": "dagtasks"}[kind]
	return c.dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource(plural)).Namespace(c.namespace)
}

// decode reads an object with the typed clientset, which decodes like an informer.
func (c cluster) decode(ctx context.Context, kind, name string) (any, error) {
	client := c.typed.KontrolerV1alpha1()
	switch kind {
	case "DAG":
		return client.DAGs(c.namespace).Get(ctx, name, metav1.GetOptions{})
	case "DagRun":
		return client.DagRuns(c.namespace).Get(ctx, name, metav1.GetOptions{})
	default:
		return client.DagTasks(c.namespace).Get(ctx, name, metav1.GetOptions{})
	}
}

// parse reads a manifest.
func parse(manifest []byte) (*unstructured.Unstructured, error) {
	raw, err := yaml.YAMLToJSONStrict(manifest)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON(raw)
}
