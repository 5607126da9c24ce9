package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"kontroler/httpapi"
	"kontroler/store/accounts"
	"kontroler/store/transition"
)

// TestTheDocumentSaysWhoMayCall compares x-role with the access of the routes.
func TestTheDocumentSaysWhoMayCall(t *testing.T) {
	var parsed struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := yaml.Unmarshal(httpapi.OpenAPI, &parsed); err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for path, methods := range parsed.Paths {
		for method, raw := range methods {
			if method == "parameters" {
				continue
			}
			var operation struct {
				Role string `json:"x-role"`
			}
			if err := json.Unmarshal(raw, &operation); err != nil {
				t.Fatal(err)
			}
			switch operation.Role {
			case "viewer", "operator", "editor": // The namespace decides.
				operation.Role = "user"
			}
			documented[strings.ToUpper(method)+" "+path] = operation.Role
		}
	}
	if diff := cmp.Diff(documented, newWorld(t).unstarted().api.Callers()); diff != "" {
		t.Errorf("who may call (-document +server):\n%s", diff)
	}
}

// TestThePageOfTheDocument checks that the page has every route, no script, and a policy that allows its style only.
func TestThePageOfTheDocument(t *testing.T) {
	r := newWorld(t).replica()
	a := r.do(request{method: "GET", path: "/docs"})
	page := string(a.body)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, header %v", a.StatusCode, a.Header)
	}
	styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(page, -1)
	if len(styles) != 1 {
		t.Fatalf("%d styles", len(styles))
	}
	sum := sha256.Sum256([]byte(styles[0][1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := a.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("policy %s, want %s", got, want)
	}
	for _, forbidden := range []string{"<script", "style=", "javascript:", "src=", "<link", "<form", "onclick"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %s", forbidden)
		}
	}
	shown := regexp.MustCompile(`<p class="route"><span class="method \w+">(\w+)</span> <code>(.*)</code></p>`)
	routes := map[string]bool{}
	for _, match := range shown.FindAllStringSubmatch(page, -1) {
		routes[match[1]+" "+regexp.MustCompile(`<[^>]*>`).ReplaceAllString(match[2], "")] = true
	}
	for pattern := range r.api.Patterns() {
		if !routes[pattern] {
			t.Errorf("the page lacks %s", pattern)
		}
	}
	if len(routes) != len(r.api.Patterns()) {
		t.Errorf("the page has %d routes, the server %d", len(routes), len(r.api.Patterns()))
	}
}

// TestRefusalsOfEveryRoute sends to every route the requests that it must refuse according to its documented statuses.
func TestRefusalsOfEveryRoute(t *testing.T) {
	h := newHistory(t)
	waiting := h.replica.world.replica(func(c *httpapi.Config) { c.IsPrepared = func() bool { return false } })
	root := h.login("root", rootPassword)
	tests := map[string]struct {
		status  int
		server  *replica
		token   string
		query   string
		body    string
		header  string
		methods string // those for which the refusal holds
	}{
		"an unknown query parameter": {400, h.replica, root, "odd=1", `{}`, "", "GET POST PUT DELETE"},
		"no credential":              {401, h.replica, "", "", `{}`, "", "GET POST PUT DELETE"},
		"another origin": {
			403, h.replica, root, "", `{}`, "Sec-Fetch-Site: cross-site", "POST PUT DELETE",
		},
		"a body that is too large": {
			413, h.replica, root, "", `{"name": "` + strings.Repeat("a", 2<<20) + `"}`, "", "POST PUT DELETE",
		},
		"a body of another type": {
			415, h.replica, root, "", "a,b", "Content-Type: text/csv", "POST PUT DELETE",
		},
		"a server that has no schema yet": {503, waiting, root, "", `{}`, "", "GET POST PUT DELETE"},
	}
	for path, methods := range documentation().paths {
		for method, statuses := range methods {
			pattern := method + " " + path
			for name, test := range tests {
				isLogin := strings.HasSuffix(path, "/login") // It takes no other credential.
				if !statuses[fmt.Sprint(test.status)] || !strings.Contains(test.methods, method) ||
					isLogin && test.status == 401 {
					continue
				}
				q := request{
					method: method, path: strings.ReplaceAll(h.colors[0].pathOf(pattern), "{id}", "999"),
					token: test.token, header: []string{`If-Match: "1"`},
				}
				if q.body = test.body; method == "GET" {
					q.body = ""
				}
				if isLogin {
					q.token = ""
				}
				if test.header != "" {
					q.header = append(q.header, test.header)
				}
				if test.query != "" {
					before, _, _ := strings.Cut(q.path, "?")
					q.path = before + "?" + test.query
				}
				if a := test.server.do(q); a.StatusCode != test.status {
					t.Errorf("%s with %s: status %d, want %d\n%s", pattern, name, a.StatusCode, test.status, a.body)
				}
			}
		}
	}
}

