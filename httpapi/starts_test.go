package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi"
)

// trigger returns a request of the operator for a run of DAG etl.
func (f *factory) trigger(body string, header ...string) request {
	return f.as("operator", "POST", f.path("/dags/etl/runs"), body, header...)
}

// deleteRun deletes a live DagRun, as its history limit does.
func (f *factory) deleteRun(name string) {
	f.Helper()
	if err := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace).Delete(
		f.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

func TestTrigger(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	started := f.do(f.trigger(`{"parameters": [{"name": "day", "value": "2026-11-26"}]}`))
	if started.StatusCode != 201 {
		t.Fatalf("status %d: %s", started.StatusCode, started.body)
	}
	name := decoded(t, started)["name"].(string)
	if started.Header.Get("Location") != f.path("/runs/%s", name) || !strings.HasPrefix(name, "etl-") {
		t.Errorf("header %v", started.Header)
	}
	run, d := f.dagRun(name), f.dag("etl")
	want := map[string]string{v1alpha1.AnnotationDAG: "etl", v1alpha1.AnnotationRequestedBy: "operator"}
	got := map[string]string{}
	for key := range want {
		got[key] = run.Annotations[key]
	}
	if diff := cmp.Diff(want, got); diff != "" || !metav1.IsControlledBy(run, d) ||
		run.Labels[v1alpha1.LabelDAG] != "etl" {
		t.Errorf("DagRun %+v, annotations (-want +got):\n%s", run.ObjectMeta, diff)
	}
	if p := run.Spec.Parameters; len(p) != 1 || *p[0].Value != "2026-11-26" {
		t.Errorf("parameters %v", p)
	}
	if by, requester, _ := run.Origin(); by != v1alpha1.TriggerAPI || requester != "operator" {
		t.Errorf("origin %s %s", by, requester)
	}
	f.want(201, f.trigger(`{"name": "mine"}`))
	f.want(409, f.trigger(`{"name": "mine"}`))
	f.want(201, f.as("editor", "POST", f.path("/dags/etl/runs"),
		`{"parameters": [{"name": "password", "fromSecret": "mine"}]}`))
}

func TestRefusedTriggers(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	f.createDAG("broken")
	f.patchAs("kubectl", "broken", `{"spec": {"task": [{"name": "load", "taskRef": {"name": "none"}}]}}`)
	f.createDAG("held")
	f.patchAs("policy", "held", `{"metadata": {"finalizers": ["example.com/hold"]}}`)
	f.want(204, f.as("editor", "DELETE", f.path("/dags/held"), ""))
	t.Cleanup(func() { f.patchAs("policy", "held", `{"metadata": {"finalizers": null}}`) })
	on := func(dag, body string, header ...string) request {
		return f.as("operator", "POST", f.path("/dags/%s/runs", dag), body, header...)
	}
	tests := map[string]struct {
		q    request
		want int
		says string // in the problem
	}{
		"an unknown parameter": {
			f.trigger(`{"parameters": [{"name": "night", "value": "x"}]}`), 422, `"/parameters/0/name"`,
		},
		"a parameter twice": {
			f.trigger(`{"parameters": [{"name": "day", "value": "x"}, {"name": "day", "value": "y"}]}`), 422,
			`"/parameters/1/name"`,
		},
		"a plain value for a secret": {
			f.trigger(`{"parameters": [{"name": "password", "value": "hunter2"}]}`), 422, `"/parameters/0/value"`,
		},
		"a Secret by an operator": {
			f.trigger(`{"parameters": [{"name": "password", "fromSecret": "x"}]}`), 403,
			"whoever names a Secret can read it",
		},
		"a key of a Secret": {
			f.trigger(`{"parameters": [{"name": "password", "secretKeyRef": {"name": "x", "key": "y"}}]}`), 403,
			"role editor",
		},
		"an unknown field": {f.trigger(`{"parameter": []}`), 400, `"/parameter"`},
		"a value of the wrong type": {
			f.trigger(`{"parameters": [{"name": "day", "value": 1}]}`), 400, `"/parameters/0/value"`,
		},
		"YAML":                {f.trigger(`parameters: []`, yamlBody), 415, "application/json"},
		"a name that is none": {f.trigger(`{"name": "Run 1"}`), 422, `"/name"`},
		"a name and a key":    {f.trigger(`{"name": "mine"}`, "Idempotency-Key: k"), 422, `"/name"`},
		"a key that is too long": {
			f.trigger(`{}`, "Idempotency-Key: "+strings.Repeat("k", 256)), 400, "Idempotency-Key",
		},
		"a key with a space":          {f.trigger(`{}`, "Idempotency-Key: a b"), 400, "Idempotency-Key"},
		"a key that is empty":         {f.trigger(`{}`, "Idempotency-Key:  "), 400, "Idempotency-Key"},
		"a DAG that does not exist":   {on("none", `{}`), 404, "no such object"},
		"a DAG with an invalid name":  {on("..%2Fetl", `{}`), 404, "no such object"},
		"a DAG that is not valid":     {on("broken", `{}`), 409, "spec.task[0].taskRef.name"},
		"a DAG that is being deleted": {on("held", `{}`), 409, "being deleted"},
		"an unknown query parameter": {
			f.as("operator", "POST", f.path("/dags/etl/runs?dry=true"), `{}`), 400, "dryRun",
		},
		"a dry run that is neither": {
			f.as("operator", "POST", f.path("/dags/etl/runs?dryRun=yes"), `{}`), 400, "dryRun",
		},
		"a value longer than Linux takes": {
			f.trigger(`{"parameters": [{"name": "day", "value": "` + strings.Repeat("x", 140000) + `"}]}`), 422,
			`"/parameters/0/value"`,
		},
		"a body that is too large": {
			f.trigger(`{"parameters": [{"name": "day", "value": "` + strings.Repeat("x", 2<<20) + `"}]}`), 413,
			"2097152",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := *f.replica
			r.world = &world{T: t, clock: f.clock}
			dry := test.q
			if !strings.Contains(dry.path, "?") {
				dry.path += "?dryRun=true"
			}
			for _, q := range []request{test.q, dry} {
				a := r.do(q)
				if a.StatusCode != test.want || !strings.Contains(string(a.body), test.says) ||
					strings.Contains(string(a.body), "hunter2") {
					t.Errorf("%s: status %d, want %d %s: %s", q.path, a.StatusCode, test.want, test.says, a.body)
				}
			}
		})
	}
	if names := f.names(); len(names) > 0 {
		t.Errorf("DagRuns %v", names)
	}
	if strings.Contains(f.log.String(), "hunter2") {
		t.Error("a value is in the log")
	}
}

