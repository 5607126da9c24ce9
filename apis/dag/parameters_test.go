package dag_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

func withParameters(t *testing.T) *dag.Graph {
	t.Helper()
	return compile(t, &v1alpha1.DAGSpec{
		Task: []v1alpha1.Task{task("a")},
		Parameters: []v1alpha1.Parameter{
			{Name: "token", DefaultFromSecret: "vault"},
			{Name: "date", DefaultValue: ptr("today")},
			{Name: "key", DefaultSecretKeyRef: &v1alpha1.SecretKeyRef{Name: "vault", Key: "k"}},
			{Name: "empty", DefaultValue: ptr("")},
		},
	})
}

func TestResolve(t *testing.T) {
	for name, c := range map[string]struct {
		overrides []v1alpha1.ParameterValue
		want      string
	}{
		"defaults": {nil, `[{"name":"date","value":"today"},{"name":"empty","value":""},` +
			`{"name":"key","secret":"vault","key":"k"},{"name":"token","secret":"vault","key":"secret"}]`},
		"all overridden": {
			[]v1alpha1.ParameterValue{
				{Name: "key", FromSecret: "other"},
				{Name: "date", Value: ptr("")},
				{Name: "token", SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "other", Key: "t"}},
				{Name: "empty", Value: ptr("full")},
			},
			`[{"name":"date","value":""},{"name":"empty","value":"full"},` +
				`{"name":"key","secret":"other","key":"secret"},{"name":"token","secret":"other","key":"t"}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			values, faults := withParameters(t).Resolve(c.overrides)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			got, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var back []dag.Value
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(values, back); diff != "" {
				t.Errorf("back from JSON (-want +got):\n%s", diff)
			}
		})
	}
}

// Manifests of the existing Kontroler have both fields of a parameter, one of them empty.
func TestResolveEmptyBesideSecret(t *testing.T) {
	spec := tasks(task("a"))
	spec.Parameters = []v1alpha1.Parameter{
		{Name: "key", DefaultValue: ptr(""), DefaultFromSecret: "vault"},
		{Name: "url", DefaultValue: ptr("u"), DefaultFromSecret: ""},
	}
	values, faults := compile(
		t,
		spec,
	).Resolve([]v1alpha1.ParameterValue{{Name: "key", Value: ptr(""), FromSecret: "other"}})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := []dag.Value{{Name: "key", Secret: "other", Key: "secret"}, {Name: "url", Value: ptr("u")}}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResolveNothing(t *testing.T) {
	values, faults := compile(t, tasks(task("a"))).Resolve(nil)
	if len(values) != 0 || len(faults) != 0 {
		t.Errorf("values %v, faults %v", values, faults)
	}
}

func TestResolveFaults(t *testing.T) {
	overrides := []v1alpha1.ParameterValue{
		{Name: "nobody", Value: ptr("hunter2")},
		{Name: "token", Value: ptr("hunter2")},
		{Name: "date", FromSecret: "vault"},
		{Name: "empty", SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "vault", Key: "k"}},
		{Name: "date", Value: ptr("hunter2")},
		{Name: "key"},
		{Name: "key", Value: ptr("hunter2"), FromSecret: "vault"},
	}
	values, faults := withParameters(t).Resolve(overrides)
	if values != nil {
		t.Errorf("values %v beside faults", values)
	}
	want := []string{
		"spec.parameters[0].name: FieldValueNotFound", "spec.parameters[1].value: FieldValueForbidden",
		"spec.parameters[2].fromSecret: FieldValueForbidden", "spec.parameters[3].secretKeyRef: FieldValueForbidden",
		"spec.parameters[4].name: FieldValueDuplicate", "spec.parameters[5]: FieldValueRequired",
		"spec.parameters[6].name: FieldValueDuplicate",
	}
	if diff := cmp.Diff(want, brief(faults)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := faults.ToAggregate().Error(); strings.Contains(text, "hunter2") {
		t.Errorf("quotes a value: %s", text)
	}
}

func TestResolveSourceFaults(t *testing.T) {
	for name, c := range map[string]struct {
		override v1alpha1.ParameterValue
		want     []string
	}{
		"NUL": {
			v1alpha1.ParameterValue{Name: "date", Value: ptr("\x00")},
			[]string{"spec.parameters[0].value: FieldValueInvalid"},
		},
		"as long as Linux takes": {
			v1alpha1.ParameterValue{Name: "date", Value: ptr(strings.Repeat("x", 131072-len("date=\x00")))}, nil,
		},
		"a byte longer": {
			v1alpha1.ParameterValue{Name: "date", Value: ptr(strings.Repeat("x", 131073-len("date=\x00")))},
			[]string{"spec.parameters[0].value: FieldValueTooLong"},
		},
		"longer by bytes, not runes": {
			v1alpha1.ParameterValue{Name: "date", Value: ptr(strings.Repeat("ä", 65536))},
			[]string{"spec.parameters[0].value: FieldValueTooLong"},
		},
		"two": {
			v1alpha1.ParameterValue{
				Name: "key", FromSecret: "a", SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "b", Key: "c"},
			},
			[]string{"spec.parameters[0]: FieldValueForbidden"},
		},
		"secret name": {
			v1alpha1.ParameterValue{Name: "key", FromSecret: "A"},
			[]string{"spec.parameters[0].fromSecret: FieldValueInvalid"},
		},
		"secret key": {
			v1alpha1.ParameterValue{Name: "key", SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "b", Key: "c d"}},
			[]string{"spec.parameters[0].secretKeyRef.key: FieldValueInvalid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, faults := withParameters(t).Resolve([]v1alpha1.ParameterValue{c.override})
			if diff := cmp.Diff(c.want, brief(faults)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	_, faults := withParameters(t).Resolve(make([]v1alpha1.ParameterValue, 5000))
	if len(faults) != 101 {
		t.Errorf("%d faults of 5000 unknown overrides, want 101", len(faults))
	}
}
