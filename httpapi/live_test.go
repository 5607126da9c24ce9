package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi"
	"kontroler/store"
	"kontroler/store/accounts"
)

// get reads a path as the viewer of a namespace.
func (h *history) get(c *color, path string) map[string]any {
	h.Helper()
	return h.want(200, request{method: "GET", path: path, token: c.token})
}

// itemsOf returns a field of the items of an answer.
func itemsOf(body map[string]any, field string) (values []string) {
	items, _ := body["items"].([]any)
	for _, item := range items {
		values = append(values, fmt.Sprint(item.(map[string]any)[field]))
	}
	return values
}

// TestReadADAG checks every field of a DAG, in a list and alone.
func TestReadADAG(t *testing.T) {
	l := newLiveHistory(t)
	c := l.colors[0]
	base := "/api/v1/namespaces/" + c.namespace + "/dags"
	live, err := l.clients.Kontroler.KontrolerV1alpha1().DAGs(c.namespace).Get(
		t.Context(), c.dag(), metav1.GetOptions{})
	l.must(err)
	var runs []any
	for _, run := range l.get(c, "/api/v1/runs")["items"].([]any) {
		short := map[string]any{}
		for field, value := range run.(map[string]any) {
			if slices.Contains([]string{"uid", "name", "phase", "createdAt", "startedAt", "finishedAt"}, field) {
				short[field] = value
			}
		}
		runs = append(runs, short)
	}
	want := map[string]any{
		"namespace": c.namespace, "name": "etl-amber", "uid": string(live.UID), "generation": 1.0,
		"createdAt": live.CreationTimestamp.UTC().Format(time.RFC3339), "labels": map[string]any{"color": "amber"},
		"schedule": map[string]any{"cron": []any{"0 * * * *"}, "timeZone": "Europe/Berlin"}, "suspended": false,
		"valid": true, "readOnly": false, "manager": "kubectl-client-side-apply", "nextDueAt": "2026-07-01T13:00:00Z",
		"typicalDurationSeconds": 60.0, "runs": runs,
	}
	if len(runs) != 4 {
		t.Errorf("%d runs", len(runs))
	}
	list := l.get(c, base)
	if diff := cmp.Diff(want, list["items"].([]any)[1]); diff != "" {
		t.Errorf("in the list (-want +got):\n%s", diff)
	}
	bad := list["items"].([]any)[0].(map[string]any)
	if bad["name"] != "bad-amber" || bad["valid"] != false || bad["message"] != "no amber" ||
		len(bad["runs"].([]any)) != 0 {
		t.Errorf("a DAG that is not valid: %v", bad)
	}
	a := l.do(request{method: "GET", path: base + "/etl-amber", token: c.token})
	var one map[string]any
	l.must(json.Unmarshal(a.body, &one))
	manifest, _ := one["manifest"].(map[string]any)
	delete(one, "manifest")
	if diff := cmp.Diff(want, one); diff != "" || a.Header.Get("ETag") != `"1"` {
		t.Errorf("alone, with ETag %s (-want +got):\n%s", a.Header.Get("ETag"), diff)
	}
	meta, _ := manifest["metadata"].(map[string]any)
	spec, _ := manifest["spec"].(map[string]any)
	if meta["managedFields"] != nil || meta["uid"] != string(live.UID) || len(spec["task"].([]any)) != 1 {
		t.Errorf("manifest %v", manifest)
	}
}

