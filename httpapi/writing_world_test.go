package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi"
	"kontroler/httpapi/cluster"
	"kontroler/store"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

// writingRoutes are the routes that write to Kubernetes, each with the role that it needs.
var writingRoutes = map[string]string{
	"POST /api/v1/namespaces/{ns}/dags":                "editor",
	"POST /api/v1/namespaces/{ns}/dags/validate":       "editor",
	"PUT /api/v1/namespaces/{ns}/dags/{name}":          "editor",
	"DELETE /api/v1/namespaces/{ns}/dags/{name}":       "editor",
	"POST /api/v1/namespaces/{ns}/dags/{name}/suspend": "operator",
	"POST /api/v1/namespaces/{ns}/dags/{name}/resume":  "operator",
	"POST /api/v1/namespaces/{ns}/dags/{name}/runs":    "operator",
	"POST /api/v1/namespaces/{ns}/dagtasks":            "editor",
	"POST /api/v1/namespaces/{ns}/dagtasks/validate":   "editor",
	"PUT /api/v1/namespaces/{ns}/dagtasks/{name}":      "editor",
	"DELETE /api/v1/namespaces/{ns}/dagtasks/{name}":   "editor",
	"POST /api/v1/namespaces/{ns}/runs/{name}/cancel":  "operator",
	"DELETE /api/v1/namespaces/{ns}/runs/{name}":       "editor",
	"POST /api/v1/runs/{uid}/again":                    "operator",
	"POST /api/v1/runs/{uid}/cancel":                   "operator",
	"DELETE /api/v1/runs/{uid}":                        "editor",
}

// factory is a server over a cluster, with a namespace and a user of each role. A leader stands for the controller.
type factory struct {
	*replica
	clients   cluster.Clients
	leader    *store.Leader
	namespace string
	// controller is the id of the controller whose database it is.
	controller string
	// tokens are those of the users by role. "foreign" is editor of another namespace.
	tokens map[string]string
}

func newFactory(t *testing.T, change ...func(*httpapi.Config)) *factory {
	t.Helper()
	config := clustertest.Config(t)
	clustertest.InstallCRDs(t, config, "../manifests/crd")
	f := &factory{clients: connect(t, config), tokens: map[string]string{}}
	w := newWorld(t)
	w.clock.at = time.Now().UTC()
	owner := storetest.Open(t, w.url)
	f.leader = storetest.Lead(t, owner)
	views, err := view.Open(view.Config{URL: w.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { views.Close() })
	identity, err := views.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.controller = identity.ControllerID
	f.namespace = f.newNamespace(t)
	change = append([]func(*httpapi.Config){func(c *httpapi.Config) { c.Clients = f.clients }}, change...)
	f.replica = w.replica(change...)
	for _, role := range []string{"viewer", "operator", "editor"} {
		w.user(role, annPassword, accounts.Access{Grants: []accounts.Grant{{Namespace: f.namespace, Role: role}}})
		f.tokens[role] = f.login(role, annPassword)
	}
	f.tokens["foreign"], f.tokens["admin"] = f.login("ann", annPassword), f.login("root", rootPassword)
	return f
}

func connect(t *testing.T, config *rest.Config) cluster.Clients {
	t.Helper()
	clients, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

func (f *factory) newNamespace(t *testing.T) string {
	t.Helper()
	namespaces := f.clients.Core.CoreV1().Namespaces()
	created, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "writing-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		background := metav1.DeletePropagationBackground
		_ = namespaces.Delete(context.WithoutCancel(t.Context()), created.Name,
			metav1.DeleteOptions{PropagationPolicy: &background})
	})
	return created.Name
}

// path returns a path of the namespace.
func (f *factory) path(format string, args ...any) string {
	return "/api/v1/namespaces/" + f.namespace + fmt.Sprintf(format, args...)
}

// as returns a request of the user with a role.
func (f *factory) as(role, method, path, body string, header ...string) request {
	return request{method: method, path: path, body: body, token: f.tokens[role], header: header}
}

// yaml is the header of a body in YAML.
const yamlBody = "Content-Type: application/yaml"

// manifestOf returns the manifest of a DAG with a plain parameter, day, and a secret one, password.
func manifestOf(name string) string {
	return fmt.Sprintf(`apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata:
  name: %s
spec:
  schedule: "@daily"
  parameters:
  - {name: day, defaultValue: today}
  - {name: password, defaultFromSecret: database}
  task:
  - {name: load, image: alpine, parameters: [day, password]}
`, name)
}

