package main

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

const examples = "../../manifests/examples"

// Every example has only known fields, its DAGs compile and use no missing features, and its runs refer to a DAG of the
// examples.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	dags := map[string]*v1alpha1.DAG{}
	shared := map[string]dag.DagTask{}
	var runs []*v1alpha1.DagRun
	for _, file := range files {
		objects, err := readObjects(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects {
			switch object.GetKind() {
			case "DAG":
				d := &v1alpha1.DAG{}
				strictly(t, file, object, d)
				dags[d.Namespace+"/"+d.Name] = d
			case "DagTask":
				task := &v1alpha1.DagTask{}
				strictly(t, file, object, task)
				if faults := dag.CheckTask(&task.Spec); len(faults) > 0 {
					t.Errorf("DagTask %s: %v", task.Name, faults.ToAggregate())
				}
				encoded, err := dag.EncodeTask(&task.Spec)
				if err != nil {
					t.Fatal(err)
				}
				shared[task.Namespace+"/"+task.Name] = dag.DagTask{Version: 1, Newest: 1, Template: encoded}
			case "DagRun":
				run := &v1alpha1.DagRun{}
				strictly(t, file, object, run)
				runs = append(runs, run)
			}
		}
	}
	graphs := map[string]*dag.Graph{}
	for name, d := range dags {
		resolved := map[v1alpha1.TaskRef]dag.DagTask{}
		for _, ref := range dag.TaskRefs(&d.Spec) {
			resolved[ref] = shared[d.Namespace+"/"+ref.Name]
		}
		graph, faults := dag.CompileWith(&d.Spec, resolved)
		if len(faults) > 0 {
			t.Errorf("DAG %s: %v", name, faults.ToAggregate())
		}
		graphs[name] = graph
	}
	for _, run := range runs {
		graph := graphs[run.Namespace+"/"+run.Spec.DagName]
		if graph == nil {
			t.Errorf("no example has the DAG of run %s%s", run.Name, run.GenerateName)
			continue
		}
		if _, faults := graph.Resolve(run.Spec.Parameters); len(faults) > 0 {
			t.Errorf("run %s%s: %v", run.Name, run.GenerateName, faults.ToAggregate())
		}
	}
}

// strictly decodes an object. Unknown fields fail the test.
func strictly(t *testing.T, file string, from *unstructured.Unstructured, to any) {
	t.Helper()
	raw, err := yaml.Marshal(from.Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(raw, to); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// The files that the demo uses exist.
func TestPaths(t *testing.T) {
	for _, path := range []string{crdDir, demoManifest, demoRun, flawed, clusterCommand} {
		if _, err := os.Stat(filepath.Join("../..", filepath.FromSlash(path))); err != nil {
			t.Error(err)
		}
	}
}