// TestListDAGs filters DAGs, reads them page by page, and finds those that were deleted.
func TestListDAGs(t *testing.T) {
	l := newLiveHistory(t)
	c := l.colors[0]
	l.create(c, "foreign-amber", v1alpha1.DAGStatus{Controller: "another", NextScheduleTime: &nextDue})
	suspended := l.create(c, "rests-amber", v1alpha1.DAGStatus{Controller: l.controllerID, NextScheduleTime: &nextDue})
	suspended.Spec.Suspended, suspended.Labels = true, map[string]string{"color": "grey"}
	_, err := l.clients.Kontroler.KontrolerV1alpha1().DAGs(c.namespace).
		Update(t.Context(), suspended, metav1.UpdateOptions{})
	l.must(err)
	for _, name := range []string{"gone-a", "gone-b", "gone-c", "bad-amber"} {
		row := store.DAG{Namespace: c.namespace, Name: name, UID: c.uid(2000), CreatedAt: l.ago(time.Hour)}
		_, err := l.leader.DAGs.SaveVersion(t.Context(), row, []byte(`{}`), [32]byte{9}, 1, l.ago(time.Hour))
		l.must(err)
		l.must(l.leader.DAGs.MarkDeleted(t.Context(), c.namespace, name, l.ago(time.Minute)))
	}
	l.await("the watch has the last change", func() bool {
		d, found, err := l.live.DAG(c.namespace, "rests-amber")
		return err == nil && found && d.Spec.Suspended
	})
	root := l.login("root", rootPassword)
	const all = "bad-amber etl-amber foreign-amber rests-amber"
	for name, tt := range map[string]struct{ token, query, want string }{
		"the caller's":            {c.token, "", all},
		"of an administrator":     {root, "", all + " bad-cobalt etl-cobalt"},
		"of a namespace":          {root, "?namespace=" + l.colors[1].namespace, "bad-cobalt etl-cobalt"},
		"of a foreign namespace":  {c.token, "?namespace=" + l.colors[1].namespace, ""},
		"with a part of the name": {c.token, "?search=l-am", "etl-amber"},
		"with a label":            {c.token, "?label=color%3Dgrey", "rests-amber"},
		"without a label": {
			c.token, "?label=color%20notin%20(grey,blue)", "bad-amber etl-amber foreign-amber",
		},
		"suspended": {c.token, "?suspended=true", "rests-amber"},
		"not suspended and of a part of a name": {
			c.token, "?suspended=false&search=e", "bad-amber etl-amber foreign-amber",
		},
		"valid":                               {c.token, "?valid=true", "etl-amber"},
		"not valid":                           {c.token, "?valid=false", "bad-amber"},
		"not judged":                          {c.token, "?valid=unknown", "foreign-amber rests-amber"},
		"whose last run is live":              {root, "?lastRun=Live", "etl-amber etl-cobalt"},
		"whose last run is live, of a caller": {c.token, "?lastRun=Running", "etl-amber"},
		"whose last run has failed":           {c.token, "?lastRun=Failed", ""},
		"deleted":                             {c.token, "?deleted=true", "gone-a gone-b gone-c"},
		"deleted, with a part of the name":    {c.token, "?deleted=true&search=e-b", "gone-b"},
		"deleted in a foreign namespace":      {l.colors[1].token, "?deleted=true", ""},
		"that exist":                          {c.token, "?deleted=false&search=gone", ""},
	} {
		body := l.want(200, request{method: "GET", path: "/api/v1/dags" + tt.query, token: tt.token})
		if got := strings.Join(itemsOf(body, "name"), " "); got != tt.want {
			t.Errorf("DAGs %s: %q, want %q", name, got, tt.want)
		}
		if tt.token != c.token || strings.Contains(tt.query, "namespace") {
			continue
		}
		body = l.get(c, "/api/v1/namespaces/"+c.namespace+"/dags"+tt.query)
		if got := strings.Join(itemsOf(body, "name"), " "); got != tt.want {
			t.Errorf("DAGs of the namespace, %s: %q, want %q", name, got, tt.want)
		}
	}
	for _, query := range []string{"?limit=1", "?deleted=true&limit=1"} {
		l.checkPages(c, "/api/v1/namespaces/"+c.namespace+"/dags", query)
		l.checkPages(c, "/api/v1/dags", query)
	}
	foreign := l.get(c, "/api/v1/namespaces/"+c.namespace+"/dags/foreign-amber")
	if foreign["readOnly"] != true || foreign["valid"] != nil {
		t.Errorf("a DAG of another controller: %v", foreign)
	}
	gone := l.do(request{method: "GET", path: "/api/v1/namespaces/" + c.namespace + "/dags/gone-a", token: c.token})
	if text := string(gone.body); gone.StatusCode != 200 || gone.Header.Get("ETag") != "" ||
		!strings.Contains(text, `"deletedAt":"2026-07-01T11:59:00Z"`) || strings.Contains(text, "manifest") {
		t.Errorf("a DAG that was deleted: status %d\n%s", gone.StatusCode, text)
	}
	l.want(404, request{method: "GET", path: "/api/v1/namespaces/" + c.namespace + "/dags/none", token: c.token})
	due := l.get(c, "/api/v1/upcoming")
	if diff := cmp.Diff([]string{"etl-amber", "foreign-amber"}, itemsOf(due, "dag")); diff != "" {
		t.Errorf("upcoming (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/v1/upcoming", "/api/v1/namespaces/" + c.namespace + "/upcoming"} {
		if due := l.get(c, path+"?limit=1"); !slices.Equal(itemsOf(due, "dag"), []string{"etl-amber"}) {
			t.Errorf("the one that is upcoming: %v", due)
		}
	}
}

// checkPages reads a list with pages of one item to its end and back, and compares it with the whole list.
func (h *history) checkPages(c *color, path, query string) {
	h.Helper()
	whole := itemsOf(h.get(c, path+query+"00"), "name")
	body := h.get(c, path+query)
	there := itemsOf(body, "name")
	for body["next"] != nil {
		body = h.get(c, path+query+"&cursor="+body["next"].(string))
		there = append(there, itemsOf(body, "name")...)
	}
	back := itemsOf(body, "name")
	for body["previous"] != nil {
		body = h.get(c, path+query+"&cursor="+body["previous"].(string))
		back = append(itemsOf(body, "name"), back...)
	}
	if !slices.Equal(whole, there) || !slices.Equal(whole, back) || len(whole) < 3 {
		h.Errorf("%s%s: %v there, %v back, want %v", path, query, there, back, whole)
	}
}

// TestNamespacesOfACaller lists namespaces with the role and the number of DAGs.
func TestNamespacesOfACaller(t *testing.T) {
	l := newLiveHistory(t)
	a, b := l.colors[0].namespace, l.colors[1].namespace
	l.user("carol", annPassword, accounts.Access{Grants: []accounts.Grant{
		{Namespace: "empty", Role: "editor"}, {Namespace: a, Role: "operator"},
	}})
	item := func(name, role string, dags float64) any {
		return map[string]any{"name": name, "role": role, "dags": dags}
	}
	for user, want := range map[string][]any{
		l.colors[0].token:             {item(a, "viewer", 2)},
		l.login("carol", annPassword): {item(a, "operator", 2), item("empty", "editor", 0)},
		l.login("root", rootPassword): {item(a, "editor", 2), item(b, "editor", 2)},
	} {
		got := l.want(200, request{method: "GET", path: "/api/v1/namespaces", token: user})
		if diff := cmp.Diff(want, got["items"]); diff != "" {
			t.Errorf("namespaces (-want +got):\n%s", diff)
		}
	}
}

// TestDagTasks lists DagTasks, and the DAGs that use one.
func TestDagTasks(t *testing.T) {
	l := newLiveHistory(t)
	c := l.colors[0]
	base := "/api/v1/namespaces/" + c.namespace + "/dagtasks"
	list := l.get(c, base)
	if got := itemsOf(list, "name"); !slices.Equal(got, []string{"shared-amber"}) {
		t.Fatalf("DagTasks %v", got)
	}
	item := list["items"].([]any)[0].(map[string]any)
	if item["manager"] != "kubectl" || item["valid"] != nil || item["readOnly"] != false || item["generation"] != 1.0 {
		t.Errorf("DagTask %v", item)
	}
	a := l.do(request{method: "GET", path: base + "/shared-amber", token: c.token})
	if text := string(a.body); a.Header.Get("ETag") != `"1"` || !strings.Contains(text, `"image":"amber"`) {
		t.Errorf("ETag %s, %s", a.Header.Get("ETag"), text)
	}
	for _, name := range []string{"other-1", "other-2"} {
		_, err := l.clients.Kontroler.KontrolerV1alpha1().DagTasks(c.namespace).Create(t.Context(), &v1alpha1.DagTask{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"color": "grey"}},
			Spec:       v1alpha1.DagTaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Image: "i"}},
		}, metav1.CreateOptions{})
		l.must(err)
		l.await("the watch has the DagTask", func() bool {
			_, found, err := l.live.DagTask(c.namespace, name)
			return err == nil && found
		})
	}
	for _, path := range []string{"/api/v1/dagtasks", base} {
		for query, want := range map[string]int{
			"?search=ed-a": 1, "?search=x": 0, "?label=color": 2, "?label=!color": 1,
		} {
			if got := len(itemsOf(l.get(c, path+query), "name")); got != want {
				t.Errorf("%s%s: %d DagTasks, want %d", path, query, got, want)
			}
		}
		l.checkPages(c, path, "?limit=1")
	}
	for namespace, want := range map[string]int{c.namespace: 3, l.colors[1].namespace: 0} {
		if got := len(itemsOf(l.get(c, "/api/v1/dagtasks?namespace="+namespace), "name")); got != want {
			t.Errorf("in namespace %s: %d DagTasks, want %d", namespace, got, want)
		}
	}
	users := l.get(c, base+"/shared-amber/users")
	if diff := cmp.Diff([]string{"bad-amber", "etl-amber"}, itemsOf(users, "name")); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/none", "/none/users", "/%00", "/a%2fb"} {
		l.want(404, request{method: "GET", path: base + path, token: c.token})
	}
}