// createDAG creates a DAG through the server.
func (f *factory) createDAG(name string) map[string]any {
	f.Helper()
	return f.want(201, f.as("editor", "POST", f.path("/dags"), manifestOf(name), yamlBody))
}

// dag reads a live DAG.
func (f *factory) dag(name string) *v1alpha1.DAG {
	f.Helper()
	d, err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace).Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// dagRun reads a live DagRun.
func (f *factory) dagRun(name string) *v1alpha1.DagRun {
	f.Helper()
	run, err := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace).Get(f.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.Fatal(err)
	}
	return run
}

// names returns the names of the DagRuns of the namespace.
func (f *factory) names() []string {
	f.Helper()
	list, err := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace).List(f.Context(), metav1.ListOptions{})
	if err != nil {
		f.Fatal(err)
	}
	names := []string{}
	for _, run := range list.Items {
		names = append(names, run.Name)
	}
	return names
}

// rowOf returns the row of a live DagRun. values are its resolved parameters.
func (f *factory) rowOf(run *v1alpha1.DagRun, values string) store.NewRun {
	f.Helper()
	spec, err := json.Marshal(f.dag(run.Spec.DagName).Spec)
	if err != nil {
		f.Fatal(err)
	}
	version, err := f.leader.DAGs.SaveVersion(f.Context(), store.DAG{
		Namespace: f.namespace, Name: run.Spec.DagName, UID: string(run.OwnerReferences[0].UID),
		CreatedAt: f.clock.now(),
	}, spec, [32]byte{1}, 1, f.clock.now())
	if err != nil {
		f.Fatal(err)
	}
	row := store.NewRun{
		UID: string(run.UID), Namespace: run.Namespace, Name: run.Name, DAGName: run.Spec.DagName, DAGID: version.DAGID,
		VersionID: version.ID, Parameters: []byte(values), CreatedAt: f.clock.now(), AdmittedAt: f.clock.now(),
	}
	row.Origin.Trigger, row.Origin.RequestedBy, row.Origin.DueAt = run.Origin()
	return row
}

// admit writes the row of a live DagRun, as the controller does.
func (f *factory) admit(run *v1alpha1.DagRun, values string) store.Run {
	f.Helper()
	admitted, err := f.leader.Admit(f.Context(), f.rowOf(run, values), []store.NewTask{{Position: 0, Name: "load"}})
	if err != nil {
		f.Fatal(err)
	}
	return admitted
}

// pointers returns what a problem names.
func pointers(problem map[string]any) []string {
	var all []string
	errs, _ := problem["errors"].([]any)
	for _, e := range errs {
		all = append(all, e.(map[string]any)["pointer"].(string))
	}
	return all
}

// TestRolesOfWriting calls each route that writes as a user of each role.
func TestRolesOfWriting(t *testing.T) {
	f := newFactory(t)
	for pattern := range f.api.Patterns() {
		_, isKnown := writingRoutes[pattern]
		isWriting := !strings.HasPrefix(pattern, "GET ") &&
			(strings.Contains(pattern, "/namespaces/") || strings.Contains(pattern, "/runs/"))
		if isWriting != isKnown {
			t.Errorf("the table of this test lacks %s", pattern)
		}
	}
	f.createDAG("etl")
	started := f.want(201, f.as("operator", "POST", f.path("/dags/etl/runs"), `{}`))
	run := f.dagRun(started["name"].(string))
	f.admit(run, `[]`)
	rank := map[string]int{"foreign": 0, "viewer": 1, "operator": 2, "editor": 3, "admin": 3}
	for pattern, needed := range writingRoutes {
		for _, role := range slices.Sorted(maps.Keys(rank)) {
			t.Run(pattern+" as "+role, func(t *testing.T) {
				r := *f.replica
				r.world = &world{T: t, clock: f.clock}
				method, path, _ := strings.Cut(pattern, " ")
				name := "none"
				path = strings.NewReplacer("{ns}", f.namespace, "{name}", name, "{uid}", string(run.UID)).Replace(path)
				q := f.as(role, method, path, "", "Content-Type: text/plain")
				a := r.do(q)
				switch {
				case rank[role] == 0 && a.StatusCode != http.StatusNotFound:
					t.Errorf("foreign: status %d: %s", a.StatusCode, a.body)
				case rank[role] > 0 && (a.StatusCode == 403) != (rank[role] < rank[needed]):
					t.Errorf("status %d: %s", a.StatusCode, a.body)
				case rank[role] > 0 && strings.Contains(string(a.body), "no such namespace"):
					t.Errorf("the own namespace is missing: %s", a.body)
				}
			})
		}
	}
}
