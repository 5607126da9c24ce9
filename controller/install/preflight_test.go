package install_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/install"
)

// cluster answers the requests of Preflight. The end-to-end tests use a real API server, which gives only some of these
// answers.
type cluster struct {
	version    string   // body of /version
	status     int      // status of every answer; 0 means that of a healthy API server
	resources  []string // resources of Kontroler's group; nil means that the group does not exist
	isExisting bool     // the resources are those of the existing Kontroler
	denied     []string // permissions that are not granted: "verb resource/subresource"
	closed     []string // namespaces in which nothing is granted
}

// healthy returns an API server with all resources, less some permissions.
func healthy(denied ...string) cluster {
	return cluster{version: `{"gitVersion": "v1.36.3"}`, resources: allResources, denied: denied}
}

var allResources = []string{"dags", "dags/status", "dagruns", "dagruns/status", "dagtasks", "dagtasks/status"}

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case c.status == http.StatusUnauthorized:
		fail(w, c.status, metav1.StatusReasonUnauthorized)
	case c.status == http.StatusForbidden:
		fail(w, c.status, metav1.StatusReasonForbidden)
	case r.URL.Path == "/version":
		_, _ = io.WriteString(w, c.version)
	case r.URL.Path == "/apis/"+v1alpha1.SchemeGroupVersion.String():
		c.listResources(w)
	case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		c.review(w, r)
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		answer(w, http.StatusOK, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "the-uid"}})
	default:
		fail(w, http.StatusTeapot, "Unexpected: "+metav1.StatusReason(r.URL.Path))
	}
}

func (c cluster) listResources(w http.ResponseWriter) {
	if c.resources == nil {
		fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	}
	var list metav1.APIResourceList
	for _, name := range c.resources {
		resource := metav1.APIResource{Name: name}
		if !c.isExisting && !strings.Contains(name, "/") {
			resource.Categories = []string{"kontroler"}
		}
		list.APIResources = append(list.APIResources, resource)
	}
	answer(w, http.StatusOK, list)
}

func (c cluster) review(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SelfSubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest)
		return
	}
	a := review.Spec.ResourceAttributes
	asked := strings.TrimSuffix(a.Verb+" "+a.Resource+"/"+a.Subresource, "/")
	review.Status.Allowed = !slices.Contains(c.closed, a.Namespace)
	for _, denied := range c.denied {
		review.Status.Allowed = review.Status.Allowed && denied != asked
	}
	answer(w, http.StatusCreated, review)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	answer(w, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   "Failure", Code: int32(code), Reason: reason, Message: string(reason),
	})
}

// hostOf serves an API server until the test ends. Nothing listens at its address if the server is nil.
func hostOf(t *testing.T, server http.Handler) string {
	t.Helper()
	if server == nil {
		return "http://127.0.0.1:1"
	}
	serving := httptest.NewServer(server)
	t.Cleanup(serving.Close)
	return serving.URL
}

