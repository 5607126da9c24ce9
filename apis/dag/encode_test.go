package dag_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// full returns a spec with every field set.
func full() *v1alpha1.DAGSpec {
	return &v1alpha1.DAGSpec{
		Schedule: "@daily", TimeZone: ptr("UTC"), StartingDeadlineSeconds: ptr[int64](1), ConcurrencyPolicy: "Forbid",
		SuccessfulRunsHistoryLimit: ptr[int32](1), FailedRunsHistoryLimit: ptr[int32](2), CatchUp: "all",
		CatchUpLimit: ptr[int32](3), Suspended: true,
		Parameters: []v1alpha1.Parameter{{Name: "p", DefaultValue: ptr("<1>")}},
		Task: []v1alpha1.Task{with(task("a"), func(t *v1alpha1.Task) {
			t.Script = `echo "\u0000"`
			t.PodTemplate = &v1alpha1.PodTemplate{
				Labels: map[string]string{"b": "2", "a": "1", "c": "3"},
				Resources: &corev1.ResourceRequirements{Limits: corev1.ResourceList{
					"memory": resource.MustParse("1024Mi"), "cpu": resource.MustParse("1000m"),
				}},
			}
		})},
		Webhook: &v1alpha1.Webhook{
			URL: "https://x",
		}, Workspace: &v1alpha1.Workspace{Enable: true}, MaxParallel: ptr[int32](4),
		Logs: "off", ActiveDeadlineSeconds: ptr[int64](5), TTLSecondsAfterFinished: ptr[int32](6),
		ControllerClass: "x", DSL: ptr("y"),
	}
}

// TestEncodeFields: a new field of the spec must be listed here as pinned or not.
func TestEncodeFields(t *testing.T) {
	pinned := map[string]bool{
		"Parameters": true, "Task": true, "Webhook": true, "Workspace": true, "MaxParallel": true, "Logs": true,
		"ActiveDeadlineSeconds": true,
	}
	whole, err := dag.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.TypeFor[v1alpha1.DAGSpec]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		spec := full()
		value := reflect.ValueOf(spec).Elem().Field(i)
		if value.IsZero() {
			t.Errorf("%s is not set: extend full", name)
		}
		value.SetZero()
		without, err := dag.Encode(spec)
		if err != nil {
			t.Fatal(err)
		}
		if changed := dag.Hash(without) != dag.Hash(whole); changed != pinned[name] {
			t.Errorf("%s: a change makes a new version: %v, want %v", name, changed, pinned[name])
		}
	}
}

func TestEncodeCanonical(t *testing.T) {
	encoded, err := dag.Encode(full())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"parameters":[{"name":"p","defaultValue":"\u003c1\u003e"}],"task":[{"name":"a","image":"busybox",` +
		`"script":"echo \"\\u0000\"","podTemplate":{"labels":{"a":"1","b":"2","c":"3"},` +
		`"resources":{"limits":{"cpu":"1","memory":"1Gi"}}}}],` +
		`"webhook":{"url":"https://x"},"workspace":{"enable":true,"pvc":{"resources":{}}},` +
		`"maxParallel":4,"logs":"off","activeDeadlineSeconds":5}`
	if diff := cmp.Diff(want, string(encoded)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	decoded, err := dag.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	again, err := dag.Encode(decoded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(encoded), string(again)); diff != "" {
		t.Errorf("decoded and encoded again (-want +got):\n%s", diff)
	}
}

func TestEncodeErrors(t *testing.T) {
	if _, err := dag.Encode(nil); err == nil {
		t.Error("no error without a spec")
	}
	for name, c := range map[string]struct {
		command string
		fails   bool
	}{
		"NUL":                     {"a\x00b", true},
		"escaped backslash":       {`a\u0000`, false},
		"backslash and NUL":       {"a\\\x00", true},
		"escaped, then NUL":       {`\u0000` + "\x00", true},
		"two backslashes":         {`\\u0000`, false},
		"many, none of them NULs": {strings.Repeat(`\u0000`, 100), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dag.Encode(tasks(with(task("a"), func(t *v1alpha1.Task) { t.Command = []string{c.command} })))
			if (err != nil) != c.fails {
				t.Errorf("error %v, want one: %v", err, c.fails)
			}
		})
	}
	for name, text := range map[string]string{
		"empty": "", "not JSON": "{", "another type": `{"task":1}`, "more": `{} {}`,
	} {
		if _, err := dag.Decode([]byte(text)); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}