// TestDryRun sends valid triggers as dry runs, with and without a key, and repeated. None of them starts a run.
func TestDryRun(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	dry := func(role, body string, header ...string) request {
		return f.as(role, "POST", f.path("/dags/etl/runs?dryRun=true"), body, header...)
	}
	const key = "Idempotency-Key: k"
	for range 2 {
		f.want(204, dry("operator", `{"parameters": [{"name": "day", "value": "2026-11-26"}]}`, key))
		f.want(204, dry("operator", `{"name": "mine"}`))
		f.want(204, dry("editor", `{"parameters": [{"name": "password", "fromSecret": "mine"}]}`))
	}
	f.want(403, dry("viewer", `{}`))
	audit := f.want(200, f.as("admin", "GET", "/api/v1/audit?object=dags/"+f.namespace+"/etl", ""))
	for _, entry := range audit["items"].([]any) {
		if entry.(map[string]any)["action"] == "dag.trigger" {
			t.Errorf("the audit has %v", entry)
		}
	}
	if names := f.names(); len(names) > 0 {
		t.Errorf("DagRuns %v", names)
	}
	f.want(201, f.trigger(`{"parameters": [{"name": "day", "value": "2026-11-26"}]}`, key))
	f.want(201, f.as("operator", "POST", f.path("/dags/etl/runs?dryRun=false"), `{"name": "mine"}`))
	f.want(409, dry("operator", `{"name": "mine"}`))
}