func TestPreflight(t *testing.T) {
	const (
		version  = `{"gitVersion": "v1.36.3"}`
		group    = "kontroler.greedykomodo/v1alpha1"
		applyCRD = "Apply Kontroler's CustomResourceDefinitions with kubectl apply -k manifests/crd"
		check    = "Check --kubeconfig (or KUBECONFIG)"
		grant    = "Apply manifests/controller, or limit the controller with --namespaces"
	)
	tests := map[string]struct {
		server     http.Handler // nil means that nothing listens
		namespaces []string
		readsLogs  bool
		want       string // the error
		wantClosed []string
	}{
		"a server that does not listen cannot be reached": {
			want: "the API server at http://127.0.0.1:1 cannot be reached: " +
				"dial tcp 127.0.0.1:1: connect: connection refused. " + check,
		},
		"a web page is not the version of an API server": {
			server: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "<html>")
			}),
			want: "the server is not a Kubernetes API server. " + check,
		},
		"JSON without a version is not the version of an API server": {
			server: cluster{version: "{}"},
			want:   "the server is not a Kubernetes API server. " + check,
		},
		"a web server without /version is not an API server": {
			server: http.NotFoundHandler(),
			want: "the server does not answer like a Kubernetes API server: " +
				"the server could not find the requested resource. " + check,
		},
		"unknown credentials are rejected": {
			server: cluster{status: http.StatusUnauthorized},
			want: "the API server rejects the credentials: " +
				"the server has asked for the client to provide credentials. " +
				"Check those in the kubeconfig (--kubeconfig), or the service account of the Pod",
		},
		"a user who may not even read the version has the wrong credentials": {
			server: cluster{status: http.StatusForbidden},
			want: "the API server does not let this user read its version: unknown. " +
				"Check the credentials in the kubeconfig (--kubeconfig)",
		},
		"a cluster without the group lacks the custom resources": {
			server: cluster{version: version},
			want:   "the cluster has no " + group + ". " + applyCRD,
		},
		"a cluster with older custom resources lacks some": {
			server: cluster{version: version, resources: []string{"dags", "dagruns", "dagruns/status"}},
			want:   "the cluster's " + group + " lacks dags/status, dagtasks, dagtasks/status. " + applyCRD,
		},
		"custom resources of the existing Kontroler are a fault": {
			server: cluster{version: version, resources: allResources, isExisting: true},
			want: "the CustomResourceDefinitions of " + group + " are the existing Kontroler's. " +
				"Follow manifests/MIGRATION.md, which replaces them with those of manifests/crd",
		},
		"missing permissions are named for each namespace, in the order of their rules": {
			server: healthy("watch dags", "list dags", "patch dagtasks", "patch dagruns/status", "create pods",
				"update leases", "get nodes"),
			namespaces: []string{"a", "b"}, readsLogs: true,
			want: "missing permissions: update leases.coordination.k8s.io in namespace ops; get nodes; " +
				"list, watch dags.kontroler.greedykomodo in namespace a; " +
				"patch dagruns.kontroler.greedykomodo/status in namespace a; " +
				"patch dagtasks.kontroler.greedykomodo in namespace a; create pods in namespace a; " +
				"list, watch dags.kontroler.greedykomodo in namespace b; " +
				"patch dagruns.kontroler.greedykomodo/status in namespace b; " +
				"patch dagtasks.kontroler.greedykomodo in namespace b; create pods in namespace b. " + grant,
		},
		"a named namespace that grants nothing does not stop the others": {
			server:     cluster{version: version, resources: allResources, closed: []string{"b"}},
			namespaces: []string{"a", "b"},
			wantClosed: []string{"b"},
		},
		"what another named namespace lacks is named alone": {
			server: cluster{version: version, resources: allResources, denied: []string{"create pods"},
				closed: []string{"b"}},
			namespaces: []string{"a", "b"},
			want:       "missing permissions: create pods in namespace a. " + grant,
		},
		"named namespaces that all grant nothing are named": {
			server:     cluster{version: version, resources: allResources, closed: []string{"a"}},
			namespaces: []string{"a"},
			want: "missing permissions: get, list, watch, patch dags.kontroler.greedykomodo in namespace a; " +
				"patch dags.kontroler.greedykomodo/status in namespace a; " +
				"get, list, watch, create, patch, delete dagruns.kontroler.greedykomodo in namespace a; " +
				"patch dagruns.kontroler.greedykomodo/status in namespace a; " +
				"get, list, watch, patch dagtasks.kontroler.greedykomodo in namespace a; " +
				"patch dagtasks.kontroler.greedykomodo/status in namespace a; " +
				"get, list, watch, create, patch, delete pods in namespace a; " +
				"get, create, delete persistentvolumeclaims in namespace a; " +
				"list, watch, create, patch events in namespace a. " + grant,
		},
		"the namespace of the Lease must grant it": {
			server:     cluster{version: version, resources: allResources, closed: []string{"ops"}},
			namespaces: []string{"a"},
			want: "missing permissions: get, create, update leases.coordination.k8s.io in namespace ops. " +
				grant,
		},
		"a controller of all namespaces needs its permissions in all namespaces": {
			server: healthy("create pods", "get namespaces"), readsLogs: true,
			want: "missing permissions: get namespaces kube-system; create pods in all namespaces. " + grant,
		},
		"a controller that reads logs can do without them": {
			server: healthy("get pods/log"), readsLogs: true,
			want: "missing permissions: get pods/log in all namespaces. Apply manifests/controller, " +
				"limit the controller with --namespaces, or run it without logs with --log-archive=off",
		},
		"a controller that reads no logs needs no permission to": {server: healthy("get pods/log")},
		"a cluster that has everything passes":                   {server: healthy(), readsLogs: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kube := kubernetes.NewForConfigOrDie(&rest.Config{
				Host: hostOf(t, test.server), QPS: -1,
				ContentConfig: rest.ContentConfig{ContentType: "application/json"},
			})
			got, err := install.Preflight(t.Context(), install.PreflightConfig{
				Kube: kube, Namespaces: test.namespaces, LeaseNamespace: "ops", ReadsLogs: test.readsLogs,
			})
			want, message := install.Cluster{UID: "the-uid", Version: "v1.36.3", ClosedNamespaces: test.wantClosed}, ""
			if err != nil {
				want, message = install.Cluster{}, err.Error()
			}
			if diff := cmp.Diff(test.want, message); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("cluster (-want +got):\n%s", diff)
			}
		})
	}
}

