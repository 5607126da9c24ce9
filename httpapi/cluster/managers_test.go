package cluster_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// TestManagers checks the managers that wrote a spec: the one that lists show, and those with which a replacement may
// conflict.
func TestManagers(t *testing.T) {
	const own, spec = cluster.OwnManager, `{"f:spec":{"f:task":{}}}`
	entry := func(manager, fields string, at int64) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
			Time: &metav1.Time{Time: time.Unix(at, 0)},
		}
	}
	status := entry("controller", `{"f:status": {}, "f:spec": {}}`, 9)
	status.Subresource = "status"
	tests := map[string]struct {
		entries []metav1.ManagedFieldsEntry
		last    string
		others  []string
	}{
		"nobody":              {},
		"the server alone":    {[]metav1.ManagedFieldsEntry{entry(own, spec, 1)}, own, nil},
		"who wrote one field": {[]metav1.ManagedFieldsEntry{entry("flux", spec, 1)}, "flux", []string{"flux"}},
		"neither who wrote a label named spec, nor the status": {[]metav1.ManagedFieldsEntry{
			entry("policy", `{"f:metadata": {"f:labels": {"f:spec": {}}}}`, 1), status,
		}, "", nil},
		"neither an entry without fields nor one that is none": {[]metav1.ManagedFieldsEntry{
			{Manager: "x"}, entry("y", `[`, 1),
		}, "", nil},
		"the last of several": {[]metav1.ManagedFieldsEntry{
			entry("kubectl", spec, 1), entry("argocd", spec, 3), entry("argocd", `{"f:metadata": {}}`, 5),
			entry("helm", spec, 2),
		}, "argocd", []string{"argocd", "helm", "kubectl"}},
		"not the server beside another one": {[]metav1.ManagedFieldsEntry{
			entry(own, spec, 4), entry("argocd", spec, 3), entry(own, spec, 5),
		}, "argocd", []string{"argocd"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{ManagedFields: test.entries}}
			if last := cluster.Manager(d); last != test.last {
				t.Errorf("the manager is %q, want %q", last, test.last)
			}
			if diff := gocmp.Diff(test.others, cluster.SpecManagers(d)); diff != "" {
				t.Errorf("the other managers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSuspendedManagers checks that only owners of the field spec.suspended are returned.
func TestSuspendedManagers(t *testing.T) {
	entry := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
		}
	}
	d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		entry("kubectl", `{"f:spec": {"f:task": {}}}`), entry("flux", `{"f:spec": {"f:suspended": {}, "f:task": {}}}`),
		entry(cluster.OwnManager, `{"f:spec": {"f:suspended": {}}}`), entry("x", `{"f:metadata": {"f:suspended": {}}}`),
	}}}
	if diff := gocmp.Diff([]string{"flux"}, cluster.SuspendedManagers(d)); diff != "" {
		t.Errorf("managers (-want +got):\n%s", diff)
	}
}