// TestFiltersOfEveryList uses each parameter of the lists where other tests do not.
func TestFiltersOfEveryList(t *testing.T) {
	h := newHistory(t)
	root := h.login("root", rootPassword)
	c := h.colors[0]
	retried := h.retry(c)
	length := func(list any) int { return len(list.([]any)) }
	for path, want := range map[string]int{
		"/api/v1/namespaces/a/runs?dag=etl-amber&phase=Failed":                              1,
		"/api/v1/namespaces/a/runs?dag=etl-cobalt":                                          0,
		"/api/v1/namespaces/a/runs?trigger=API&requestedBy=fan-of-amber":                    5,
		"/api/v1/namespaces/a/runs?trigger=Schedule":                                        0,
		"/api/v1/namespaces/a/runs?requestedBy=fan-of-cobalt":                               0,
		"/api/v1/namespaces/a/runs?namePrefix=etl-amber-2":                                  1,
		"/api/v1/namespaces/a/runs?from=2026-07-01T11:02:00Z&to=2026-07-01T11:04:00Z":       2,
		"/api/v1/runs/" + retried + "/tasks/load-amber/attempts?limit=1":                    1,
		"/api/v1/audit?from=2026-07-01T12:00:00Z&to=2026-07-01T12:00:00.000001Z&user=root":  1,
		"/api/v1/audit?from=2026-07-01T12:00:00.000001Z":                                    0,
		"/api/v1/namespaces/a/statistics?from=2026-07-01&to=2026-07-02&zone=Asia/Tokyo":     2,
		"/api/v1/namespaces/a/dags/etl-amber/statistics?from=2026-06-29&to=2026-07-01":      3,
		"/api/v1/statistics?from=2026-07-01&to=2026-07-01&zone=America%2FArgentina%2FSalta": 1,
	} {
		body := h.want(200, request{method: "GET", path: path, token: root})
		items, isList := body["items"]
		if !isList {
			items = body["days"]
		}
		if got := length(items); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	for _, list := range []string{"/api/v1/audit", "/api/v1/runs/" + retried + "/tasks/load-amber/attempts"} {
		first := h.want(200, request{method: "GET", path: list + "?limit=1", token: root})
		next := h.want(200, request{
			method: "GET", path: list + "?limit=1&cursor=" + url.QueryEscape(first["next"].(string)), token: root,
		})
		if length(next["items"]) != 1 || cmp.Equal(first["items"], next["items"]) || next["previous"] == nil {
			t.Errorf("%s: the second page is %v", list, next)
		}
	}
}

// retry writes a run whose first task failed once and is tried again. It returns the UID of the run.
func (h *history) retry(c *color) string {
	h.Helper()
	run := h.admit(c)
	task, first := h.decide(run, c, 0, transition.RunStarted{At: run.AdmittedAt})
	end, code := run.AdmittedAt.Add(time.Second), int32(3)
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.AttemptEnded{
			Attempt: first, Phase: "Failed", Reason: "ExitCode", ExitCode: &code,
			StartedAt: run.AdmittedAt, FinishedAt: end,
		},
		transition.TaskBackedOff{Task: task, Reason: "BackingOff", Due: end, Retries: 1},
	}, nil))
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.TaskActive{Task: task, At: end},
		transition.AttemptDecided{Task: task, Number: 2, PodName: "second", At: end},
	}, nil))
	return run.UID
}

// TestRefusalsOfUsersAndTokens sends well-formed requests that the routes of users and tokens refuse.
func TestRefusalsOfUsersAndTokens(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	root, ann := r.login("root", rootPassword), r.login("ann", annPassword)
	expires := w.clock.now().Add(time.Hour).Format(time.RFC3339)
	token := func(name string) request {
		return request{method: "POST", path: "/api/v1/auth/tokens", token: ann, body: fmt.Sprintf(
			`{"name": %q, "expiresAt": %q, "grants": [{"namespace": "a", "role": "viewer"}]}`, name, expires)}
	}
	for i := range accounts.MaxTokens {
		r.want(201, token(fmt.Sprint("t", i)))
	}
	put := func(path, body string) request {
		return request{method: "PUT", path: path, token: root, body: body, header: []string{`If-Match: "1"`}}
	}
	password := func(current string) request {
		return request{method: "PUT", path: "/api/v1/auth/password", token: ann,
			body: fmt.Sprintf(`{"currentPassword": %q, "newPassword": "a passphrase that is new"}`, current)}
	}
	for range 5 {
		r.want(422, password("guess"))
	}
	for name, test := range map[string]struct {
		q    request
		want int
	}{
		"a token too many": {token("one-more"), 409},
		"a body that is no JSON": {
			request{method: "POST", path: "/api/v1/auth/tokens", token: ann, body: "{"}, 400,
		},
		"a grant of no role": {
			put("/api/v1/users/ann", `{"grants": [{"namespace": "a", "role": "owner"}]}`), 422,
		},
		"a change of nobody":       {put("/api/v1/users/nobody", `{}`), 404},
		"a password that is short": {put("/api/v1/users/ann/password", `{"password": "short"}`), 422},
		"a password of nobody": {
			put("/api/v1/users/nobody/password", `{"password": "a passphrase that is new"}`), 404,
		},
		"a password after five wrong ones":   {password(annPassword), 429},
		"a logout without a session":         {request{method: "POST", path: "/api/v1/auth/logout"}, 401},
		"an unknown parameter of a document": {request{method: "GET", path: "/docs?theme=dark"}, 400},
	} {
		if a := r.do(test.q); a.StatusCode != test.want {
			t.Errorf("%s: status %d, want %d\n%s", name, a.StatusCode, test.want, a.body)
		}
	}
}