// TestIdempotencyKeys repeats a trigger while its DagRun exists, and after it was deleted.
func TestIdempotencyKeys(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	f.createDAG("other")
	const body, key = `{"parameters": [{"name": "day", "value": "monday"}]}`, "Idempotency-Key: 2026-11-26/load"
	first := f.want(201, f.trigger(body, key))
	check := func(a answer, want int, isAdmitted bool) {
		t.Helper()
		again := decoded(t, a)
		if a.StatusCode != want || want == 200 && (again["uid"] != first["uid"] || again["name"] != first["name"] ||
			again["admitted"] != isAdmitted || a.Header.Get("Location") == "") {
			t.Errorf("status %d, want %d: %s", a.StatusCode, want, a.body)
		}
	}
	other := `{"parameters": [{"name": "day", "value": "tuesday"}]}`
	check(f.do(f.trigger(body, key)), 200, false)
	check(f.do(f.trigger(` {"parameters":[{"value":"monday","name":"day"}]}`, key)), 200, false)
	check(f.do(f.trigger(other, key)), 422, false)
	check(f.do(f.trigger(`{}`, key)), 422, false)
	name := first["name"].(string)
	f.admit(f.dagRun(name),
		`[{"name": "day", "value": "monday"}, {"name": "password", "secret": "database", "key": "secret"}]`)
	f.deleteRun(name)
	check(f.do(f.trigger(body, key)), 200, true)
	check(f.do(f.trigger(other, key)), 422, true)
	check(f.do(f.trigger(`{}`, key)), 422, true)
	// The DAG has changed, and then it is gone. The run was what it was.
	f.patchAs("kubectl", "etl", `{"spec": {"parameters": [`+
		`{"name": "day", "defaultValue": "x"}, {"name": "password", "defaultValue": "y"}]}}`)
	check(f.do(f.trigger(body, key)), 200, true)
	if err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace).Delete(
		t.Context(), "etl", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	check(f.do(f.trigger(body, key)), 200, true)
	// The same key of another user, or for another DAG, is another key.
	a := f.want(201, f.as("operator", "POST", f.path("/dags/other/runs"), `{}`, key))
	b := f.want(201, f.as("editor", "POST", f.path("/dags/other/runs"), `{}`, key))
	if a["name"] == b["name"] || a["name"] == name {
		t.Errorf("names %s, %s, %s", name, a["name"], b["name"])
	}
	// Somebody else's DagRun is not taken for the own one.
	taken := f.dagRun(a["name"].(string)).DeepCopy()
	f.deleteRun(taken.Name)
	taken.ObjectMeta = metav1.ObjectMeta{Name: taken.Name, Namespace: f.namespace}
	if _, err := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace).Create(
		t.Context(), taken, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.want(409, f.as("operator", "POST", f.path("/dags/other/runs"), `{}`, key))
}

// losing is a connection to the API server that loses the answer to the create of a DagRun, as a server does that is
// killed before it has read it.
type losing struct {
	http.RoundTripper
	isDone atomic.Bool
}

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/dagruns") &&
		l.isDone.CompareAndSwap(false, true) {
		resp.Body.Close()
		return nil, errors.New("the connection was reset")
	}
	return resp, err
}

// TestLostAnswer loses the response of the API server to a trigger. A repeated request to another replica finds the
// run.
func TestLostAnswer(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	config := rest.CopyConfig(clustertest.Config(t))
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return &losing{RoundTripper: rt} })
	unlucky := f.world.replica(func(c *httpapi.Config) { c.Clients = connect(t, config) })
	q := f.trigger(`{}`, "Idempotency-Key: once")
	a := unlucky.do(q)
	if a.StatusCode != 503 || !strings.Contains(string(a.body), "may have been made") {
		t.Fatalf("status %d: %s", a.StatusCode, a.body)
	}
	found := f.want(200, q)
	if names := f.names(); !slices.Equal(names, []string{fmt.Sprint(found["name"])}) {
		t.Errorf("DagRuns %v, found %v", names, found)
	}
}