// Custom resources that were just applied are served a moment later.
func TestPreflightWaitsForResources(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := healthy()
		if r.URL.Path == "/apis/"+v1alpha1.SchemeGroupVersion.String() {
			if asked++; asked == 1 {
				c.resources = nil
			}
		}
		c.ServeHTTP(w, r)
	}))
	defer server.Close()
	kube := kubernetes.NewForConfigOrDie(&rest.Config{
		Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	})
	if _, err := install.Preflight(t.Context(), install.PreflightConfig{
		Kube: kube, LeaseNamespace: "ops",
	}); err != nil {
		t.Error(err)
	}
	if asked != 2 {
		t.Errorf("the resources were read %d times, want 2", asked)
	}
}

// A namespace exists unless the API server says that it does not. The question creates nothing.
func TestAbsentNamespaces(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("dryRun") != metav1.DryRunAll {
			t.Errorf("%s %s is no dry run", r.Method, r.URL)
		}
		switch r.URL.Path {
		case "/api/v1/namespaces/absent/events":
			fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
		case "/api/v1/namespaces/refusing/events":
			fail(w, http.StatusForbidden, metav1.StatusReasonForbidden)
		default:
			answer(w, http.StatusCreated, corev1.Event{})
		}
	}))
	defer server.Close()
	kube := kubernetes.NewForConfigOrDie(&rest.Config{
		Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	})
	got := install.AbsentNamespaces(t.Context(), kube, []string{"present", "absent", "refusing"})
	if diff := cmp.Diff([]string{"absent"}, got); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

// TestIsAway: which failures of a start are waited out.
func TestIsAway(t *testing.T) {
	busy := func(code int, reason metav1.StatusReason) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fail(w, code, reason) })
	}
	for name, test := range map[string]struct {
		server http.Handler // nil means that nothing listens
		want   bool
	}{
		"nothing listens": {want: true},
		"the connection ends": {want: true, server: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		})},
		"503":                     {server: busy(503, metav1.StatusReasonServiceUnavailable), want: true},
		"503 of a load balancer":  {server: busy(503, ""), want: true},
		"429":                     {server: busy(429, metav1.StatusReasonTooManyRequests), want: true},
		"504":                     {server: busy(504, metav1.StatusReasonTimeout), want: true},
		"unknown credentials":     {server: cluster{status: http.StatusUnauthorized}},
		"no permission":           {server: healthy("create pods")},
		"no custom resources":     {server: cluster{version: `{"gitVersion": "v1.36.3"}`}},
		"a server of another API": {server: http.NotFoundHandler()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := kubernetes.NewForConfigOrDie(&rest.Config{Host: hostOf(t, test.server), QPS: -1})
			_, err := install.Preflight(t.Context(), install.PreflightConfig{Kube: client, LeaseNamespace: "default"})
			if err == nil || install.IsAway(err) != test.want {
				t.Errorf("IsAway is %t for %v", !test.want, err)
			}
		})
	}
}