// TestPendingRuns finds a DagRun that has no row in the list, by its name and in what needs attention, until it is
// admitted.
func TestPendingRuns(t *testing.T) {
	l := newLiveHistory(t)
	c := l.colors[0]
	dagRuns := l.clients.Kontroler.KontrolerV1alpha1().DagRuns(c.namespace)
	live, err := dagRuns.Get(t.Context(), "waits-amber", metav1.GetOptions{})
	l.must(err)
	pending := map[string]any{
		"namespace": c.namespace, "name": "waits-amber", "uid": string(live.UID), "dag": "none",
		"createdAt": live.CreationTimestamp.UTC().Format(time.RFC3339), "reason": "NotSeen",
		"message": "No controller has seen the DagRun yet.", "admitted": false,
	}
	whole := map[string]any{"items": []any{pending}, "hasMore": false}
	if diff := cmp.Diff(whole, l.get(c, "/api/v1/pending")); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	byName := "/api/v1/namespaces/" + c.namespace + "/runs/waits-amber"
	want := map[string]any{
		"phase": "Pending", "trigger": "API", "requestedBy": "fan-of-amber", "tasks": map[string]any{
			"total": 0.0, "waiting": 0.0, "ready": 0.0, "active": 0.0, "succeeded": 0.0, "failed": 0.0, "skipped": 0.0,
			"cancelled": 0.0,
		}, "parameters": []any{map[string]any{"name": "p", "value": "amber"}},
	}
	for field, value := range pending {
		want[field] = value
	}
	if diff := cmp.Diff(want, l.get(c, byName)); diff != "" {
		t.Errorf("by name (-want +got):\n%s", diff)
	}
	l.want(404, request{method: "GET", path: byName, token: l.colors[1].token})
	l.want(404, request{method: "GET", path: "/api/v1/namespaces/" + c.namespace + "/runs/none", token: c.token})

	live.Status = v1alpha1.DagRunStatus{Phase: "Pending", Reason: "DagNotFound", Message: `there is no DAG "none"`}
	live, err = dagRuns.UpdateStatus(t.Context(), live, metav1.UpdateOptions{})
	l.must(err)
	pending["reason"], pending["message"] = "DagNotFound", `there is no DAG "none"`
	attention := l.get(c, "/api/v1/attention")
	if got := attention["pending"].(map[string]any)["items"].([]any); len(got) != 0 {
		t.Errorf("a DagRun of less than a minute needs attention: %v", got)
	}
	l.clock.add(live.CreationTimestamp.Add(time.Hour).Sub(l.clock.now()))
	c.token = l.login("viewer-of-"+c.name, annPassword) // the session has expired
	attention = l.get(c, "/api/v1/namespaces/"+c.namespace+"/attention")
	if diff := cmp.Diff(whole, attention["pending"]); diff != "" {
		t.Errorf("what needs attention (-want +got):\n%s", diff)
	}
	invalid := map[string]any{"hasMore": false, "items": []any{map[string]any{
		"namespace": c.namespace, "name": "bad-amber", "message": "no amber", "since": "2026-07-01T11:00:00Z",
	}}}
	if diff := cmp.Diff(invalid, attention["invalid"]); diff != "" {
		t.Errorf("DAGs that are not valid (-want +got):\n%s", diff)
	}

	row := l.newRun(c)
	row.UID, row.Name = string(live.UID), live.Name
	_, err = l.leader.Refuse(t.Context(), row, "InvalidParameters", "no")
	l.must(err)
	if got := l.get(c, "/api/v1/pending")["items"].([]any); len(got) != 0 {
		t.Errorf("a DagRun with a row is pending: %v", got)
	}
	if run := l.get(c, byName); run["admitted"] != true || run["phase"] != "Failed" {
		t.Errorf("by name, with a row: %v", run)
	}
}

