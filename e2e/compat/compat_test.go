package compat_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// Every fixture applies and decodes without loss.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("fixtures/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("fixtures: %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := connect(t)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for manifest := range bytes.SplitSeq(raw, []byte("\n---\n")) {
				checkFixture(t, c, manifest)
			}
		})
	}
}

// checkFixture applies a manifest and compares it with the decoded object.
func checkFixture(t *testing.T, c cluster, manifest []byte) {
	t.Helper()
	// The fixtures name the namespace default, like old samples. The test has its own namespace.
	manifest = bytes.Replace(manifest, []byte("  namespace: default\n"), []byte("  namespace: "+c.namespace+"\n"), 1)
	written, err := parse(manifest)
	if err != nil {
		t.Fatal(err)
	}
	name := written.GetKind() + " " + written.GetName()
	for range 2 { // the second apply changes nothing
		if _, err := c.apply(t.Context(), manifest); err != nil {
			t.Fatalf("applying %s: %v", name, err)
		}
	}
	decoded, err := c.decode(t.Context(), written.GetKind(), written.GetName())
	if err != nil {
		t.Fatalf("decoding %s: %v", name, err)
	}
	again, err := runtime.DefaultUnstructuredConverter.ToUnstructured(decoded)
	if err != nil {
		t.Fatal(err)
	}
	want, got := dropEmpty(written.Object["spec"]), dropEmpty(again["spec"])
	if diff := cmp.Diff(want, got, cmp.FilterValues(sameValue, cmp.Comparer(sameValue)), ignoreDefaults); diff != "" {
		t.Errorf("%s lost something on its way through the API server and the Go types (-written +decoded):\n%s",
			name, diff)
	}
	if generation := again["metadata"].(map[string]any)["generation"]; generation != int64(1) {
		t.Errorf("%s has generation %v after the same manifest was applied twice, want 1", name, generation)
	}
}

