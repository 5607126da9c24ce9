package objects_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/objects"
)

func TestSpecManagers(t *testing.T) {
	entry := func(manager, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Subresource: subresource, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	tests := map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    []string
	}{
		"none":                  {},
		"the server":            {[]metav1.ManagedFieldsEntry{entry(objects.FieldManager, "", `{"f:spec": {".": {}}}`)}, nil},
		"who wrote labels":      {[]metav1.ManagedFieldsEntry{entry("policy", "", `{"f:metadata": {"f:labels": {"f:a": {}}}}`)}, nil},
		"who wrote the status":  {[]metav1.ManagedFieldsEntry{entry("controller", "status", `{"f:status": {}, "f:spec": {}}`)}, nil},
		"who wrote a field":     {[]metav1.ManagedFieldsEntry{entry("flux", "", `{"f:spec": {"f:schedule": {}}}`)}, []string{"flux"}},
		"an entry without any":  {[]metav1.ManagedFieldsEntry{{Manager: "x"}}, nil},
		"an entry that is none": {[]metav1.ManagedFieldsEntry{entry("x", "", `[`)}, nil},
		"several, by name": {[]metav1.ManagedFieldsEntry{
			entry("kubectl", "", `{"f:spec": {}}`), entry("argocd", "", `{"f:metadata": {}}`), entry("argocd", "", `{"f:spec": {}}`),
		}, []string{"argocd", "kubectl"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{ManagedFields: test.entries}}
			if diff := cmp.Diff(test.want, objects.SpecManagers(d)); diff != "" {
				t.Errorf("managers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsForeign(t *testing.T) {
	tests := map[string]struct {
		controller, class string
		want              bool
	}{
		"its own":                          {"me", "blue", false},
		"its own, whose class has changed": {"me", "green", false},
		"another's":                        {"other", "blue", true},
		"nobody's yet":                     {"", "blue", false},
		"nobody's, of another class":       {"", "green", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := &v1alpha1.DAG{}
			d.Status.Controller, d.Spec.ControllerClass = test.controller, test.class
			if got := objects.IsForeign(d, "me", "blue"); got != test.want {
				t.Errorf("IsForeign = %t", got)
			}
		})
	}
}
