package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

// pathOf returns the path of a route for the objects of a namespace.
func (c *color) pathOf(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	name := c.dag()
	switch {
	case strings.HasSuffix(pattern, "/runs/{name}"):
		name = c.run()
	case strings.Contains(pattern, "/dagtasks/"):
		name = "shared-" + c.name
	}
	path = strings.NewReplacer("{ns}", c.namespace, "{name}", name, "{uid}", c.live, "{task}", "load-"+c.name,
		"{number}", "1", "{version}", "1").Replace(path)
	if strings.HasSuffix(path, "/diff") {
		path += "?from=1&to=2"
	}
	return path
}

// TestNamespacesAreApart reads every route as two users with one namespace each. Each user sees their own objects, and
// no trace of those of the other user.
func TestNamespacesAreApart(t *testing.T) {
	h := newLiveHistory(t).history
	table := map[string]bool{}
	for _, pattern := range readingRoutes {
		table[pattern] = true
	}
	for pattern := range h.api.Patterns() {
		isReading := !strings.Contains(pattern, "/auth/") && !strings.Contains(pattern, "/v1/users") &&
			!strings.HasSuffix(pattern, "/audit") && strings.Contains(pattern, " /api/") &&
			pattern != "GET /api/v1/events" && // TestEventsOfNamespaces follows it.
			pattern != logRoute // TestFaultyRequestsForLogs reads it.
		if isReading && strings.HasPrefix(pattern, "GET ") != table[pattern] {
			t.Errorf("the table of this test lacks %s", pattern)
		}
		if _, isWriting := writingRoutes[pattern]; isReading && !isWriting && !table[pattern] {
			t.Errorf("no table of the tests has %s", pattern)
		}
	}
	// These answers are numbers, or do not repeat what is in the path.
	withoutColor := []string{"/statistics", "/versions", "/diff", "/attempts", "/attempts/{number}/events"}
	for i, own := range h.colors {
		other := h.colors[1-i]
		for _, pattern := range readingRoutes {
			t.Run(pattern+" in "+own.namespace, func(t *testing.T) {
				r := *h.replica
				r.world = &world{T: t, clock: h.clock}
				a := r.do(request{method: "GET", path: own.pathOf(pattern), token: own.token})
				text := string(a.body)
				hasColor := strings.Contains(text, own.name) ||
					slices.ContainsFunc(withoutColor, func(s string) bool { return strings.HasSuffix(pattern, s) })
				if a.StatusCode != http.StatusOK || !hasColor {
					t.Errorf("own: status %d\n%s", a.StatusCode, text)
				}
				if strings.Contains(text, other.name) || strings.Contains(text, other.uid(0)[:9]) {
					t.Errorf("a trace of the other namespace:\n%s", text)
				}
				_, rest, _ := strings.Cut(pattern, " ")
				if !strings.Contains(rest, "{") {
					return
				}
				foreign := r.do(request{method: "GET", path: other.pathOf(pattern), token: own.token})
				missing := other.pathOf(pattern)
				missing = strings.NewReplacer(
					"/namespaces/"+other.namespace+"/", "/namespaces/none/", other.live, own.uid(999)).Replace(missing)
				unknown := r.do(request{method: "GET", path: missing, token: own.token})
				if foreign.StatusCode != 404 || unknown.StatusCode != 404 {
					t.Errorf("foreign: status %d; missing: %d", foreign.StatusCode, unknown.StatusCode)
				}
				if diff := cmp.Diff(withoutID(t, unknown.body), withoutID(t, foreign.body)); diff != "" {
					t.Errorf("a foreign object differs from a missing one (-missing +foreign):\n%s", diff)
				}
			})
		}
	}
}

func withoutID(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var problem map[string]any
	if err := json.Unmarshal(body, &problem); err != nil {
		t.Fatal(err)
	}
	delete(problem, "requestId")
	return problem
}

