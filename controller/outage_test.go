package controller

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/controller/leader"
)

// A process that has lost the database leaves the DagRuns to the one that leads.
func TestHasSuccessor(t *testing.T) {
	r := newRoad(t)
	for name, c := range map[string]struct {
		leads  bool
		holder *string // nil: there is no Lease
		want   bool
	}{
		"the leader has none":          {leads: true, holder: new("me")},
		"another process leads":        {holder: new("other"), want: true},
		"the Lease is released":        {holder: new("")},
		"the Lease cannot be read":     {want: true},
		"the leader asks for no Lease": {leads: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := r.newFixture(t, nil)
			cfg := *f.cfg
			cfg.LeaseNamespace = r.namespace
			if c.holder != nil {
				leases := r.kube.CoordinationV1().Leases(r.namespace)
				_, err := leases.Create(t.Context(), &coordinationv1.Lease{
					ObjectMeta: metav1.ObjectMeta{Name: leader.LeaseName(cfg.ID)},
					Spec:       coordinationv1.LeaseSpec{HolderIdentity: c.holder},
				}, metav1.CreateOptions{})
				must(t, err)
				defer leases.Delete(t.Context(), leader.LeaseName(cfg.ID), metav1.DeleteOptions{})
			}
			former := &Controller{cfg: cfg}
			former.leads.Store(c.leads)
			if got := former.hasSuccessor(t.Context()); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