// TestADAGWithoutARow checks that a DAG that was never valid has an empty history.
func TestADAGWithoutARow(t *testing.T) {
	l := newLiveHistory(t)
	c := l.colors[0]
	base := "/api/v1/namespaces/" + c.namespace + "/dags/"
	for _, list := range []string{"/versions", "/ticks"} {
		if got := l.get(c, base+"bad-amber"+list)["items"].([]any); len(got) != 0 {
			t.Errorf("%s: %v", list, got)
		}
	}
	want := map[string]any{"tasks": []any{}, "runs": []any{}}
	if diff := cmp.Diff(want, l.get(c, base+"bad-amber/grid")); diff != "" {
		t.Errorf("grid (-want +got):\n%s", diff)
	}
	statistics := l.get(c, base+"bad-amber/statistics")["all"].(map[string]any)
	if statistics["succeeded"] != 0.0 || statistics["successRate"] != nil {
		t.Errorf("statistics %v", statistics)
	}
	for _, path := range []string{
		"none/versions", "none/grid", "bad-amber/versions/1", "bad-amber/diff?from=1&to=2", "none/statistics",
	} {
		l.want(404, request{method: "GET", path: base + path, token: c.token})
	}
}

// TestAPIServerAway checks that routes that need the API server return 503 while it is unavailable, and that the others
// work.
func TestAPIServerAway(t *testing.T) {
	h := newHistory(t)
	c := h.colors[0]
	away := runReader(t, clientsOfNowhere(t))
	r := h.world.replica(func(c *httpapi.Config) { c.Views, c.Quarters, c.Cluster = h.views, h.counts, away })
	h.await("the API server is away", func() bool {
		a := r.do(request{method: "GET", path: "/api/v1/dags", token: c.token})
		return a.StatusCode == 503 && strings.Contains(string(a.body), "The Kubernetes API does not answer.")
	})
	for _, pattern := range readingRoutes {
		path := c.pathOf(pattern)
		want := http.StatusOK
		isHistory := slices.ContainsFunc([]string{"/versions", "/diff", "/ticks", "/grid", "/statistics"},
			func(part string) bool {
				return strings.Contains(pattern, part)
			})
		needsCluster := slices.ContainsFunc([]string{"/dags", "/dagtasks", "/upcoming", "/pending", "/v1/namespaces"},
			func(part string) bool {
				return strings.Contains(pattern, part+"/{name}") || strings.HasSuffix(pattern, part)
			})
		if needsCluster && !isHistory {
			want = http.StatusServiceUnavailable
		}
		if a := r.do(request{method: "GET", path: path, token: c.token}); a.StatusCode != want {
			t.Errorf("%s: status %d, want %d\n%s", path, a.StatusCode, want, a.body)
		}
	}
	attention := r.want(200, request{method: "GET", path: "/api/v1/attention", token: c.token})
	if attention["unavailable"] != "The Kubernetes API does not answer." || attention["pending"] != nil ||
		attention["invalid"] != nil || len(attention["failed"].(map[string]any)["items"].([]any)) != 1 {
		t.Errorf("what needs attention: %v", attention)
	}
	// It is not known whether these exist.
	for _, path := range []string{"/dags/none/grid", "/runs/none"} {
		r.want(503, request{method: "GET", path: "/api/v1/namespaces/a" + path, token: c.token})
	}
	// What is foreign stays unknown.
	r.want(404, request{method: "GET", path: "/api/v1/namespaces/c/dags", token: c.token})
}

