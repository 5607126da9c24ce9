package dag_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// Rules that are newer than a stored version do not apply to it.
func TestLoadDoesNotValidate(t *testing.T) {
	spec := full()
	spec.DSL, spec.MaxParallel, spec.Logs = nil, ptr[int32](-1), "later"
	spec.Task = append(spec.Task, with(task("Not A Label", "a"), func(t *v1alpha1.Task) {
		t.Image, t.Parameters, t.TimeoutSeconds = "", []string{"unknown", "unknown"}, ptr[int64](-5)
	}))
	if _, faults := dag.Compile(spec); len(faults) == 0 {
		t.Fatal("the spec is valid: the test shows nothing")
	}
	encoded, err := dag.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	g, err := dag.Load(encoded, 2)
	if err != nil {
		t.Fatal(err)
	}
	position, found := g.Position("Not A Label")
	if !found || g.Len() != 2 || position != 1 {
		t.Errorf("Position: %d, %t; Len: %d", position, found, g.Len())
	}
	if diff := cmp.Diff([]int32{0}, g.Parents(1)); diff != "" {
		t.Errorf("parents (-want +got):\n%s", diff)
	}
	if values, faults := g.Resolve([]v1alpha1.ParameterValue{{Name: "p", Value: ptr("2")}}); len(faults) > 0 ||
		*values[0].Value != "2" {
		t.Errorf("Resolve: %v, %v", values, faults)
	}
}

func TestLoadFails(t *testing.T) {
	tests := map[string]struct {
		encoded string
		tasks   int
		want    string
	}{
		"nothing":      {"", 1, "decoding"},
		"null":         {"null", 1, "0 tasks"},
		"no JSON":      {"{", 1, "decoding"},
		"another type": {`{"task": 5}`, 1, "decoding"},
		"a quantity that is none": {
			`{"task": [{"name": "a", "podTemplate": {"resources": {"limits": {"cpu": "x"}}}}]}`,
			1,
			"decoding",
		},
		"no tasks":                     {`{"task": []}`, 0, "0 tasks"},
		"fewer tasks":                  {`{"task": [{"name": "a"}]}`, 2, "1 tasks instead of 2"},
		"a task without a name":        {`{"task": [{}]}`, 1, "has none"},
		"two tasks of one name":        {`{"task": [{"name": "a"}, {"name": "a"}]}`, 2, `name "a"`},
		"an unknown parent":            {`{"task": [{"name": "a", "runAfter": ["b"]}]}`, 1, "no task has this name"},
		"a task that waits for itself": {`{"task": [{"name": "a", "runAfter": ["a"]}]}`, 1, "after itself"},
		"a cycle": {
			`{"task": [{"name": "a", "runAfter": ["b"]}, {"name": "b", "runAfter": ["a"]}]}`,
			2,
			"wait for each other",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g, err := dag.Load([]byte(tt.encoded), tt.tasks)
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// Load returns a consistent graph or an error, whichever bytes of a version changed.
func TestLoadOfChangedBytes(t *testing.T) {
	spec := full()
	spec.Task = append(spec.Task, task("b", "a"), task("c", "a", "b"))
	encoded, err := dag.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	random, loaded := rand.New(rand.NewPCG(1, 2)), 0
	for range 20_000 {
		changed := bytes.Clone(encoded)
		for range 1 + random.IntN(3) {
			changed[random.IntN(len(changed))] = encoded[random.IntN(len(encoded))]
		}
		g, err := dag.Load(changed, len(spec.Task))
		if err != nil {
			continue
		}
		loaded++
		for i := range g.Len() {
			_, _, _ = g.Parents(i), g.Children(i), dag.Retry(g.Task(i))
		}
		_, _ = g.Resolve(nil)
		_, _ = g.Workspace(), g.MaxParallel()
	}
	if loaded == 0 || loaded == 20_000 {
		t.Errorf("%d of 20000 were loaded: the test shows nothing", loaded)
	}
}

func TestBlank(t *testing.T) {
	g := dag.Blank(3)
	if g.Len() != 3 || len(g.Children(2)) != 0 || g.Workspace() != nil || g.Spec().Webhook != nil {
		t.Errorf("a blank graph knows something: %+v", g.Spec())
	}
}
