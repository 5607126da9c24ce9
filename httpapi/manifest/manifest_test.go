package manifest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/manifest"
)

var here = manifest.Place{Namespace: "team-a"}

const etl = `apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata:
  name: etl
spec:
  task:
  - name: load
    image: alpine
    podTemplate:
      resources:
        limits: {cpu: 500m, memory: 1Gi}
`

// got is what kubectl get -o yaml prints.
const got = `apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"kind": "DAG"}
    note: kept
  creationTimestamp: "2026-11-26T12:00:00Z"
  finalizers: [example.com/hold]
  generation: 3
  labels:
    team: data
  managedFields:
  - apiVersion: kontroler.greedykomodo/v1alpha1
    fieldsType: FieldsV1
    fieldsV1:
      f:spec:
        .: {}
    manager: kubectl-client-side-apply
    operation: Update
    time: "2026-11-26T12:00:00Z"
  name: etl
  namespace: team-a
  resourceVersion: "41"
  uid: 6b9f4b2e-0000-4000-8000-000000000000
spec:
  task:
  - name: load
    image: alpine
status:
  controller: c1
  aFieldOfALaterVersion: 1
`

func TestDAG(t *testing.T) {
	tests := map[string]struct {
		body   string
		format manifest.Format
	}{
		"YAML":                    {etl, manifest.YAML},
		"output of kubectl":       {got, manifest.YAML},
		"a document with markers": {"---\n" + etl + "---\n", manifest.YAML},
		"anchors, aliases, merges": {
			strings.ReplaceAll(etl, "- name: load\n    image: alpine",
				"- &t\n    name: load\n    image: alpine\n  - <<: *t\n    name: report"),
			manifest.YAML,
		},
		"JSON": {`{"apiVersion": "kontroler.greedykomodo/v1alpha1", "kind": "DAG", "metadata": {"name": "etl"},
			"spec": {"task": [{"name": "load", "image": "alpine"}]}}`, manifest.JSON},
		"JSON as YAML": {`{"apiVersion": "kontroler.greedykomodo/v1alpha1", "kind": "DAG", "metadata": {"name": "etl"},
			"spec": {"task": [{"name": "load", "image": "alpine"}]}}`, manifest.YAML},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, _, err := manifest.DAG([]byte(test.body), test.format, here)
			if err != nil {
				t.Fatal(explain(err))
			}
			if d.Namespace != "team-a" || d.Name != "etl" || d.Spec.Task[0].Image != "alpine" {
				t.Errorf("read %+v", d)
			}
		})
	}
}