// TestBadParametersOfLists checks that a problem names the parameter.
func TestBadParametersOfLists(t *testing.T) {
	h := newHistory(t)
	c := h.colors[0]
	for path, parameter := range map[string]string{
		"/api/v1/dags?valid=maybe":                            "valid",
		"/api/v1/dags?suspended=1":                            "suspended",
		"/api/v1/dags?deleted=yes":                            "deleted",
		"/api/v1/dags?deleted=true&valid=true":                "deleted",
		"/api/v1/dags?deleted=true&lastRun=Live":              "deleted",
		"/api/v1/dags?lastRun=odd":                            "lastRun",
		"/api/v1/dagtasks?lastRun=Live":                       "lastRun",
		"/api/v1/dags?label=a%3D%3D%3Db":                      "label",
		"/api/v1/dags?search=%00":                             "search",
		"/api/v1/dags?namespace=%00":                          "namespace",
		"/api/v1/dags?deleted=true&namespace=%ff":             "namespace",
		"/api/v1/dagtasks?namespace=%ff":                      "namespace",
		"/api/v1/dags?cursor=x":                               "cursor",
		"/api/v1/dags?cursor=eyJrIjp7IlBvc2l0aW9uIjoxfX0":     "cursor", // of tasks
		"/api/v1/dags?cursor=eyJrIjp7Ik5hbWUiOiJcdTAwMDAifX0": "cursor",
		"/api/v1/dags?limit=201":                              "limit",
		"/api/v1/dagtasks?valid=true":                         "valid",
		"/api/v1/namespaces/a/dags?namespace=a":               "namespace",
		"/api/v1/namespaces/a/dags/x?search=a":                "search",
		"/api/v1/namespaces/a/dagtasks/x/users?a=b":           "a",
		"/api/v1/namespaces?limit=1":                          "limit",
		"/api/v1/upcoming?limit=0":                            "limit",
		"/api/v1/upcoming?cursor=x":                           "cursor",
		"/api/v1/pending?limit=1":                             "limit",
	} {
		a := h.do(request{method: "GET", path: path, token: c.token})
		if detail, _ := withoutID(t, a.body)["detail"].(string); a.StatusCode != 400 ||
			!strings.Contains(detail, parameter) {
			t.Errorf("%s: status %d, %s", path, a.StatusCode, detail)
		}
	}
}
