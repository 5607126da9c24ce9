package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"kontroler/apis/kontroler/v1alpha1"
)

// fieldManager is the name under which the server writes, so that the UI replaces a DAG of the demo like one of its
// own.
const fieldManager = "kontroler-server"

var (
	crds = schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// installCRDs creates the CustomResourceDefinitions that the cluster lacks, and waits until they are served.
func (d *demo) installCRDs(ctx context.Context, _ func(string)) (string, error) {
	files, err := filepath.Glob(filepath.Join(crdDir, "kontroler.*.yaml"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no CustomResourceDefinitions in %s. Run `make generate`", crdDir)
	}
	client := d.node.dynamic.Resource(crds)
	for _, file := range files {
		objects, err := readObjects(file)
		if err != nil {
			return "", err
		}
		for _, crd := range objects {
			name := crd.GetName()
			_, err := client.Create(ctx, crd,
				metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
			switch {
			case apierrors.IsAlreadyExists(err):
				continue
			case err != nil:
				return "", fmt.Errorf("installing %s: %w", name, err)
			case d.current:
				d.atEnd("custom resource "+name+" removed", func(ctx context.Context) error {
					return client.Delete(ctx, name, metav1.DeleteOptions{})
				})
			}
		}
	}
	return "custom resources installed: dags, dagruns, dagtasks", d.served(ctx)
}

// served waits until discovery lists the custom resources, which happens after they are established.
func (d *demo) served(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := d.node.kube.Discovery().ServerResourcesForGroupVersion(v1alpha1.SchemeGroupVersion.String())
		if err == nil && has(list, "dags") && has(list, "dagruns") && has(list, "dagtasks") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the custom resources to be served: %w", errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func has(list *metav1.APIResourceList, plural string) bool {
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == plural })
}

// applyDemo applies the manifests of the demo, like `kubectl apply --server-side`.
func (d *demo) applyDemo(ctx context.Context, _ func(string)) (string, error) {
	objects, err := readObjects(demoManifest)
	if err != nil {
		return "", err
	}
	more, err := readObjects(flawed)
	if err != nil {
		return "", err
	}
	objects = append(objects, more...)
	if d.current {
		d.atEnd("namespace "+namespace+" deleted", d.deleteNamespace)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d.node.kube.Discovery()))
	for _, object := range objects {
		if d.current && object.GetKind() == "DAG" {
			if err := unstructured.SetNestedField(object.Object, d.class(), "spec", "controllerClass"); err != nil {
				return "", fmt.Errorf("setting the controller class: %w", err)
			}
		}
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return "", fmt.Errorf("looking for %s: %w", kind.Kind, err)
		}
		var client dynamic.ResourceInterface = d.node.dynamic.Resource(mapping.Resource)
		if object.GetNamespace() != "" {
			client = d.node.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())
		}
		if _, err := client.Apply(ctx, object.GetName(), object,
			metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
			return "", fmt.Errorf("applying %s %q: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return "namespace, Secret and DAGs of " + filepath.Base(demoManifest) + " and " + filepath.Base(flawed) +
		" applied", nil
}

// deleteRuns deletes the DAGs, so that no schedule creates another run, and then the runs. It waits until the
// controller, which still runs, has removed the finalizers of their Pods.
func (d *demo) deleteRuns(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := d.node.kontroler.KontrolerV1alpha1().DAGs(namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting the DAGs: %w", err)
	}
	if err := d.node.kontroler.KontrolerV1alpha1().DagRuns(namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting the runs: %w", err)
	}
	for {
		pods, err := d.node.kube.CoreV1().Pods(namespace).List(ctx,
			metav1.ListOptions{LabelSelector: v1alpha1.LabelRun})
		if err == nil && len(pods.Items) == 0 {
			return nil
		}
		select {
		case <-d.controller.done:
			return errors.New("the controller ended before it let all Pods go: " +
				"run `bin/controller uninstall --all --namespaces " + namespace + "`")
		case <-ctx.Done():
			return fmt.Errorf("waiting for the Pods to be gone: %w", errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// deleteNamespace deletes the namespace of the demo in the cluster of the user, and waits for its end.
func (d *demo) deleteNamespace(ctx context.Context) error {
	client := d.node.dynamic.Resource(namespaces)
	for {
		switch err := client.Delete(ctx, namespace, metav1.DeleteOptions{}); {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil && !apierrors.IsConflict(err):
			return fmt.Errorf("deleting namespace %q: %w", namespace, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %q is not gone yet: %w", namespace, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// createRun creates a run of the DAG.
func (d *demo) createRun(ctx context.Context) (*graph, *v1alpha1.DagRun, error) {
	client := d.node.kontroler.KontrolerV1alpha1()
	dag, err := client.DAGs(namespace).Get(ctx, dagName, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("reading DAG %q: %w", dagName, err)
	}
	run, err := client.DagRuns(namespace).Create(ctx, &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{GenerateName: dagName + "-"},
		Spec:       v1alpha1.DagRunSpec{DagName: dagName},
	}, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return nil, nil, fmt.Errorf("creating a DagRun: %w", err)
	}
	return newGraph(dag.Spec.Task), run, nil
}

// projected waits until the status of the DagRun has a final phase, and returns it.
func (d *demo) projected(ctx context.Context, run *v1alpha1.DagRun) (v1alpha1.RunPhase, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		now, err := d.node.kontroler.KontrolerV1alpha1().DagRuns(namespace).Get(ctx, run.Name, metav1.GetOptions{})
		if err == nil && now.Status.Phase.Ended() {
			return now.Status.Phase, nil
		}
		select {
		case <-ctx.Done():
			return "", withLog(fmt.Errorf("DagRun %q does not say that its run has ended", run.Name), d.controller.log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readObjects reads the documents of a manifest.
func readObjects(file string) ([]*unstructured.Unstructured, error) {
	raw, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	var objects []*unstructured.Unstructured
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