// TestRaceForAKey sends one trigger to two replicas many times concurrently.
func TestRaceForAKey(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	replicas := []*replica{f.replica, f.world.replica(func(c *httpapi.Config) { c.Clients = f.clients })}
	var mu sync.Mutex
	created, uids := 0, map[any]bool{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			a := replicas[i%2].do(f.trigger(`{}`, "Idempotency-Key: race"))
			body := map[string]any{}
			if a.StatusCode < 300 {
				body = decoded(t, a)
			}
			mu.Lock()
			defer mu.Unlock()
			uids[body["uid"]] = true
			if a.StatusCode == 201 {
				created++
			} else if a.StatusCode != 200 {
				t.Errorf("status %d: %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	if created != 1 || len(uids) != 1 || len(f.names()) != 1 {
		t.Errorf("%d created, UIDs %v, DagRuns %v", created, uids, f.names())
	}
}

func TestAgain(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	first := f.want(201, f.as("editor", "POST", f.path("/dags/etl/runs"),
		`{"parameters": [{"name": "day", "value": "monday"}]}`))
	f.admit(f.dagRun(first["name"].(string)),
		`[{"name": "day", "value": "monday"}, {"name": "password", "secret": "database", "key": "secret"}]`)
	again := func(role, body string, header ...string) request {
		return f.as(role, "POST", "/api/v1/runs/"+first["uid"].(string)+"/again", body, header...)
	}
	parametersOf := func(started map[string]any) string {
		var all []string
		for _, p := range f.dagRun(started["name"].(string)).Spec.Parameters {
			if p.Value != nil {
				all = append(all, p.Name+"="+*p.Value)
			} else {
				all = append(all, fmt.Sprintf("%s from %s%v", p.Name, p.FromSecret, p.SecretKeyRef))
			}
		}
		return strings.Join(all, ", ")
	}
	// An operator may: the Secret is the default of the DAG.
	if got := parametersOf(f.want(201, again("operator", `{}`))); got != "day=monday" {
		t.Errorf("the same: %s", got)
	}
	if got := parametersOf(f.want(201, again("operator",
		`{"parameters": [{"name": "day", "value": "friday"}]}`))); got != "day=friday" {
		t.Errorf("changed: %s", got)
	}
	f.want(403, again("operator", `{"parameters": [{"name": "password", "fromSecret": "x"}]}`))
	f.want(201, again("editor", `{"parameters": [{"name": "password", "fromSecret": "x"}]}`))
	f.want(422, again("operator", `{"parameters": [{"name": "night", "value": "x"}]}`))
	f.want(400, again("operator", `{"name": "x"}`))
	keyed := f.want(201, again("operator", `{}`, "Idempotency-Key: k"))
	if repeated := f.want(200, again("operator", `{}`, "Idempotency-Key: k")); repeated["uid"] != keyed["uid"] {
		t.Errorf("repeated %v", repeated)
	}
	f.want(422, f.trigger(`{}`, "Idempotency-Key: k"))
	// The default Secret is another now: the run's own takes an editor.
	f.patchAs("kubectl", "etl", `{"spec": {"parameters": [`+
		`{"name": "day", "defaultValue": "x"}, {"name": "password", "defaultFromSecret": "newer"}]}}`)
	f.want(403, again("operator", `{}`))
	if got := parametersOf(
		f.want(201, again("editor", `{}`))); !strings.Contains(got, "password from &{database secret}") {
		t.Errorf("the Secret of the run: %s", got)
	}
	f.patchAs("kubectl", "etl", `{"spec": {"parameters": [{"name": "password", "defaultFromSecret": "database"}], `+
		`"task": [{"name": "load", "image": "alpine"}]}}`)
	lost := f.want(422, again("operator", `{}`))
	if text := fmt.Sprint(lost["errors"]); !strings.Contains(text, `"day"`) ||
		!slices.Equal(pointers(lost), []string{"/parameters"}) {
		t.Errorf("lost: %v", lost)
	}
	f.patchAs("kubectl", "etl", `{"spec": {"task": [{"name": "load", "taskRef": {"name": "none"}}]}}`)
	f.want(409, again("operator", `{}`))
	f.want(404, f.as("operator", "POST", "/api/v1/runs/00000000-0000-4000-8000-000000000000/again", `{}`))
}

// TestAgainAfterARefusal runs a refused run again. Only its DagRun has its parameters.
func TestAgainAfterARefusal(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	first := f.want(201, f.trigger(`{"parameters": [{"name": "day", "value": "monday"}]}`))
	f.refuse(f.dagRun(first["name"].(string)))
	path := "/api/v1/runs/" + first["uid"].(string) + "/again"
	second := f.want(201, f.as("operator", "POST", path, `{}`))
	if p := f.dagRun(second["name"].(string)).Spec.Parameters; len(p) != 1 || *p[0].Value != "monday" {
		t.Errorf("parameters %v", p)
	}
	f.deleteRun(first["name"].(string))
	third := f.want(201, f.as("operator", "POST", path, `{}`))
	if p := f.dagRun(third["name"].(string)).Spec.Parameters; len(p) != 0 {
		t.Errorf("parameters %v", p)
	}
}

func TestCancelAndDeleteRuns(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	start := func(name string) string {
		return f.want(201, f.trigger(fmt.Sprintf(`{"name": %q}`, name)))["uid"].(string)
	}
	byUID := func(uid, verb string) request { return f.as("operator", "POST", "/api/v1/runs/"+uid+verb, "") }
	byName := func(name, verb string) request { return f.as("operator", "POST", f.path("/runs/%s%s", name, verb), "") }
	remove := func(path string) request { return f.as("editor", "DELETE", path, "") }
	waiting := start("waiting") // It has no row.
	f.want(404, byUID(waiting, "/cancel"))
	f.want(202, byName("waiting", "/cancel"))
	f.want(202, byName("waiting", "/cancel"))
	f.want(400, f.as("operator", "POST", f.path("/runs/waiting/cancel"), `{}`))
	if !f.dagRun("waiting").Spec.Cancel {
		t.Error("it is not cancelled")
	}
	f.want(204, remove(f.path("/runs/waiting")))
	f.want(404, remove(f.path("/runs/waiting")))
	f.want(404, byName("waiting", "/cancel"))

	live := start("live")
	f.admit(f.dagRun("live"), `[]`)
	f.want(202, byUID(live, "/cancel"))
	if !f.dagRun("live").Spec.Cancel {
		t.Error("it is not cancelled")
	}
	f.want(204, remove("/api/v1/runs/"+live))
	f.want(204, remove("/api/v1/runs/"+live)) // gone already
	f.want(204, remove(f.path("/runs/live")))
	f.want(202, byUID(live, "/cancel")) // The controller cancels a run whose DagRun is gone.
	next := start("live")               // Another one has its name now.
	f.want(204, remove("/api/v1/runs/"+live))
	f.want(202, byUID(live, "/cancel"))
	if run := f.dagRun("live"); string(run.UID) != next || run.Spec.Cancel {
		t.Errorf("the namesake was changed: %+v", run)
	}
	f.want(202, byName("live", "/cancel"))
	if !f.dagRun("live").Spec.Cancel {
		t.Error("the namesake is not cancelled")
	}

	ended := start("ended")
	f.refuse(f.dagRun("ended"))
	f.want(409, byUID(ended, "/cancel"))
	f.want(409, byName("ended", "/cancel"))
	f.want(200, f.as("viewer", "GET", "/api/v1/runs/"+ended, ""))
	f.want(204, remove("/api/v1/runs/"+ended))
	f.want(200, f.as("viewer", "GET", "/api/v1/runs/"+ended, ""))
}

// TestRefusalsOfKubernetes meets a full quota, a missing namespace and a missing permission.
func TestRefusalsOfKubernetes(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	f.fillQuota()
	for _, query := range []string{"", "?dryRun=true"} {
		full := f.want(409, f.as("operator", "POST", f.path("/dags/etl/runs%s", query), `{}`))
		if !strings.Contains(fmt.Sprint(full["detail"]), "exceeded quota") {
			t.Errorf("quota%s: %v", query, full)
		}
	}
	f.want(404, f.as("admin", "POST", "/api/v1/namespaces/none/dags", manifestOf("etl"), yamlBody))
	config := rest.CopyConfig(clustertest.Config(t))
	config.Impersonate.UserName = "nobody"
	weak := f.world.replica(func(c *httpapi.Config) { c.Clients = connect(t, config) })
	for _, q := range []request{
		f.as("editor", "POST", f.path("/dags"), manifestOf("more"), yamlBody), f.trigger(`{}`),
		f.as("editor", "POST", f.path("/dags/validate"), manifestOf("more"), yamlBody),
		f.as("operator", "POST", f.path("/runs/x/cancel"), ""), f.as("editor", "DELETE", f.path("/dagtasks/x"), ""),
	} {
		a := weak.do(q)
		if a.StatusCode != 503 || !strings.Contains(string(a.body), "lacks the permission to") {
			t.Errorf("%s %s: status %d: %s", q.method, q.path, a.StatusCode, a.body)
		}
	}
}

// TestClusterWithoutKinds checks that routes that write to Kubernetes return 503, and never 404, while the API server
// is unavailable or lacks Kontroler's CustomResourceDefinitions.
func TestClusterWithoutKinds(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	run := f.dagRun(f.want(201, f.as("operator", "POST", f.path("/dags/etl/runs"), `{}`))["name"].(string))
	f.admit(run, `[]`)
	config := rest.CopyConfig(clustertest.Config(t))
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return withoutKinds{next, []string{"dags", "dagtasks", "dagruns"}}
	})
	for name, broken := range map[string]*replica{
		"the API server is unavailable": f.world.replica(), // nothing listens at its address
		"the kinds are missing":         f.world.replica(func(c *httpapi.Config) { c.Clients = connect(t, config) }),
	} {
		for pattern := range writingRoutes {
			method, path, _ := strings.Cut(pattern, " ")
			path = strings.NewReplacer("{ns}", f.namespace, "{name}", "etl", "{uid}", string(run.UID)).Replace(path)
			q := f.as("editor", method, path, "", `If-Match: "1"`)
			switch {
			case strings.HasSuffix(path, "/dags/etl/runs"), strings.HasSuffix(path, "/again"):
				q.body = `{}`
			case method == "PUT" || strings.HasSuffix(path, "s") || strings.HasSuffix(path, "/validate"):
				q.body, q.header = manifestOf("etl"), append(q.header, yamlBody)
				if strings.Contains(path, "dagtasks") {
					q.body = taskManifest("etl", "image: alpine")
				}
			}
			if a := broken.do(q); a.StatusCode != 503 {
				t.Errorf("%s, %s: status %d: %s", name, pattern, a.StatusCode, a.body)
			}
		}
		withKey := f.as("operator", "POST", f.path("/dags/etl/runs"), `{}`, "Idempotency-Key: x")
		if a := broken.do(withKey); a.StatusCode != 503 {
			t.Errorf("%s, a trigger with a key: status %d: %s", name, a.StatusCode, a.body)
		}
	}
}

