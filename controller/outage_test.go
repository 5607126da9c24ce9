package controller

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer/informertest"
	"kontroler/controller/leader"
	"kontroler/generated/clientset/versioned"
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

// namedServer is an API server that answers by the namespace and the name of the object.
type namedServer func(r *http.Request, namespace, name string) (*http.Response, error)

// RoundTrip implements http.RoundTripper. The path of a status is .../namespaces/<namespace>/<kind>/<name>/status.
func (s namedServer) RoundTrip(r *http.Request) (*http.Response, error) {
	object := path.Dir(r.URL.Path)
	return s(r, path.Base(path.Dir(path.Dir(object))), path.Base(object))
}

// newNotices makes the controller of a process without a database, with DagRuns "0" to "<n-1>" of each namespace.
func newNotices(t *testing.T, server http.RoundTripper, n int, namespaces ...string) *Controller {
	t.Helper()
	var runs v1alpha1.DagRunList
	for _, namespace := range namespaces {
		for range n {
			age := time.Unix(int64(len(runs.Items)), 0)
			runs.Items = append(runs.Items, v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: namespace, Name: fmt.Sprint(len(runs.Items) % n), CreationTimestamp: metav1.NewTime(age),
					UID: types.UID(fmt.Sprint(len(runs.Items))),
				},
				Status: v1alpha1.DagRunStatus{Controller: "mine", Phase: v1alpha1.RunRunning},
			})
		}
	}
	c := &Controller{cached: &caches{}, cfg: Config{
		ID: "mine", Log: slog.New(slog.DiscardHandler),
		Client: versioned.NewForConfigOrDie(&rest.Config{Host: "http://server.example", Transport: server, QPS: -1}),
	}}
	c.cached.add(watched{
		dags: informertest.Client(&v1alpha1.DAGList{}), dagTasks: informertest.Client(&v1alpha1.DagTaskList{}),
		dagRuns: informertest.Client(&runs), pods: informertest.Client(&corev1.PodList{}),
	}, "mine")
	informertest.Run(t, &c.cached.dagRuns, &c.cached.dags)
	return c
}

// Patches that hang, of the older DagRuns of some namespaces, do not keep the notice from another namespace.
func TestOutageWhileNamespacesHang(t *testing.T) {
	shown := map[string]bool{}
	hanging := 0
	server := namedServer(func(r *http.Request, namespace, name string) (*http.Response, error) {
		if namespace != "quiet" {
			hanging++
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		shown[name] = true
		return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
	})
	namespaces := []string{"hangs-1", "hangs-2", "hangs-3", "quiet"}
	const n = 5
	c := newNotices(t, server, n, namespaces...)
	synctest.Test(t, func(t *testing.T) {
		o := outageNotices{paused: pauses{}, failed: map[types.UID]time.Time{}}
		for range namespaces {
			c.patchNext(t.Context(), o)
		}
		if len(shown) != n || hanging != len(namespaces)-1 {
			t.Errorf("%d DagRuns show the outage, want %d; %d patches hang, want %d",
				len(shown), n, hanging, len(namespaces)-1)
		}
		time.Sleep(pauseAfterFailure) // of the bubble's clock
		c.patchNext(t.Context(), o)
		if hanging == len(namespaces)-1 {
			t.Error("a namespace that hung stays without notices")
		}
	})
}

// A DagRun whose patches are refused does not keep the notice from the others of its namespace.
func TestOutageWhileADagRunIsRefused(t *testing.T) {
	for name, code := range map[string]int{"denied": http.StatusForbidden, "changed": http.StatusConflict} {
		t.Run(name, func(t *testing.T) {
			shown := map[string]bool{}
			server := namedServer(func(_ *http.Request, _, name string) (*http.Response, error) {
				answer := http.StatusNotFound // as of a DagRun that is gone
				if name == "0" {
					answer = code
				} else {
					shown[name] = true
				}
				return &http.Response{StatusCode: answer, Body: io.NopCloser(strings.NewReader("no"))}, nil
			})
			c := newNotices(t, server, 5, "team")
			synctest.Test(t, func(t *testing.T) {
				o := outageNotices{paused: pauses{}, failed: map[types.UID]time.Time{}}
				c.patchNext(t.Context(), o)
				time.Sleep(pauseAfterFailure) // of the bubble's clock
				c.patchNext(t.Context(), o)
				if len(shown) != 4 {
					t.Errorf("%d DagRuns show the outage, want 4", len(shown))
				}
			})
		})
	}
}
