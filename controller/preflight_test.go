package controller_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller"
)

// cluster answers what Preflight asks. The real API server answers in the end-to-end tests of the command; some of
// these answers no healthy one gives.
type cluster struct {
	version   string   // body of /version
	status    int      // of every answer; 200 when zero
	resources []string // of our group; nil: there is no group
	existing  bool     // the resources are those of the existing Kontroler
	denied    string   // "verb resource/subresource" that are not allowed, separated by commas
}

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	failure := func(code int, reason metav1.StatusReason) {
		answer(code, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: string(reason)})
	}
	switch {
	case c.status == http.StatusUnauthorized:
		failure(c.status, metav1.StatusReasonUnauthorized)
	case r.URL.Path == "/version":
		_, _ = io.WriteString(w, c.version)
	case r.URL.Path == "/apis/"+v1alpha1.SchemeGroupVersion.String():
		if c.resources == nil {
			failure(http.StatusNotFound, metav1.StatusReasonNotFound)
			return
		}
		var list metav1.APIResourceList
		for _, name := range c.resources {
			resource := metav1.APIResource{Name: name}
			if !c.existing && !strings.Contains(name, "/") {
				resource.Categories = []string{"kontroler"}
			}
			list.APIResources = append(list.APIResources, resource)
		}
		answer(http.StatusOK, list)
	case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		var review authorizationv1.SelfSubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			failure(http.StatusBadRequest, metav1.StatusReasonBadRequest)
			return
		}
		a := review.Spec.ResourceAttributes
		asked := strings.TrimSuffix(a.Verb+" "+a.Resource+"/"+a.Subresource, "/")
		review.Status.Allowed = true
		for denied := range strings.SplitSeq(c.denied, ",") {
			review.Status.Allowed = review.Status.Allowed && denied != asked
		}
		answer(http.StatusCreated, review)
	case r.URL.Path == "/api/v1/namespaces/kube-system":
		answer(http.StatusOK, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "the-uid"}})
	default:
		failure(http.StatusTeapot, "Unexpected: "+metav1.StatusReason(r.URL.Path))
	}
}

func TestPreflight(t *testing.T) {
	const kubernetesVersion = `{"gitVersion": "v1.36.3"}`
	all := []string{"dags", "dags/status", "dagruns", "dagruns/status", "dagtasks", "dagtasks/status"}
	tests := map[string]struct {
		cluster    http.Handler // none: nothing listens
		namespaces []string
		noLogs     bool
		want       []string // what the error says; empty: all is well
	}{
		"all is well":           {cluster: cluster{version: kubernetesVersion, resources: all}},
		"nothing listens":       {want: []string{"the API server at http://127.0.0.1:1 cannot be reached", "connection refused", "--kubeconfig"}},
		"no API server":         {cluster: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), want: []string{"no Kubernetes API server", "--kubeconfig"}},
		"a web server":          {cluster: http.NotFoundHandler(), want: []string{"does not answer as one", "--kubeconfig"}},
		"unknown credentials":   {cluster: cluster{status: http.StatusUnauthorized}, want: []string{"does not know this user", "credentials"}},
		"no custom resources":   {cluster: cluster{version: kubernetesVersion}, want: []string{"has no kontroler.greedykomodo/v1alpha1", "kubectl apply -k manifests/crd"}},
		"some custom resources": {cluster: cluster{version: kubernetesVersion, resources: []string{"dags", "dagruns", "dagruns/status"}}, want: []string{"lacks dags/status, dagtasks, dagtasks/status:", "kubectl apply -k manifests/crd"}},
		"the existing Kontroler's custom resources": {
			cluster: cluster{version: kubernetesVersion, resources: all, existing: true},
			want:    []string{"CustomResourceDefinitions of kontroler.greedykomodo/v1alpha1 are the existing Kontroler's", "manifests/MIGRATION.md", "kubectl apply -k manifests/crd"},
		},
		"few permissions": {
			cluster:    cluster{version: kubernetesVersion, resources: all, denied: "watch dags,list dags,patch dagtasks,patch dagruns/status,create pods,update leases,get nodes"},
			namespaces: []string{"a", "b"},
			want: []string{"missing permissions: update leases.coordination.k8s.io in namespace ops; get nodes; " +
				"list, watch dags.kontroler.greedykomodo in namespace a; patch dagruns.kontroler.greedykomodo/status in namespace a; patch dagtasks.kontroler.greedykomodo in namespace a; " +
				"create pods in namespace a; " +
				"list, watch dags.kontroler.greedykomodo in namespace b; ", "--namespaces"},
		},
		"no permission to read logs": {
			cluster: cluster{version: kubernetesVersion, resources: all, denied: "get pods/log"},
			want:    []string{"missing permissions: get pods/log in all namespaces: ", "--log-archive=off"},
		},
		"logs are not read": {cluster: cluster{version: kubernetesVersion, resources: all, denied: "get pods/log"}, noLogs: true},
		"few permissions everywhere": {
			cluster: cluster{version: kubernetesVersion, resources: all, denied: "create pods,get namespaces"},
			want:    []string{"missing permissions: get namespaces kube-system; create pods in all namespaces: "},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := "http://127.0.0.1:1"
			if test.cluster != nil {
				server := httptest.NewServer(test.cluster)
				defer server.Close()
				host = server.URL
			}
			kube := kubernetes.NewForConfigOrDie(&rest.Config{Host: host, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
			got, err := controller.Preflight(t.Context(), kube, test.namespaces, "ops", !test.noLogs)
			if len(test.want) == 0 {
				if want := (controller.Cluster{UID: "the-uid", Version: "v1.36.3"}); err != nil || got != want {
					t.Errorf("got %+v, %v; want %+v", got, err, want)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, words := range test.want {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("the error lacks %q:\n%v", words, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line:\n%v", err)
			}
		})
	}
}