// TestOutputOfKubectl checks which metadata of an object is kept.
func TestOutputOfKubectl(t *testing.T) {
	d, warnings, err := manifest.DAG([]byte(got), manifest.YAML, here)
	if err != nil {
		t.Fatal(explain(err))
	}
	want := &v1alpha1.DAG{}
	want.Namespace, want.Name = "team-a", "etl"
	want.Labels, want.Annotations = map[string]string{"team": "data"}, map[string]string{"note": "kept"}
	want.Spec.Task = []v1alpha1.Task{{Name: "load", TaskTemplate: v1alpha1.TaskTemplate{Image: "alpine"}}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("DAG (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"metadata.finalizers: has no effect here"}, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestFaults(t *testing.T) {
	replace := func(old, with string) string { return strings.Replace(etl, old, with, 1) }
	tests := map[string]struct {
		body        string
		isMalformed bool
		want        []string // pointer and line of each fault
	}{
		"an empty body":           {"", true, nil},
		"an empty document":       {"---\n# nothing\n", true, nil},
		"an empty document first": {"---\n---\n" + etl, true, []string{" 3"}},
		"no object":               {"- a\n", true, []string{" 1"}},
		"a syntax error": {
			replace("kind: DAG", "kind: [DAG"), true, []string{" 1"}, // The parser names the line before.
		},
		"a tab":             {replace("  name: etl", "\tname: etl"), true, []string{" 4"}},
		"two documents":     {etl + "---\n" + etl, true, []string{" 13"}},
		"a list of objects": {replace("kind: DAG", "kind: List"), false, []string{"/kind 2"}},
		"an unknown field": {
			replace("    image: alpine", "    imaeg: alpine"), true, []string{"/spec/task/0/imaeg 8"},
		},
		"a field in capitals": {
			replace("    image: alpine", "    Image: alpine"), true, []string{"/spec/task/0/Image 8"},
		},
		"a duplicate field": {
			replace("    image: alpine", "    image: alpine\n    image: busybox"), true,
			[]string{"/spec/task/0/image 9"},
		},
		"a duplicate in quotes": {
			replace("    image: alpine", "    image: alpine\n    'image': busybox"), true,
			[]string{"/spec/task/0/image 9"},
		},
		"a value of the wrong type": {replace("image: alpine", "image: 3"), true, []string{"/spec/task/0/image 8"}},
		"a number with a fraction": {
			replace("spec:", "spec:\n  maxParallel: 1.5"), true, []string{"/spec/maxParallel 6"},
		},
		"a number that is too large": {
			replace("spec:", "spec:\n  maxParallel: 3000000000"), true, []string{"/spec/maxParallel 6"},
		},
		"a word that YAML 1.1 takes for a boolean": {
			replace("image: alpine", "image: yes"), true, []string{"/spec/task/0/image 8"},
		},
		"a quantity that is none": {
			replace("500m", "much"), true, []string{"/spec/task/0/podTemplate/resources/limits/cpu 11"},
		},
		"an unknown field of a Pod": {
			replace("limits:", "limit:"), true, []string{"/spec/task/0/podTemplate/resources/limit 11"},
		},
		"another API": {replace("v1alpha1", "v1"), false, []string{"/apiVersion 1"}},
		"another namespace": {
			replace("  name: etl", "  name: etl\n  namespace: team-b"), false, []string{"/metadata/namespace 5"},
		},
		"no name":               {replace("  name: etl", "  generateName: etl"), false, []string{"/metadata/name 3"}},
		"a key that is no text": {replace("  name: etl", "  [a, b]: c"), true, []string{" 0"}},
		"binary":                {"\x00\x01", true, []string{" 0"}},
		"an unknown anchor":     {replace("alpine", "*none"), true, []string{" 0"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := manifest.DAG([]byte(test.body), manifest.YAML, here)
			wrong, ok := errors.AsType[*manifest.Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			var faults []string
			for _, f := range wrong.Faults {
				faults = append(faults, fmt.Sprint(f.Pointer, " ", f.Line))
			}
			if diff := cmp.Diff(test.want, faults); diff != "" || wrong.IsMalformed != test.isMalformed {
				t.Errorf("faults (-want +got):\n%s%s", diff, explain(err))
			}
		})
	}
}

func TestPlace(t *testing.T) {
	if _, _, err := manifest.DAG(
		[]byte(etl), manifest.YAML, manifest.Place{Namespace: "team-a", Name: "elt"}); err == nil {
		t.Error("a manifest of another name is taken")
	}
	if _, _, err := manifest.DagTask([]byte(etl), manifest.YAML, here); err == nil {
		t.Error("a DAG is taken for a DagTask")
	}
	task := "apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DagTask\nmetadata: {name: t}\n" +
		"spec: {image: a, version: 2}\n"
	read, _, err := manifest.DagTask([]byte(task), manifest.YAML, here)
	if err != nil || read.Spec.Image != "a" || *read.Spec.Version != 2 {
		t.Errorf("read %+v, %v", read, err)
	}
}

// TestBombs checks that a small body cannot become large, deep or endless.
func TestBombs(t *testing.T) {
	laughs := "a0: &a0 lol\n"
	for i := range 30 {
		laughs += fmt.Sprintf("a%d: &a%[1]d [*a%[2]d, *a%[2]d, *a%[2]d, *a%[2]d]\n", i+1, i)
	}
	tests := map[string]struct {
		body   string
		format manifest.Format
	}{
		"a billion laughs": {laughs, manifest.YAML},
		"one long text, many times": {
			"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 1000) + "]", manifest.YAML,
		},
		"an anchor that contains itself": {"a: &a [*a]", manifest.YAML},
		"a deep list":                    {strings.Repeat("[", 1000), manifest.YAML},
		"a deep mapping":                 {strings.Repeat("{a: ", 1000) + strings.Repeat("}", 1000), manifest.YAML},
		"a deep object":                  {strings.Repeat(`{"metadata":`, 1000), manifest.JSON},
		"a body that is too large":       {strings.Repeat(" ", manifest.MaxBytes+1), manifest.JSON},
		"a merge of merges": {
			"a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b, *a]}\n", manifest.YAML,
		},
		"a long name with a field that is there many times": {
			"? " + strings.Repeat("x", 1<<20) + "\n: {" + strings.Repeat("a: 1, ", 1000) + "}\n", manifest.YAML,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := manifest.DAG([]byte(test.body), test.format, here)
			if _, ok := errors.AsType[*manifest.Error](err); !ok {
				t.Errorf("error %v", err)
			}
			if size := len(explain(err)); size > 1<<20 {
				t.Errorf("the error has %d bytes", size)
			}
		})
	}
}

// A document of two megabytes has a million elements. It is refused before they take a hundred times as much memory.
func TestManyElements(t *testing.T) {
	body := []byte("spec: [" + strings.Repeat("0,", 1<<20-10) + "]")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := manifest.DAG(body, manifest.YAML, here)
	runtime.ReadMemStats(&after)
	if !strings.Contains(explain(err), "Send it as JSON") {
		t.Errorf("error %v", err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > manifest.MaxBytes {
		t.Errorf("it took %d bytes", taken)
	}
}

func TestPointer(t *testing.T) {
	for path, want := range map[string]string{
		"":                          "",
		"spec":                      "/spec",
		"spec.task[3].image":        "/spec/task/3/image",
		".spec.task[0]":             "/spec/task/0",
		"spec.a[example.com/x~y].b": "/spec/a/example.com~1x~0y/b",
		"metadata.labels[a][b]":     "/metadata/labels/a/b",
		"spec.a[unclosed":           "/spec/a/unclosed",
	} {
		if got := manifest.Pointer(path); got != want {
			t.Errorf("Pointer(%q) = %q, want %q", path, got, want)
		}
	}
}

// explain returns the text of an error with its faults.
func explain(err error) string {
	wrong, ok := errors.AsType[*manifest.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %+v", wrong.Detail, wrong.Faults)
}
