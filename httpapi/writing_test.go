package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/clustertest"
	"kontroler/httpapi"
)

// patchAs changes a live DAG as another manager.
func (f *factory) patchAs(manager, name, body string, subresources ...string) {
	f.Helper()
	ctx := context.WithoutCancel(f.Context()) // also in a cleanup
	_, err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace).Patch(ctx, name, types.MergePatchType,
		[]byte(body), metav1.PatchOptions{FieldManager: manager}, subresources...)
	if err != nil {
		f.Fatal(err)
	}
}

func TestLifeOfADAG(t *testing.T) {
	f := newFactory(t, func(c *httpapi.Config) { c.Class = "blue" })
	path := f.path("/dags/etl")
	created := f.do(f.as("editor", "POST", f.path("/dags"), manifestOf("etl"), yamlBody))
	if created.StatusCode != 201 || created.Header.Get("Location") != path || created.Header.Get("ETag") != `"1"` {
		t.Fatalf("status %d, header %v: %s", created.StatusCode, created.Header, created.body)
	}
	if text := string(created.body); !strings.Contains(text, `"controllerClass":"blue"`) ||
		!strings.Contains(text, `"kind":"DAG"`) || strings.Contains(text, "managedFields") {
		t.Errorf("created %s", text)
	}
	f.want(409, f.as("editor", "POST", f.path("/dags"), manifestOf("etl"), yamlBody))
	changed := strings.ReplaceAll(manifestOf("etl"), "alpine", "busybox")
	put := func(body string, header ...string) request {
		return f.as("editor", "PUT", path, body, append(header, yamlBody)...)
	}
	f.want(428, put(changed))
	f.want(400, put(changed, "If-Match: *"))
	f.want(412, put(changed, `If-Match: "2"`))
	f.patchAs("controller", "etl", `{"status": {"message": "kept"}}`, "status")
	f.patchAs("policy", "etl", `{"metadata": {"labels": {"cost": "high"}, "finalizers": ["example.com/hold"]}}`)
	updated := f.want(200, put(changed, `If-Match: "1"`))
	if updated["generation"] != 2.0 {
		t.Errorf("updated %v", updated)
	}
	live := f.dag("etl")
	if live.Spec.Task[0].Image != "busybox" || live.Status.Message != "kept" || live.Labels["cost"] != "high" ||
		!slices.Contains(live.Finalizers, "example.com/hold") {
		t.Errorf("live %+v", live)
	}
	f.want(412, put(changed, `If-Match: "1"`))
	f.want(200, f.as("operator", "POST", path+"/suspend", ""))
	f.want(200, f.as("operator", "POST", path+"/suspend", ""))
	if !f.dag("etl").Spec.Suspended {
		t.Error("it is not suspended")
	}
	f.want(201, f.as("operator", "POST", path+"/runs", `{}`)) // also while it is suspended
	f.want(200, f.as("operator", "POST", path+"/resume", ""))
	if f.dag("etl").Spec.Suspended {
		t.Error("it is suspended")
	}
	f.want(400, f.as("operator", "POST", path+"/resume", `{}`))
	f.want(412, f.as("editor", "DELETE", path, "", `If-Match: "1"`))
	f.want(400, f.as("editor", "DELETE", path, "", `If-Match: "0"`))
	f.want(422, put("apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DAG\nmetadata: {name: etl}\nspec: {}\n",
		`If-Match: "4"`))
	f.patchAs("policy", "etl", `{"metadata": {"finalizers": null}}`)
	f.want(204, f.as("editor", "DELETE", path, "", `If-Match: "4"`))
	f.want(404, f.as("editor", "DELETE", path, ""))
	f.want(404, put(changed, `If-Match: "1"`))
	f.want(404, f.as("operator", "POST", path+"/suspend", ""))
	f.want(404, f.as("operator", "POST", path+"/runs", `{}`))
	f.checkLife(path)
}

