package trigger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/objects"
	"kontroler/httpapi/trigger"
)

func TestNames(t *testing.T) {
	tests := map[string]struct {
		r      trigger.Request
		prefix string
	}{
		"a short DAG": {trigger.Request{DAG: "etl", UserID: 1, Key: "k"}, "etl-"},
		"a DAG with the longest name": {
			trigger.Request{DAG: strings.Repeat("a", 253), UserID: 1, Key: "k"}, strings.Repeat("a", 46) + "-",
		},
		"a cut behind a dot": {
			trigger.Request{DAG: strings.Repeat("a", 45) + ".b", UserID: 1, Key: "k"}, strings.Repeat("a", 45) + "-",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := trigger.NameOf(&test.r)
			if faults := validation.IsDNS1123Label(got); len(faults) > 0 || !strings.HasPrefix(got, test.prefix) ||
				got != trigger.NameOf(&test.r) {
				t.Errorf("name %q: %v", got, faults)
			}
		})
	}
	seen := map[string]trigger.Request{}
	for _, r := range []trigger.Request{
		{DAG: "etl", UserID: 1, Key: "k"}, {DAG: "etl", UserID: 2, Key: "k"}, {DAG: "etl", UserID: 1, Key: "l"},
		{DAG: "etk", UserID: 1, Key: "k"}, {DAG: "etl", UserID: 11, Key: "k"},
	} {
		name := trigger.NameOf(&r)
		if other, isTaken := seen[name]; isTaken {
			t.Errorf("%+v and %+v have the name %s", r, other, name)
		}
		seen[name] = r
	}
	if name := trigger.NameOf(&trigger.Request{DAG: "etl", Name: "mine"}); name != "mine" {
		t.Errorf("name %q", name)
	}
}

func TestHashes(t *testing.T) {
	seen := map[string]trigger.Request{}
	for _, r := range []trigger.Request{
		{}, {Source: "u1"}, {Given: plain("day", "monday")}, {Given: plain("day", "")}, {Given: plain("daymonday", "")},
		{Given: append(plain("a", "b"), plain("c", "d")...)}, {Source: "u1", Given: plain("day", "monday")},
	} {
		hash, err := trigger.HashOf(&r)
		if other, isTaken := seen[hash]; err != nil || isTaken {
			t.Errorf("%+v and %+v have the hash %s, %v", r, other, hash, err)
		}
		seen[hash] = r
	}
}

func plain(name, value string) []v1alpha1.ParameterValue {
	return []v1alpha1.ParameterValue{{Name: name, Value: &value}}
}

func secret(name, of string) []v1alpha1.ParameterValue {
	return []v1alpha1.ParameterValue{{Name: name, SecretKeyRef: &v1alpha1.SecretKeyRef{Name: of, Key: "secret"}}}
}

func TestOverrides(t *testing.T) {
	today := "today"
	graph, faults := dag.Compile(&v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{
			{Name: "day", DefaultValue: &today}, {Name: "password", DefaultFromSecret: "database"},
		},
		Task: []v1alpha1.Task{{Name: "load", TaskTemplate: v1alpha1.TaskTemplate{Image: "alpine"}}},
	})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	tests := map[string]struct {
		given, inherited []v1alpha1.ParameterValue
		mayNameSecrets   bool
		want             []v1alpha1.ParameterValue
		faults           []string
		reason           objects.Reason
	}{
		"nothing":                            {},
		"a given parameter":                  {given: plain("day", "monday"), want: plain("day", "monday")},
		"a given parameter with the default": {given: plain("day", "today"), want: plain("day", "today")},
		"an inherited parameter":             {inherited: plain("day", "monday"), want: plain("day", "monday")},
		"an inherited default": {
			inherited: append(plain("day", "today"), secret("password", "database")...),
		},
		"a given one instead of an inherited": {
			given: plain("day", "friday"), inherited: plain("day", "monday"), want: plain("day", "friday"),
		},
		"an inherited Secret": {
			inherited: secret("password", "old"), mayNameSecrets: true, want: secret("password", "old"),
		},
		"an inherited Secret of an operator": {inherited: secret("password", "old"), reason: objects.NotAllowed},
		"a given Secret of an operator":      {given: secret("password", "database"), reason: objects.NotAllowed},
		"a lost parameter": {
			given: plain("day", "friday"), inherited: plain("night", "x"), faults: []string{"parameters"},
			reason: objects.Invalid,
		},
		"an unknown parameter": {
			given: plain("night", "x"), faults: []string{"parameters[0].name"}, reason: objects.Invalid,
		},
		"another kind": {
			inherited: plain("password", "x"), faults: []string{"parameters"}, reason: objects.Invalid,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := trigger.OverridesOf(&trigger.Request{
				Given: test.given, Inherited: test.inherited, MayNameSecrets: test.mayNameSecrets,
			}, graph)
			refusal, isRefused := errors.AsType[*objects.Refusal](err)
			if test.reason != 0 || test.faults != nil {
				var fields []string
				if isRefused {
					for _, f := range refusal.Faults {
						fields = append(fields, f.Field)
					}
				}
				if diff := cmp.Diff(test.faults, fields); diff != "" || !isRefused || refusal.Reason != test.reason {
					t.Errorf("error %v, faults (-want +got):\n%s", err, diff)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("error %v, overrides (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestNoValueInErrors checks that a refusal does not repeat a value, which somebody may have put into the wrong field.
func TestNoValueInErrors(t *testing.T) {
	graph, _ := dag.Compile(&v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "password", DefaultFromSecret: "database"}},
		Task:       []v1alpha1.Task{{Name: "load", TaskTemplate: v1alpha1.TaskTemplate{Image: "alpine"}}},
	})
	for _, r := range []trigger.Request{
		{Given: plain("password", "hunter2")}, {Inherited: plain("password", "hunter2")},
	} {
		_, err := trigger.OverridesOf(&r, graph)
		refusal, ok := errors.AsType[*objects.Refusal](err)
		if !ok || strings.Contains(fmt.Sprintf("%v %+v", err, *refusal), "hunter2") {
			t.Errorf("error %+v", err)
		}
	}
}
