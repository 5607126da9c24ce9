package manifest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/manifest"
)

// FuzzDAG looks for a manifest that causes a panic, that is refused with an error other than *Error, or that means
// something else to kubectl.
func FuzzDAG(f *testing.F) {
	for _, seed := range []string{
		etl, got, "", "a: &a [*a]", "{", "? [a]\n: b", "---\n---\n", "!!binary aGk=", "<<: {a: b}", "a: 1\na: 2",
		"\ufeffkind: DAG", "%YAML 1.1\n---\nkind: DAG", "kind: !!str DAG", "metadata: ~", "a: .nan", "a: 0x10",
		"a: 2001-01-01", "[]: x", "a: [\r&c\ra:", etl + "status: 0", "---", "---\n---\n" + etl,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, isYAML bool) {
		format := manifest.JSON
		if isYAML {
			format = manifest.YAML
		}
		d, _, err := manifest.DAG(body, format, here)
		if err != nil {
			wrong, ok := errors.AsType[*manifest.Error](err)
			if !ok || wrong.Detail == "" {
				t.Errorf("body %q: %v", body, err)
			}
			isBreak := func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) } // as YAML has it
			lines := 1
			for _, r := range string(body) {
				if isBreak(r) {
					lines++
				}
			}
			for _, fault := range wrong.Faults {
				if fault.Line > lines || fault.Line < 0 || fault.Line > 0 && !isYAML {
					t.Errorf("body %q of %d lines: fault %+v", body, lines, fault)
				}
			}
			return
		}
		var want struct { // without the status, which is not read
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     v1alpha1.DAGSpec  `json:"spec"`
		}
		if err := yaml.Unmarshal(body, &want); err != nil {
			t.Fatalf("body %q: kubectl refuses it: %v", body, err)
		}
		wantSpec, wantErr := json.Marshal(want.Spec)
		gotSpec, gotErr := json.Marshal(d.Spec)
		if wantErr != nil || gotErr != nil || string(wantSpec) != string(gotSpec) || want.Metadata.Name != d.Name {
			t.Errorf("body %q: read %s, kubectl reads %s", body, gotSpec, wantSpec)
		}
	})
}

// FuzzPointer looks for a path that causes a panic, or whose result is not a JSON pointer.
func FuzzPointer(f *testing.F) {
	for _, seed := range []string{"", "spec.task[0].image", "[", "]", "a[b", "a..b", ".", "a[b]c", "[[]]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		pointer := manifest.Pointer(path)
		if pointer != "" && pointer[0] != '/' {
			t.Errorf("Pointer(%q) = %q", path, pointer)
		}
	})
}