// checkLife checks the audit of the DAG etl.
func (f *factory) checkLife(path string) {
	f.Helper()
	list := f.want(200, f.as("admin", "GET", "/api/v1/audit?limit=200&object=dags/"+f.namespace+"/etl", ""))
	var got []string
	for _, item := range list["items"].([]any) {
		e := item.(map[string]any)
		got = append(got, fmt.Sprintf("%s: %s %s", e["user"], e["action"], e["outcome"]))
	}
	slices.Reverse(got)
	want := []string{
		"editor: dag.create succeeded", "editor: dag.create conflict", "editor: dag.update precondition-failed",
		"editor: dag.update succeeded", "editor: dag.update precondition-failed", "operator: dag.suspend succeeded",
		"operator: dag.suspend succeeded", "operator: dag.trigger succeeded", "operator: dag.resume succeeded",
		"editor: dag.delete precondition-failed", "editor: dag.update invalid", "editor: dag.delete succeeded",
		"editor: dag.delete not-found", "editor: dag.update not-found",
		"operator: dag.suspend not-found", "operator: dag.trigger not-found",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("audit of %s (-want +got):\n%s", path, diff)
	}
}

// TestOtherManagers replaces DAGs whose spec another manager wrote.
func TestOtherManagers(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	f.patchAs("argocd-controller", "etl", `{"spec": {"schedule": "@hourly"}, "metadata": {"labels": {"app": "etl"}}}`)
	put := func(query string) request {
		return f.as("editor", "PUT", f.path("/dags/etl")+query, manifestOf("etl"), `If-Match: "2"`, yamlBody)
	}
	refused := f.want(409, put(""))
	if !strings.Contains(fmt.Sprint(refused["detail"]), "argocd-controller") {
		t.Errorf("the manager is not named: %v", refused)
	}
	f.want(409, put("?force=false"))
	f.want(400, put("?force=yes"))
	f.want(400, put("?forced=true"))
	if schedule := f.dag("etl").Spec.Schedule; schedule != "@hourly" {
		t.Errorf("schedule %s", schedule)
	}
	f.want(200, put("?force=true"))
	if live := f.dag("etl"); live.Spec.Schedule != "@daily" || live.Labels["app"] != "" {
		t.Errorf("live: schedule %s, labels %v", live.Spec.Schedule, live.Labels)
	}
	// Who wrote a part of it that is not the spec does not matter, nor does a suspension by the server.
	f.createDAG("other")
	f.patchAs("policy", "other", `{"metadata": {"labels": {"app": "x"}}}`)
	f.want(200, f.as("operator", "POST", f.path("/dags/other/suspend"), ""))
	f.want(200, f.as("editor", "PUT", f.path("/dags/other"), manifestOf("other"), `If-Match: "2"`, yamlBody))
}

// TestSuspensionThatMayBeUndone suspends DAGs. Another manager owns spec.suspended of one of them.
func TestSuspensionThatMayBeUndone(t *testing.T) {
	f := newFactory(t)
	suspend := func(name, verb string) string {
		t.Helper()
		a := f.want(200, f.as("operator", "POST", f.path("/dags/%s/%s", name, verb), ""))
		if warnings, has := a["warnings"]; has {
			return fmt.Sprint(warnings)
		}
		return ""
	}
	f.createDAG("etl")
	f.patchAs("argocd-controller", "etl", `{"spec": {"suspended": false}}`)
	if got := suspend("etl", "resume"); got != "" {
		t.Errorf("nothing changes: %s", got)
	}
	got := suspend("etl", "suspend")
	if !strings.Contains(got, "spec.suspended: argocd-controller wrote it") || !f.dag("etl").Spec.Suspended {
		t.Errorf("warnings %q", got)
	}
	f.patchAs("argocd-controller", "etl", `{"spec": {"suspended": false}}`)
	if got := suspend("etl", "suspend"); !strings.Contains(got, "argocd-controller") {
		t.Errorf("after a sync: warnings %q", got)
	}
	f.createDAG("other")
	f.patchAs("argocd-controller", "other", `{"spec": {"schedule": "@hourly"}}`)
	if got := suspend("other", "suspend"); got != "" {
		t.Errorf("the manager wrote another field: %s", got)
	}
}