// dropEmpty removes values that mean the same as an absent field: false, 0, "", null, and empty lists and maps.
func dropEmpty(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, inner := range value {
			if inner = dropEmpty(inner); inner != nil {
				kept[key] = inner
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case []any:
		if len(value) == 0 {
			return nil
		}
		kept := make([]any, len(value))
		for i := range value {
			kept[i] = dropEmpty(value[i])
		}
		return kept
	}
	if value == nil || reflect.ValueOf(value).IsZero() {
		return nil
	}
	return value
}

// sameValue compares the meaning of two scalars: 0.5Gi and 512Mi are the same quantity, 90s and 1m30s the same
// duration.
func sameValue(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	textA, textB := fmt.Sprint(a), fmt.Sprint(b)
	if a, err := resource.ParseQuantity(textA); err == nil {
		if b, err := resource.ParseQuantity(textB); err == nil {
			return a.Cmp(b) == 0
		}
	}
	durationA, durationB := metav1.Duration{}, metav1.Duration{}
	return json.Unmarshal([]byte(`"`+textA+`"`), &durationA) == nil &&
		json.Unmarshal([]byte(`"`+textB+`"`), &durationB) == nil && durationA == durationB
}

// ignoreDefaults ignores the fields that core/v1 sets by default.
var ignoreDefaults = cmp.FilterPath(func(path cmp.Path) bool {
	index, ok := path.Last().(cmp.MapIndex)
	return ok && index.Key().String() == "protocol"
}, cmp.Ignore())

// A DAG of 5,000 tasks can be applied server-side. The largest DAG that the schema allows can only be created: with
// server-side apply its managedFields would exceed the limit of etcd.
func TestLargeDAG(t *testing.T) {
	c := connect(t)
	if _, err := c.apply(t.Context(), largeDAG("applied", 5000)); err != nil {
		t.Fatal(err)
	}
	checkTasks(t, c, "applied", 5000)
	created, err := parse(largeDAG("created", 10000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.create(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	checkTasks(t, c, "created", 10000)
}

// largeDAG returns a DAG that is a tree of small tasks.
func largeDAG(name string, tasks int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b,
		"apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DAG\nmetadata: {name: %s}\nspec:\n  task:\n", name)
	for i := range tasks {
		fmt.Fprintf(&b, "  - {name: task-%d, image: \"busybox:1.36\", command: [\"true\"]", i)
		if i > 0 {
			fmt.Fprintf(&b, ", runAfter: [task-%d]", (i-1)/10)
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func checkTasks(t *testing.T, c cluster, name string, tasks int) {
	t.Helper()
	dag, err := c.typed.KontrolerV1alpha1().DAGs(c.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(dag.Spec.Task) != tasks || dag.Spec.Task[tasks-1].Name != fmt.Sprintf("task-%d", tasks-1) {
		t.Errorf("%s: %d tasks decoded, or in another order; want %d", name, len(dag.Spec.Task), tasks)
	}
}

// Spec and status can only be changed through their own endpoints.
func TestStatus(t *testing.T) {
	c := connect(t)
	runs := c.typed.KontrolerV1alpha1().DagRuns(c.namespace)
	run, err := runs.Create(t.Context(), &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: "run"},
		Spec:       v1alpha1.DagRunSpec{DagName: "dag"},
		Status:     v1alpha1.DagRunStatus{RunID: 1},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if run.Status.RunID != 0 {
		t.Errorf("a DagRun was created with a status: %+v", run.Status)
	}
	run.Spec.Cancel = true
	run.Status = v1alpha1.DagRunStatus{RunID: 7, Phase: v1alpha1.RunPending, Tasks: &v1alpha1.TaskCounts{Total: 3}}
	if run, err = runs.UpdateStatus(t.Context(), run, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if run.Spec.Cancel || run.Status.RunID != 7 || run.Status.Tasks.Total != 3 {
		t.Errorf("after an update of the status alone: %+v, %+v", run.Spec, run.Status)
	}
	patch := []byte(`{"spec":{"cancel":true},"status":{"runId":8}}`)
	if run, err = runs.Patch(t.Context(), "run", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if !run.Spec.Cancel || run.Status.RunID != 7 {
		t.Errorf("after a patch of the object: %+v, %+v", run.Spec, run.Status)
	}
}

// kubectl get prints these columns.
func TestColumns(t *testing.T) {
	c := connect(t)
	tests := map[string][]string{
		"dags": {
			"Name",
			"Schedule",
			"Suspended",
			"Valid",
			"Last Run",
			"Last Schedule",
			"Next Schedule",
			"Version",
			"Message",
			"Age",
		},
		"dagruns":  {"Name", "DAG", "Phase", "Tasks", "Duration", "Reason", "Message", "Age"},
		"dagtasks": {"Name", "Image", "Version", "Valid", "Message", "Age"},
	}
	for plural, want := range tests {
		t.Run(plural, func(t *testing.T) {
			raw, err := c.typed.KontrolerV1alpha1().RESTClient().Get().Namespace(c.namespace).Resource(plural).
				SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
			if err != nil {
				t.Fatal(err)
			}
			var table metav1.Table
			if err := json.Unmarshal(raw, &table); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, column := range table.ColumnDefinitions {
				got = append(got, column.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}

// The CRDs fit into the annotation of client-side `kubectl apply`.
func TestClientSideApply(t *testing.T) {
	const limit = 262144
	files, err := crdFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			crd, err := readCRD(file)
			if err != nil {
				t.Fatal(err)
			}
			applied, err := crd.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if len(applied) > limit/2 {
				t.Errorf("%d bytes, want at most half of %d", len(applied), limit)
			}
			c := connect(t)
			annotated := &unstructured.Unstructured{Object: map[string]any{}}
			annotated.SetAnnotations(
				map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(applied)})
			patch, err := json.Marshal(annotated.Object)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.dynamic.Resource(crds).Patch(t.Context(), crd.GetName(), types.MergePatchType, patch,
				metav1.PatchOptions{}); err != nil {
				t.Errorf("with its last applied configuration: %v", err)
			}
		})
	}
}