// TestFiltersStayInScope filters by a namespace that the caller may not see, also with grants that give no right.
func TestFiltersStayInScope(t *testing.T) {
	h := newHistory(t)
	h.user("carol", "carol's secret passphrase", accounts.Access{})
	carol := h.login("carol", "carol's secret passphrase")
	root := h.login("root", rootPassword)
	for name, tt := range map[string]struct {
		token, query string
		want         int
	}{
		"the own namespace":                     {h.colors[0].token, "?namespace=a", 4},
		"a foreign namespace":                   {h.colors[0].token, "?namespace=c", 0},
		"a foreign DAG":                         {h.colors[0].token, "?dag=etl-cobalt", 0},
		"a foreign requester":                   {h.colors[0].token, "?requestedBy=fan-of-cobalt", 0},
		"all as an administrator":               {root, "", 9},
		"a namespace as an administrator":       {root, "?namespace=c", 5},
		"a user without grants":                 {carol, "", 0},
		"a user without grants and a namespace": {carol, "?namespace=a", 0},
		"a phase":                               {root, "?phase=Failed", 2},
		"live runs":                             {root, "?phase=Live", 2},
		"a trigger":                             {root, "?trigger=Manual", 0},
		"a DAG":                                 {root, "?dag=etl-amber", 4},
		"a requester":                           {root, "?requestedBy=fan-of-amber", 4},
		"a prefix of the name":                  {root, "?namePrefix=etl-co", 5},
		"a time":                                {root, "?from=2026-07-01T11:02:00Z&to=2026-07-01T11:03:00Z", 2},
	} {
		body := h.want(200, request{method: "GET", path: "/api/v1/runs" + tt.query, token: tt.token})
		if got := len(body["items"].([]any)); got != tt.want {
			t.Errorf("%s: %d runs, want %d", name, got, tt.want)
		}
	}
}