// TestOtherControllers changes DAGs that belong to another controller.
func TestOtherControllers(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	f.want(201, f.as("operator", "POST", f.path("/dags/etl/runs"), `{"name": "before"}`))
	f.patchAs("other", "etl", `{"status": {"controller": "other"}}`, "status")
	for name, q := range map[string]request{
		"replace": f.as("editor", "PUT", f.path("/dags/etl?force=true"), manifestOf("etl"), `If-Match: "1"`, yamlBody),
		"delete":  f.as("editor", "DELETE", f.path("/dags/etl"), ""),
		"suspend": f.as("operator", "POST", f.path("/dags/etl/suspend"), ""),
		"resume":  f.as("operator", "POST", f.path("/dags/etl/resume"), ""),
		"trigger": f.as("operator", "POST", f.path("/dags/etl/runs"), `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.do(q); a.StatusCode != 409 || !strings.Contains(string(a.body), "another controller") {
				t.Errorf("status %d: %s", a.StatusCode, a.body)
			}
		})
	}
	f.patchAs("own", "etl", fmt.Sprintf(`{"status": {"controller": %q}}`, f.controller), "status")
	f.want(200, f.as("operator", "POST", f.path("/dags/etl/suspend"), ""))
	f.patchAs("nobody", "etl", `{"status": {"controller": ""}, "spec": {"controllerClass": "green"}}`)
	f.patchAs("nobody", "etl", `{"status": {"controller": ""}}`, "status")
	f.want(409, f.as("operator", "POST", f.path("/dags/etl/resume"), ""))
	_, err := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(f.namespace).Patch(
		f.Context(), "before", types.MergePatchType, []byte(`{"status": {"controller": "other"}}`),
		metav1.PatchOptions{}, "status")
	if err != nil {
		t.Fatal(err)
	}
	f.want(409, f.as("operator", "POST", f.path("/runs/before/cancel"), ""))
	f.want(409, f.as("editor", "DELETE", f.path("/runs/before"), ""))
}

// meddling makes a change before the first request of a method is sent, and counts the reads of the DAG etl.
type meddling struct {
	http.RoundTripper
	method string
	change func()
	once   sync.Once
	reads  atomic.Int32
}

func (m *meddling) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/dags/etl") {
		m.reads.Add(1)
	}
	if r.Method == m.method {
		m.once.Do(m.change)
	}
	return m.RoundTripper.RoundTrip(r)
}

// TestDeleteDuringAChange changes a DAG after the server has compared its generation with If-Match. Each try reads the
// DAG once.
func TestDeleteDuringAChange(t *testing.T) {
	patch := func(body string, subresource ...string) func(*factory) {
		return func(f *factory) { f.patchAs("kubectl", "etl", body, subresource...) }
	}
	for name, test := range map[string]struct {
		change      func(*factory)
		want, reads int
	}{
		"of nothing":    {func(*factory) {}, 204, 1},
		"of the spec":   {patch(`{"spec": {"suspended": true}}`), 412, 2},
		"of the status": {patch(`{"status": {"message": "new"}}`, "status"), 204, 2},
		"of the object": {(*factory).replaceDAG, 409, 2},
	} {
		t.Run(name, func(t *testing.T) {
			config := clustertest.Config(t)
			meddler := &meddling{method: "DELETE"}
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { meddler.RoundTripper = next; return meddler })
			f := newFactory(t, func(c *httpapi.Config) { c.Clients = connect(t, config) })
			f.createDAG("etl")
			meddler.change = func() { test.change(f) }
			f.want(test.want, f.as("editor", "DELETE", f.path("/dags/etl"), "", `If-Match: "1"`))
			if reads := meddler.reads.Load(); int(reads) != test.reads {
				t.Errorf("the DAG was read %d times, want %d", reads, test.reads)
			}
		})
	}
}

// replaceDAG deletes the DAG etl, and creates another one of its name, past the server.
func (f *factory) replaceDAG() {
	f.Helper()
	dags, other := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace), f.dag("etl")
	if err := dags.Delete(f.Context(), "etl", metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
	other.ObjectMeta = metav1.ObjectMeta{Name: "etl"}
	if _, err := dags.Create(f.Context(), other, metav1.CreateOptions{}); err != nil {
		f.Fatal(err)
	}
}

// TestObjectsThatEtcdRefuses writes objects that are smaller than a body may be, and larger than etcd stores.
func TestObjectsThatEtcdRefuses(t *testing.T) {
	f := newFactory(t)
	f.createDAG("etl")
	large := manifestOf("large")
	for i := range 14 {
		large += fmt.Sprintf("  - {name: task-%d, image: alpine, script: %s}\n", i, strings.Repeat("x", 128<<10))
	}
	for name, q := range map[string]request{
		"create":  f.as("editor", "POST", f.path("/dags"), large, yamlBody),
		"replace": f.as("editor", "PUT", f.path("/dags/etl"), strings.Replace(large, "large", "etl", 1), `If-Match: "1"`, yamlBody),
	} {
		a := f.do(q)
		if a.StatusCode != 413 || !strings.Contains(string(a.body), "1.5 MiB by default. Move large scripts") {
			t.Errorf("%s: status %d: %s", name, a.StatusCode, a.body)
		}
	}
}

// TestFaultsOfManifests sends faulty manifests to create and to validate. Neither request stores anything.
func TestFaultsOfManifests(t *testing.T) {
	f := newFactory(t)
	f.createDAG("existing")
	f.want(201, f.as("editor", "POST", f.path("/dagtasks"), taskManifest("shared", "image: alpine"), yamlBody))
	replace := func(old, with string) string { return strings.ReplaceAll(manifestOf("etl"), old, with) }
	tests := map[string]struct {
		body   string
		header string
		want   int
		errs   []string
	}{
		"a task that is not there and a wrong schedule": {
			replace("alpine,", "alpine, runAfter: [none],") + "  maxParallel: -1\n", yamlBody, 422,
			[]string{"/spec/maxParallel", "/spec/task/0/runAfter/0"},
		},
		"what only Kubernetes refuses": {replace("name: etl", "name: Etl"), yamlBody, 422, []string{"/metadata/name"}},
		"a name that the audit refuses": {
			replace("name: etl", `name: "e\0l"`), yamlBody, 422, []string{"/metadata/name"},
		},
		"a name with a slash": {replace("name: etl", "name: a/b"), yamlBody, 422, []string{"/metadata/name"}},
		"a label of Kubernetes": {
			replace("name: etl", "name: etl\n  labels: {a: b c}"), yamlBody, 422, []string{"/metadata/labels"},
		},
		"an unknown field": {replace("schedule:", "shedule:"), yamlBody, 400, []string{"/spec/shedule"}},
		"another namespace": {
			replace("name: etl", "name: etl\n  namespace: kube-system"), yamlBody, 422,
			[]string{"/metadata/namespace"},
		},
		"another class": {
			replace("spec:", "spec:\n  controllerClass: green"), yamlBody, 422, []string{"/spec/controllerClass"},
		},
		"no task": {
			"apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DAG\nmetadata: {name: etl}\nspec: {}\n", yamlBody, 422,
			[]string{"/spec/task", "/spec"},
		},
		"a DagTask that is not there": {
			replace("image: alpine", "taskRef: {name: none}"), yamlBody, 422, []string{"/spec/task/0/taskRef/name"},
		},
		"a version that is not there": {
			replace("image: alpine", "taskRef: {name: shared, version: 7}"), yamlBody, 422,
			[]string{"/spec/task/0/taskRef/version"},
		},
		"a version that no DagTask has": {
			replace("image: alpine", "taskRef: {name: shared, version: 3000000000}"), yamlBody, 422,
			[]string{"/spec/task/0/taskRef/version", "/spec/task/0/taskRef/version"},
		},
		"YAML as JSON":                 {manifestOf("etl"), "Content-Type: application/json", 400, nil},
		"another type":                 {manifestOf("etl"), "Content-Type: text/plain", 415, nil},
		"a patch":                      {`{}`, "Content-Type: application/merge-patch+json", 415, nil},
		"a manifest that is too large": {manifestOf("etl") + "#" + strings.Repeat("x", 2<<20), yamlBody, 413, nil},
		"an object that etcd refuses": {
			replace("image: alpine", "image: alpine, script: "+strings.Repeat("x", 2000<<10)), yamlBody, 0, nil,
		},
		"a broken replacement of a DAG": {
			strings.ReplaceAll(manifestOf("existing"), "image: alpine,", ""), yamlBody, 422,
			[]string{"/spec/task/0/image", "/spec/task/0"},
		},
	}
	for name, test := range tests {
		for _, route := range []string{"/dags", "/dags/validate"} {
			t.Run(name+" "+route, func(t *testing.T) {
				if route == "/dags" && strings.Contains(test.body, "name: existing") {
					t.Skip("the name is taken")
				}
				r := *f.replica
				r.world = &world{T: t, clock: f.clock}
				a := r.do(f.as("editor", "POST", f.path("%s", route), test.body, test.header))
				if test.want == 0 {
					if a.StatusCode != 413 && a.StatusCode != 422 {
						t.Errorf("status %d: %s", a.StatusCode, a.body)
					}
					return
				}
				if a.StatusCode != test.want {
					t.Fatalf("status %d, want %d: %s", a.StatusCode, test.want, a.body)
				}
				if diff := cmp.Diff(test.errs, pointers(decoded(t, a))); diff != "" {
					t.Errorf("errors (-want +got):\n%s\n%s", diff, a.body)
				}
			})
		}
	}
	list, err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Generation != 1 {
		t.Errorf("DAGs %v, %v", list.Items, err)
	}
}

func TestValidate(t *testing.T) {
	f := newFactory(t)
	validate := func(kind, body string) request {
		return f.as("editor", "POST", f.path("/%s/validate", kind), body, yamlBody)
	}
	f.want(201, f.as("editor", "POST", f.path("/dagtasks"), taskManifest("shared", "image: alpine"), yamlBody))
	ok := f.want(200, validate("dags",
		strings.ReplaceAll(manifestOf("etl"), "image: alpine", "taskRef: {name: shared}")))
	if diff := cmp.Diff(map[string]any{"valid": true, "warnings": []any{}}, ok); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	warned := f.want(200, validate("dags", strings.ReplaceAll(manifestOf("etl"), "name: etl",
		"name: etl\n  finalizers: [example.com/x]")+"  - {name: more, image: alpine, scriptInjectorImage: x}\n"))
	if warnings := fmt.Sprint(warned["warnings"]); !strings.Contains(warnings, "finalizers") ||
		!strings.Contains(warnings, "scriptInjectorImage") {
		t.Errorf("warnings %s", warnings)
	}
	if list, err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace).List(
		t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("stored %v, %v", list.Items, err)
	}
	f.createDAG("etl")
	f.want(200, validate("dags", manifestOf("etl"))) // as its replacement
	f.want(200, validate("dagtasks", taskManifest("new", "image: alpine")))
}

// taskManifest returns the manifest of a DagTask.
func taskManifest(name, spec string) string {
	return fmt.Sprintf(
		"apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DagTask\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

func TestLifeOfADagTask(t *testing.T) {
	f := newFactory(t)
	path := f.path("/dagtasks/shared")
	put := func(spec, query string, header ...string) request {
		return f.as("editor", "PUT", path+query, taskManifest("shared", spec), append(header, yamlBody)...)
	}
	created := f.do(f.as("editor", "POST", f.path("/dagtasks"),
		taskManifest("shared", "image: alpine, version: 1"), yamlBody))
	if created.StatusCode != 201 || created.Header.Get("Location") != path {
		t.Fatalf("status %d: %s", created.StatusCode, created.body)
	}
	f.want(409, f.as("editor", "POST", f.path("/dagtasks"), taskManifest("shared", "image: alpine"), yamlBody))
	f.want(428, put("image: busybox, version: 2", ""))
	f.want(412, put("image: busybox, version: 2", "", `If-Match: "9"`))
	f.want(422, put("image: busybox, version: 1", "", `If-Match: "1"`)) // A version is immutable.
	f.want(422, put("version: 2", "", `If-Match: "1"`))
	f.want(422, f.as("editor", "POST", f.path("/dagtasks/validate"), taskManifest("shared", "version: 2"), yamlBody))
	f.want(422, f.as("editor", "POST", f.path("/dagtasks"), taskManifest("other", "version: 2"), yamlBody))
	updated := f.want(200, put("image: busybox, version: 2", "", `If-Match: "1"`))
	if updated["generation"] != 2.0 {
		t.Errorf("updated %v", updated)
	}
	f.patchTask(`{"metadata": {"finalizers": ["example.com/hold"]}, "spec": {"version": 3, "image": "alpine"}}`)
	f.want(409, put("image: busybox, version: 4", "", `If-Match: "3"`))
	f.want(200, put("image: busybox, version: 4", "?force=true", `If-Match: "3"`))
	f.want(412, f.as("editor", "DELETE", path, "", `If-Match: "3"`))
	f.want(204, f.as("editor", "DELETE", path, "", `If-Match: "4"`))
	f.want(409, f.as("editor", "DELETE", path, "")) // A finalizer holds it.
	f.patchTask(`{"metadata": {"finalizers": null}}`)
	f.want(404, f.as("editor", "DELETE", path, ""))
}

// patchTask changes the live DagTask shared as another manager.
func (f *factory) patchTask(body string) {
	f.Helper()
	_, err := f.clients.Kontroler.KontrolerV1alpha1().DagTasks(f.namespace).Patch(
		f.Context(), "shared", types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "flux"})
	if err != nil {
		f.Fatal(err)
	}
}