// withoutKinds makes the API server answer as if some kinds had no definitions: paths have others.
type withoutKinds struct {
	http.RoundTripper
	kinds []string
}

func (x withoutKinds) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, kind := range x.kinds {
		r.URL.Path = strings.Replace(r.URL.Path, "/"+kind, "/removed"+kind, 1)
	}
	return x.RoundTripper.RoundTrip(r)
}

// fillQuota gives the namespace a quota for DagRuns that is used up.
func (f *factory) fillQuota() {
	f.Helper()
	quotas := f.clients.Core.CoreV1().ResourceQuotas(f.namespace)
	hard := corev1.ResourceList{"count/dagruns.kontroler.greedykomodo": resource.MustParse("0")}
	_, err := quotas.Create(f.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: hard},
	}, metav1.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	// There may be a controller that writes the status, and the API server takes a while to know a new quota.
	status, err := json.Marshal(map[string]any{"status": corev1.ResourceQuotaStatus{Hard: hard, Used: hard}})
	if err != nil {
		f.Fatal(err)
	}
	_, err = quotas.Patch(f.Context(), "none", types.MergePatchType, status, metav1.PatchOptions{}, "status")
	if err != nil {
		f.Fatal(err)
	}
	runs := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace)
	for f.Context().Err() == nil {
		_, err := runs.Create(f.Context(), &v1alpha1.DagRun{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}, Spec: v1alpha1.DagRunSpec{DagName: "etl"},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return
		}
	}
}

// TestNamespacesOfTheServer writes to a namespace that the server does not serve.
func TestNamespacesOfTheServer(t *testing.T) {
	f := newFactory(t, func(c *httpapi.Config) { c.Namespaces = []string{"elsewhere"} })
	f.want(404, f.as("admin", "POST", f.path("/dags"), manifestOf("etl"), yamlBody))
	for _, path := range []string{
		"/dags/a%2Fb/suspend", "/dags/%2e%2e/suspend", "/dags/A/suspend", "/dags/a%00/suspend", "/dags/a%0A/suspend",
	} {
		f.want(404, f.as("admin", "POST", f.path("%s", path), ""))
	}
	for _, namespace := range []string{"*", "..", "%2e%2e", "a%2fb", "A", "a%00"} {
		f.want(404, f.as("admin", "POST", "/api/v1/namespaces/"+url.PathEscape(namespace)+"/dags/etl/suspend", ""))
	}
}

// refuse writes the row of a DagRun whose parameters were refused.
func (f *factory) refuse(run *v1alpha1.DagRun) {
	f.Helper()
	row := f.rowOf(run, `[]`)
	if _, err := f.leader.Refuse(context.Background(), row, "InvalidParameters", "no"); err != nil {
		f.Fatal(err)
	}
}
