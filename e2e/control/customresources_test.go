package control_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

const customResources = "dags,dagruns,dagtasks"

// customObjects returns all custom resources of the world, by kind and name, without the fields that a server sets for
// its own use.
func (w *world) customObjects() map[string]map[string]any {
	w.T.Helper()
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(w.Kubectl("get", customResources, "-o", "json")), &list); err != nil {
		w.T.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, object := range list.Items {
		object.SetManagedFields(nil)
		all[object.GetKind()+" "+object.GetName()] = object.Object
	}
	return all
}

// applyCRDs applies the CustomResourceDefinitions of a checkout, as manifests/README.md says.
func (w *world) applyCRDs(root string) {
	w.T.Helper()
	w.clusterKubectl("apply", "--server-side", "-k", filepath.Join(root, "manifests", "crd"))
	w.waitCRDs()
}

// Custom resources that the release before has taken outlive the upgrade of their definitions unchanged, and its runs
// go on. In the end everything is uninstalled, as manifests/README.md says.
func TestCustomResourcesOfTheReleaseBefore(t *testing.T) {
	w := &world{harness.NewOnOwnCluster(t)}
	before := harness.PreviousRelease(t)
	w.applyCRDs(before.Dir)
	fixtures, err := filepath.Glob(filepath.Join(before.Dir, "e2e", "compat", "fixtures", "*.yaml"))
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("fixtures %q: %v", fixtures, err)
	}
	old := w.Controller(before.Controller(t))
	var manifests strings.Builder
	for _, file := range fixtures {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		manifests.Write(content)
		manifests.WriteString("\n---\n")
	}
	w.Apply(strings.ReplaceAll(manifests.String(), "namespace: default", "namespace: $NS"))
	w.ApplyDAG("live", play("a", forever))
	w.Start("live", "live")
	w.WaitRun("live", v1alpha1.RunRunning, patience)
	old.Stop()

	taken := w.customObjects()
	w.applyCRDs(harness.Root())
	if diff := gocmp.Diff(taken, w.customObjects()); diff != "" {
		t.Errorf("objects, before and after the definitions were applied (-before +after):\n%s", diff)
	}
	next := w.Controller()
	next.WaitLeads()
	w.Start("fresh", "live")
	w.WaitAttempt("fresh", "a", 1, "Pending")
	kept := w.customObjects()
	for name, object := range taken {
		for _, field := range []string{"spec", "metadata"} {
			if diff := gocmp.Diff(object[field], kept[name][field], ignoreVersions); diff != "" {
				t.Errorf("%s of %s, before and after the controllers of this release (-before +after):\n%s",
					field, name, diff)
			}
		}
	}
	t.Logf("the objects were %q", slices.Sorted(maps.Keys(taken)))
	next.Stop()
	w.uninstallAll()
}

// ignoreVersions leaves out the fields of metadata that change with the status.
var ignoreVersions = gocmp.FilterPath(func(p gocmp.Path) bool {
	return slices.Contains([]string{`["resourceVersion"]`, `["generation"]`}, p.Last().String())
}, gocmp.Ignore())

// uninstallAll removes Kontroler from a cluster of the world's own, with two live runs.
func (w *world) uninstallAll() {
	w.T.Helper()
	pods := func() []string {
		list, err := w.Kube.CoreV1().Pods(w.Namespace).List(w.T.Context(), metav1.ListOptions{})
		if err != nil {
			w.T.Fatal(err)
		}
		names := []string{}
		for _, pod := range list.Items {
			names = append(names, pod.Name)
		}
		return names
	}
	if len(pods()) < 2 {
		w.T.Errorf("the Pods are %q, want those of two live runs at least", pods())
	}
	out, err := w.Uninstall(flags("--all", "--namespaces="), environment("DATABASE_URL="))
	if err != nil {
		w.T.Errorf("uninstall: %v %s", err, out)
	}
	w.clusterKubectl("delete", "dagruns", "--all", "--all-namespaces", "--cascade=foreground")
	if is := pods(); len(is) > 0 {
		w.T.Errorf("Pods are left without their DagRuns: %q", is)
	}
	w.clusterKubectl("delete", "-k", filepath.Join(harness.Root(), "manifests", "crd"))
	if is := w.clusterKubectl("get", "crd", "-o", "name"); is != "" {
		w.T.Errorf("CustomResourceDefinitions are left: %s", is)
	}
}

// clusterKubectl runs kubectl for no namespace in particular and returns what it prints.
func (w *world) clusterKubectl(args ...string) string {
	w.T.Helper()
	out, err := w.RunKubectl("", args...)
	if err != nil {
		w.T.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