// TestStatistics compares statistics with the runs that the test wrote.
func TestStatistics(t *testing.T) {
	h := newHistory(t)
	root := h.login("root", rootPassword)
	third, two := 2.0/3, 5.0/7
	own := map[string]any{"succeeded": 2.0, "failed": 1.0, "cancelled": 0.0, "successRate": third}
	all := map[string]any{"succeeded": 5.0, "failed": 2.0, "cancelled": 0.0, "successRate": two}
	empty := map[string]any{"succeeded": 0.0, "failed": 0.0, "cancelled": 0.0, "successRate": nil}
	on := func(date string, counts map[string]any) map[string]any {
		day := map[string]any{"date": date}
		for k, v := range counts {
			day[k] = v
		}
		return day
	}
	for name, tt := range map[string]struct {
		path, token string
		want        map[string]any
	}{
		"of an administrator": {"/api/v1/statistics?from=2026-06-30&to=2026-07-01", root, map[string]any{
			"zone": "UTC", "days": []any{on("2026-06-30", empty), on("2026-07-01", all)}, "all": all,
		}},
		"of the caller": {"/api/v1/statistics?from=2026-07-01", h.colors[0].token, map[string]any{
			"zone": "UTC", "days": []any{on("2026-07-01", own)}, "all": own,
		}},
		"of a namespace": {"/api/v1/namespaces/a/statistics?from=2026-07-01", root, map[string]any{
			"zone": "UTC", "days": []any{on("2026-07-01", own)}, "all": own,
		}},
		"of a DAG in a zone where it is tomorrow": {
			"/api/v1/namespaces/a/dags/etl-amber/statistics?from=2026-07-01&zone=Pacific/Kiritimati", root,
			map[string]any{
				"zone": "Pacific/Kiritimati", "days": []any{on("2026-07-01", empty), on("2026-07-02", own)}, "all": own,
			},
		},
	} {
		if diff := cmp.Diff(tt.want, h.want(200, request{method: "GET", path: tt.path, token: tt.token})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	body := h.want(200, request{method: "GET", path: "/api/v1/statistics", token: root})
	if days := body["days"].([]any); len(days) != 30 {
		t.Errorf("%d days by default", len(days))
	}
}

// TestReadARun checks a live run, its graph, its tasks, its attempts and its Events.
func TestReadARun(t *testing.T) {
	h := newHistory(t)
	c := h.colors[0]
	get := func(path string) map[string]any {
		t.Helper()
		return h.want(200, request{method: "GET", path: path, token: c.token})
	}
	base := "/api/v1/runs/" + c.live
	run := get(base)
	if diff := cmp.Diff(run, get("/api/v1/namespaces/a/runs/"+c.run())); diff != "" {
		t.Errorf("by name (-uid +name):\n%s", diff)
	}
	listed := get("/api/v1/runs?phase=Live&dag=etl-amber")["items"].([]any)[0].(map[string]any)
	ended := get("/api/v1/runs?phase=Succeeded&limit=1")["items"].([]any)[0].(map[string]any)
	if listed["uid"] != c.live || listed["typicalDurationSeconds"] != 60.0 || ended["typicalDurationSeconds"] != nil {
		t.Errorf("in lists: live %v, ended %v", listed, ended)
	}
	if _, isListed := listed["parameters"]; isListed {
		t.Errorf("a list has parameters, which may have a megabyte each: %v", listed)
	}
	for field, want := range map[string]any{
		"uid": c.live, "phase": "Running", "version": 2.0, "typicalDurationSeconds": 60.0, "trigger": "API",
		"requestedBy": "fan-of-amber", "dag": "etl-amber", "namespace": "a",
		"parameters": []any{map[string]any{"name": "color", "value": "amber"}},
	} {
		if diff := cmp.Diff(want, run[field]); diff != "" {
			t.Errorf("field %s (-want +got):\n%s", field, diff)
		}
	}
	if diff := cmp.Diff(map[string]any{
		"uid": c.live, "names": []any{"load-amber", "report-amber"}, "phases": []any{"Active", "Waiting"},
		"reasons": []any{"ImagePullBackOff", "NeedsParents"}, "parents": []any{[]any{}, []any{0.0}},
	}, get(base+"/graph")); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
	task := map[string]any{
		"name": "report-amber", "phase": "Waiting", "reason": "NeedsParents", "message": "needs load-amber",
		"needs": []any{"load-amber"}, "attempts": 0.0, "retries": 0.0, "restarts": 0.0,
	}
	if diff := cmp.Diff(task, get(base+"/tasks/report-amber")); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(task, get(base + "/tasks")["items"].([]any)[1]); diff != "" {
		t.Errorf("task in the list (-want +got):\n%s", diff)
	}
	attempt := get(base + "/tasks/load-amber/attempts/1")
	if diff := cmp.Diff([]any{attempt}, get(base + "/tasks/load-amber/attempts")["items"]); diff != "" {
		t.Errorf("attempts (-one +list):\n%s", diff)
	}
	if attempt["podUID"] != c.uid(1000) || attempt["message"] != "no image amber" || attempt["node"] != "node-amber" {
		t.Errorf("attempt %v", attempt)
	}
	if diff := cmp.Diff(map[string]any{
		"uid": c.live, "tasks": []any{"load-amber"}, "numbers": []any{1.0}, "phases": []any{attempt["phase"]},
		"reasons": []any{attempt["reason"]}, "startedAt": []any{attempt["startedAt"]},
		"finishedAt": []any{attempt["finishedAt"]}, "hasMore": false,
	}, get(base+"/attempts")); diff != "" {
		t.Errorf("attempts of the run (-want +got):\n%s", diff)
	}
	event := get(base + "/tasks/load-amber/attempts/1/events")["items"].([]any)[0].(map[string]any)
	if event["message"] != "pulling amber" || event["count"] != 3.0 {
		t.Errorf("Event %v", event)
	}
}

// TestHistoryOfADAG checks the difference of versions, the grid and what needs attention.
func TestHistoryOfADAG(t *testing.T) {
	h := newHistory(t)
	c := h.colors[0]
	base := "/api/v1/namespaces/a/dags/etl-amber"
	get := func(path string) map[string]any {
		t.Helper()
		return h.want(200, request{method: "GET", path: path, token: c.token})
	}
	if diff := cmp.Diff(map[string]any{"from": 1.0, "to": 2.0, "changes": []any{map[string]any{
		"path": []any{"task", "load-amber", "image"}, "before": "one", "after": "two",
	}}}, get(base+"/diff?from=1&to=2")); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(get(base+"/diff?from=1&to=2"), get(base+"/diff?to=2")); diff != "" {
		t.Errorf("difference from the version before (-named +not named):\n%s", diff)
	}
	for query, want := range map[string]string{
		"?to=1": "Version 1 is the first version that is kept.",
		"?to=9": "There is no version 9. Versions that no run uses are removed.",
	} {
		problem := h.want(404, request{method: "GET", path: base + "/diff" + query, token: c.token})
		if problem["detail"] != want {
			t.Errorf("difference %s: %v, want %q", query, problem["detail"], want)
		}
	}
	if same := get(base + "/diff?from=2&to=2")["changes"]; len(same.([]any)) != 0 {
		t.Errorf("a version differs from itself: %v", same)
	}
	grid := get(base + "/grid?runs=3")
	var phases, versions []any
	for _, run := range grid["runs"].([]any) {
		phases = append(phases, run.(map[string]any)["phases"])
		versions = append(versions, run.(map[string]any)["version"])
	}
	if diff := cmp.Diff([]any{
		[]any{"Active", "Waiting"}, []any{nil, nil}, []any{"Succeeded", "Succeeded"},
	}, phases); diff != "" || !slices.Equal(versions, []any{2.0, 2.0, 2.0}) || grid["typicalDurationSeconds"] != 60.0 {
		t.Errorf("grid with typical duration %v and versions %v (-want +got):\n%s",
			grid["typicalDurationSeconds"], versions, diff)
	}
	attention := get("/api/v1/attention")
	if diff := cmp.Diff(attention, get("/api/v1/namespaces/a/attention")); diff != "" {
		t.Errorf("attention (-all +namespace):\n%s", diff)
	}
	for list, want := range map[string]map[string]any{
		"failed":  {"name": "etl-amber-3", "message": "no amber"},
		"waiting": {"task": "load-amber", "reason": "ImagePullBackOff", "runUID": c.live, "dag": "etl-amber"},
		"missed":  {"dag": "etl-amber", "outcome": "Missed", "count": 11.0},
	} {
		items := attention[list].(map[string]any)["items"].([]any)
		if len(items) != 1 {
			t.Fatalf("%s: %v", list, items)
		}
		for field, value := range want {
			if got := items[0].(map[string]any)[field]; got != value {
				t.Errorf("%s: %s is %v, want %v", list, field, got, value)
			}
		}
	}
	h.fail(h.admit(c), c)
	failed := get("/api/v1/attention")["failed"].(map[string]any)["items"].([]any)
	if diff := cmp.Diff(map[string]any{"name": "load-amber", "reason": "RetriesSpent", "message": "exit code 2"},
		failed[0].(map[string]any)["failedTask"]); diff != "" {
		t.Errorf("the task that failed (-want +got):\n%s", diff)
	}
	if refused := failed[1].(map[string]any); refused["failedTask"] != nil {
		t.Errorf("the failed task of a run that was refused: %v", refused)
	}
	h.clock.add(23 * time.Hour)
	late := h.login("ann", annPassword)
	gone := h.want(200, request{method: "GET", path: "/api/v1/attention", token: late})
	if missed := gone["missed"].(map[string]any)["items"].([]any); len(missed) != 0 {
		t.Errorf("what was missed more than a day ago: %v", missed)
	}
}

// TestPagesOfRows reads every list page by page forward and backward, while a run is added.
func TestPagesOfRows(t *testing.T) {
	h := newHistory(t)
	c := h.colors[1]
	key := map[string]string{"/runs": "uid", "/namespaces/c/runs": "uid", "/runs/" + c.live + "/tasks": "name",
		"/namespaces/c/dags/etl-cobalt/versions": "version", "/namespaces/c/dags/etl-cobalt/ticks": "from"}
	for list, field := range key {
		read := func(cursor string) (items []string, next, previous string) {
			t.Helper()
			path := "/api/v1" + list + "?limit=1"
			if cursor != "" {
				path += "&cursor=" + url.QueryEscape(cursor)
			}
			body := h.want(200, request{method: "GET", path: path, token: c.token})
			for _, item := range body["items"].([]any) {
				items = append(items, fmt.Sprint(item.(map[string]any)[field]))
			}
			next, _ = body["next"].(string)
			previous, _ = body["previous"].(string)
			return items, next, previous
		}
		whole := h.want(200, request{method: "GET", path: "/api/v1" + list, token: c.token})["items"].([]any)
		var want []string
		for _, item := range whole {
			want = append(want, fmt.Sprint(item.(map[string]any)[field]))
		}
		there, next, previous := read("")
		if strings.HasSuffix(list, "/runs") {
			h.admit(c) // The cursor stays beside its row.
		}
		for next != "" {
			var items []string
			items, next, previous = read(next)
			there = append(there, items...)
		}
		if diff := cmp.Diff(want, there); diff != "" {
			t.Errorf("%s (-want +got):\n%s", list, diff)
		}
		back := there[len(there)-1:]
		for previous != "" {
			var items []string
			items, _, previous = read(previous)
			back = append(items, back...)
		}
		if len(back) < len(want) || !slices.Equal(want, back[len(back)-len(want):]) {
			t.Errorf("%s, backwards: %v, want the end to be %v", list, back, want)
		}
	}
}

// TestBadParameters checks that a problem names the parameter.
func TestBadParameters(t *testing.T) {
	h := newHistory(t)
	c := h.colors[0]
	dag, run := "/api/v1/namespaces/a/dags/etl-amber", "/api/v1/runs/"+c.live
	for path, parameter := range map[string]string{
		"/api/v1/runs?phase=Odd":                        "phase",
		"/api/v1/runs?trigger=odd":                      "trigger",
		"/api/v1/runs?from=yesterday":                   "from",
		"/api/v1/runs?to=2026-07-01":                    "to",
		"/api/v1/runs?to=0001-01-01T00:00:00Z":          "to", // the zero time, which would be no bound
		"/api/v1/runs?from=0001-01-01T00:00:00%2B23:59": "from",
		"/api/v1/runs?limit=201":                        "limit",
		"/api/v1/runs?limit=0":                          "limit",
		"/api/v1/runs?limit=05":                         "limit",
		"/api/v1/runs?limit=%2B5":                       "limit",
		"/api/v1/runs?cursor=AAAA":                      "cursor",
		"/api/v1/runs?dag=%00":                          "dag",
		"/api/v1/runs?requestedBy=%ff":                  "requestedBy",
		"/api/v1/runs?namePrefix=%00":                   "namePrefix",
		"/api/v1/runs?namespace=%00":                    "namespace",
		"/api/v1/runs?sort=name":                        "sort",
		"/api/v1/runs?phase=":                           "phase",
		"/api/v1/namespaces/a/runs?namespace=c":         "namespace",
		run + "?verbose=1":                              "verbose",
		run + "/tasks?cursor=x":                         "cursor",
		run + "/tasks?cursor=eyJrIjoiYSJ9":              "cursor",
		run + "/tasks/load-amber/attempts?limit=a":      "limit",
		dag + "/versions?cursor=x":                      "cursor",
		dag + "/ticks?cursor=eyJrIjoxfQ":                "cursor",
		dag + "/diff":                                   "to",
		dag + "/diff?from=1":                            "to",
		dag + "/diff?from=x&to=1":                       "from",
		dag + "/diff?from=1&to=x":                       "to",
		dag + "/grid?runs=201":                          "runs",
		dag + "/statistics?zone=Local":                  "zone",
		"/api/v1/statistics?zone=..%2Fetc":              "zone",
		"/api/v1/statistics?from=2026-02-30":            "from",
		"/api/v1/statistics?to=01.07.2026":              "to",
		"/api/v1/statistics?from=2020-01-01":            "from",
		"/api/v1/statistics?from=9999-01-01":            "from",
		"/api/v1/attention?since=1h":                    "since",
		"/api/v1/namespaces/a/statistics?zone=Mars":     "zone",
		"/api/v1/runs?cursor=AQB_________wAAAAAAAAAA":   "cursor",
	} {
		a := h.do(request{method: "GET", path: path, token: c.token})
		if detail, _ := withoutID(t, a.body)["detail"].(string); a.StatusCode != 400 ||
			!strings.Contains(detail, parameter) {
			t.Errorf("%s: status %d, %s", path, a.StatusCode, detail)
		}
	}
	for _, path := range []string{
		"/api/v1/runs/none", "/api/v1/runs/%00", run + "/tasks/%00", run + "/tasks/none",
		run + "/tasks/load-amber/attempts/0", run + "/tasks/load-amber/attempts/99999999999999",
		run + "/tasks/load-amber/attempts/01", run + "/tasks/load-amber/attempts/+1",
		dag + "/versions/3", dag + "/versions/x", dag + "/versions/01", dag + "/diff?from=1&to=9",
		"/api/v1/namespaces/a/dags/%ff/grid", "/api/v1/namespaces/%00/runs", "/api/v1/namespaces/a/runs/%ff",
	} {
		if a := h.do(request{method: "GET", path: path, token: c.token}); a.StatusCode != 404 {
			t.Errorf("%s: status %d\n%s", path, a.StatusCode, a.body)
		}
	}
}

// TestStatisticsBeforeTheFirstCount checks that statistics of a DAG, which are read from its rows, do not wait for the
// first count of all runs.
func TestStatisticsBeforeTheFirstCount(t *testing.T) {
	h := newHistory(t)
	r := h.world.replica(func(c *httpapi.Config) { c.Views = h.views })
	for path, want := range map[string]int{
		"/api/v1/statistics": 503, "/api/v1/namespaces/a/statistics": 503, "/api/v1/namespaces/c/statistics": 404,
		"/api/v1/namespaces/a/dags/etl-amber/statistics": 200, "/api/v1/statistics?zone=Mars": 400,
	} {
		a := r.do(request{method: "GET", path: path, token: h.colors[0].token})
		if a.StatusCode != want || want == 503 && !strings.Contains(string(a.body), "counts the runs") {
			t.Errorf("%s: status %d, want %d\n%s", path, a.StatusCode, want, a.body)
		}
	}
}

// TestViewsAway checks that the status is 503 with Retry-After if the database does not answer, or has no views.
func TestViewsAway(t *testing.T) {
	w := newWorld(t)
	for name, url := range map[string]string{
		"an unavailable database":         "postgres://u@127.0.0.1:1/d?sslmode=disable",
		"a role that may not read at all": unprivileged(t, w.url),
	} {
		views, err := view.Open(view.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		defer views.Close()
		r := w.replica(func(c *httpapi.Config) { c.Views = views })
		ann := r.login("ann", annPassword)
		for _, path := range []string{"/api/v1/runs", "/api/v1/statistics", "/api/v1/attention"} {
			if a := r.do(request{method: "GET", path: path, token: ann}); a.StatusCode != 503 {
				t.Errorf("%s, %s: status %d", name, path, a.StatusCode)
			}
		}
	}
}
