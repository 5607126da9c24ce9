package httpapi_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/metrics"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// TestTheDocumentHasAllRoutes compares the routes and problems of the server with openapi.yaml.
func TestTheDocumentHasAllRoutes(t *testing.T) {
	r := newWorld(t).unstarted()
	var served, documented []string
	for pattern := range r.api.Patterns() {
		served = append(served, pattern)
	}
	for path, methods := range documentation().paths {
		for method := range methods {
			documented = append(documented, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if diff := cmp.Diff(documented, served); diff != "" {
		t.Errorf("routes (-document +server):\n%s", diff)
	}
	if diff := cmp.Diff(documentation().problems, httpapi.Problems()); diff != "" {
		t.Errorf("problems (-document +server):\n%s", diff)
	}
}

// TestCredentialsOfEveryRoute sends every credential to every route.
func TestCredentialsOfEveryRoute(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	root, ann := r.login("root", rootPassword), r.login("ann", annPassword)
	adminToken, _ := r.apiToken(root, "admin", `"admin": true`)
	plainToken, _ := r.apiToken(root, "plain", `"grants": [{"namespace": "*", "role": "editor"}]`)
	annToken, _ := r.apiToken(ann, "greedy", `"admin": true`)
	ended := r.login("ann", annPassword)
	r.want(204, request{method: "POST", path: "/api/v1/auth/logout", token: ended})
	const admins, users, people = "admins", "users", "people"
	may := map[string]string{
		"POST /api/v1/auth/logout": people, "GET /api/v1/auth/me": users, "PUT /api/v1/auth/password": people,
		"GET /api/v1/auth/tokens": users, "POST /api/v1/auth/tokens": people, "DELETE /api/v1/auth/tokens/{id}": people,
		"GET /api/v1/users": admins, "POST /api/v1/users": admins, "GET /api/v1/users/{name}": admins,
		"PUT /api/v1/users/{name}": admins, "DELETE /api/v1/users/{name}": admins,
		"PUT /api/v1/users/{name}/password": admins, "GET /api/v1/users/{name}/tokens": admins,
		"DELETE /api/v1/users/{name}/tokens/{id}": admins, "GET /api/v1/audit": admins,
	}
	for _, pattern := range append(slices.Clone(readingRoutes), "GET /api/v1/events", logRoute) {
		may[pattern] = users
	}
	for pattern := range writingRoutes {
		may[pattern] = users
	}
	credentials := map[string]struct {
		token   string
		may     []string
		refusal int // the status of a refusal
	}{
		"a session of an administrator":                   {root, []string{admins, users, people}, 0},
		"an admin token of an administrator":              {adminToken, []string{admins, users}, 403},
		"another token of an administrator":               {plainToken, []string{users}, 403},
		"a session of a user":                             {ann, []string{users, people}, 403},
		"a token of a user that claims to be of an admin": {annToken, []string{users}, 403},
		"no credential":                                   {"", nil, 401},
		"a wrong token":                                   {ann[:len(ann)-3] + "AAA", nil, 401},
		"a wrong API token":                               {"kontroler_" + strings.Repeat("A", 26), nil, 401},
		"the token of a session that has ended":           {ended, nil, 401},
	}
	for pattern, needsCredential := range r.api.Patterns() {
		if needsCredential != (may[pattern] != "") {
			t.Errorf("the table of this test lacks %s", pattern)
		}
		if !needsCredential || strings.HasSuffix(pattern, "/logout") {
			continue // A logout would end the session of the table.
		}
		for name, c := range credentials {
			t.Run(pattern+" with "+name, func(t *testing.T) {
				method, path, _ := strings.Cut(pattern, " ")
				path = strings.NewReplacer("{name}", "nobody", "{id}", "999").Replace(path)
				got := r.do(request{method: method, path: path, token: c.token}).StatusCode
				isRefused := got == 401 || got == 403
				if slices.Contains(c.may, may[pattern]) == isRefused || isRefused && got != c.refusal {
					t.Errorf("status %d", got)
				}
			})
		}
	}
}

func TestLoginAndLogout(t *testing.T) {
	w := newWorld(t)
	here, there := w.replica(), w.replica()
	token := here.login("ann", annPassword)
	me := there.want(200, request{method: "GET", path: "/api/v1/auth/me", token: token})
	want := map[string]any{
		"expiresAt": "2026-07-02T00:00:00Z",
		"user": map[string]any{"name": "ann", "admin": false, "grants": []any{
			map[string]any{"namespace": "a", "role": "viewer"}, map[string]any{"namespace": "b", "role": "editor"},
		}},
	}
	if diff := cmp.Diff(want, me); diff != "" {
		t.Errorf("me (-want +got):\n%s", diff)
	}
	here.want(204, request{method: "POST", path: "/api/v1/auth/logout", token: token})
	here.want(401, request{method: "GET", path: "/api/v1/auth/me", token: token})
	w.clock.add(auth.MaxStale)
	there.want(401, request{method: "GET", path: "/api/v1/auth/me", token: token})
}

func TestLoginByBasic(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	basic := func(user, password string) string {
		req, err := http.NewRequest("GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(user, password)
		return "Authorization: " + req.Header.Get("Authorization")
	}
	right, inBody := basic("ann", annPassword), fmt.Sprintf(`{"user": "ann", "password": %q}`, annPassword)
	tests := map[string]struct {
		path, body string
		header     string
		want       int
	}{
		"without a body":                                 {header: right, want: 200},
		"with a body":                                    {header: right, body: `{"cookie": true}`, want: 200},
		"with a wrong password":                          {header: basic("ann", "x"), want: 401},
		"with the password twice":                        {header: right, body: `{"password": "x"}`, want: 400},
		"with the user twice":                            {header: right, body: `{"user": "ann"}`, want: 400},
		"with another scheme and no body":                {header: "Authorization: Digest x", want: 400},
		"by the body behind a proxy with Basic":          {header: basic("staff", "x"), body: inBody, want: 200},
		"by the body behind a proxy with another scheme": {header: "Authorization: Digest x", body: inBody, want: 200},
		"by the body behind a proxy with a token":        {header: "Authorization: Bearer x", body: inBody, want: 200},
		"by a wrong body, with the right password in the header": {
			header: right, body: `{"user": "ann", "password": "x"}`, want: 401,
		},
		"with a token of this server": {header: "Authorization: Bearer kontroler_x", body: inBody, want: 400},
		"with an empty password":      {header: basic("ann", ""), want: 400},
		"with nothing":                {body: `{}`, want: 400},
		"not at another route":        {path: "/api/v1/auth/password", header: right, want: 401},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := request{method: "POST", path: "/api/v1/auth/login", body: test.body}
			if test.path != "" {
				q.method, q.path = "PUT", test.path
			}
			if test.header != "" {
				q.header = []string{test.header}
			}
			if got := r.do(q); got.StatusCode != test.want {
				t.Errorf("status %d, want %d: %s", got.StatusCode, test.want, got.body)
			}
		})
	}
}

// behindProxy makes a server trust the forwarding headers of this machine.
func behindProxy(t *testing.T) func(*httpapi.Config) {
	t.Helper()
	proxies, err := auth.ParseProxies("127.0.0.0/8", false)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *httpapi.Config) { c.Proxies = proxies }
}

func TestCookies(t *testing.T) {
	w := newWorld(t)
	login := request{
		method: "POST", path: "/api/v1/auth/login",
		body: fmt.Sprintf(`{"user": "ann", "password": %q, "cookie": true}`, annPassword),
	}
	tests := map[string]struct {
		replica *replica
		header  []string
		want    string // the attributes of the cookie
	}{
		"over TLS": {
			w.replica(), nil,
			"__Host-kontroler-ID; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict",
		},
		"without TLS": {
			w.plain(), nil, "kontroler-ID; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict",
		},
		"forged header": {
			w.plain(), []string{"X-Forwarded-Proto: https"},
			"kontroler-ID; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict",
		},
		"behind a proxy that ends TLS": {
			w.plain(behindProxy(t)), []string{"X-Forwarded-Proto: https"},
			"__Host-kontroler-ID; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := login
			q.header = test.header
			a := test.replica.do(q)
			set := a.Header.Get("Set-Cookie")
			name, rest, _ := strings.Cut(set, "=")
			value, attributes, _ := strings.Cut(rest, ";")
			want := strings.Replace(test.want, "ID", keyOf(t, value), 1)
			if diff := cmp.Diff(want, name+";"+attributes); diff != "" {
				t.Errorf("cookie (-want +got):\n%s", diff)
			}
			if strings.Contains(string(a.body), value) || strings.Contains(string(a.body), `"token"`) {
				t.Errorf("the body has the token: %s", a.body)
			}
			cookie := append(slices.Clone(test.header), "Cookie: "+name+"="+value)
			test.replica.want(200, request{method: "GET", path: "/api/v1/auth/me", header: cookie})
			out := test.replica.do(request{method: "POST", path: "/api/v1/auth/logout", header: cookie})
			if cleared := out.Header.Get("Set-Cookie"); out.StatusCode != 204 ||
				!strings.HasPrefix(cleared, name+"=; ") {
				t.Errorf("logout: %d, cookie %q", out.StatusCode, cleared)
			}
			test.replica.want(401, request{method: "GET", path: "/api/v1/auth/me", header: cookie})
		})
	}
}

// keyOf returns the id of the key that signed the token of a session, which the name of its cookie ends with.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	var header struct {
		ID string `json:"kid"`
	}
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil || header.ID == "" {
		t.Fatalf("the token %q names no key: %v", token, err)
	}
	return header.ID
}

// TestTwoInstallationsOnAHost logs in to two servers with one browser, which shares cookies between ports.
func TestTwoInstallationsOnAHost(t *testing.T) {
	here, other := newWorld(t), newWorld(t)
	if err := os.WriteFile(other.keys, []byte(strings.Repeat("other-key-", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	both := []*replica{here.plain(), other.plain()}
	for _, r := range both {
		r.client.Jar = jar
		r.want(200, request{
			method: "POST", path: "/api/v1/auth/login",
			body: fmt.Sprintf(`{"user": "ann", "password": %q, "cookie": true}`, annPassword),
		})
	}
	for _, r := range both {
		r.want(200, request{method: "GET", path: "/api/v1/auth/me"})
		r.want(204, request{method: "POST", path: "/api/v1/auth/logout"})
		r.want(401, request{method: "GET", path: "/api/v1/auth/me"})
	}
}

// TestBehindAProxyWithCredentials logs in with a browser that sends the credential of a proxy with each request.
func TestBehindAProxyWithCredentials(t *testing.T) {
	r := newWorld(t).replica()
	login := fmt.Sprintf(`{"user": "ann", "password": %q, "cookie": true}`, annPassword)
	for name, foreign := range map[string]string{"Basic": "Basic c3RhZmY6eA==", "an identity": "Bearer a.b.c"} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Authorization: " + foreign}
			a := r.do(request{method: "POST", path: "/api/v1/auth/login", body: login, header: header})
			if a.StatusCode != 200 {
				t.Fatalf("login: %d %s", a.StatusCode, a.body)
			}
			set, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
			header = append(header, "Cookie: "+set)
			r.want(200, request{method: "GET", path: "/api/v1/auth/me", header: header})
			// An API token counts, although it is wrong.
			wrong := []string{"Authorization: Bearer kontroler_x", "Cookie: " + set}
			r.want(401, request{method: "GET", path: "/api/v1/auth/me", header: wrong})
			r.want(204, request{method: "POST", path: "/api/v1/auth/logout", header: header})
			r.want(401, request{method: "GET", path: "/api/v1/auth/me", header: header})
		})
	}
}

func TestOtherOriginsAreRefused(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	token := r.login("ann", annPassword)
	cookie := "Cookie: __Host-kontroler-" + keyOf(t, token) + "=" + token
	login := fmt.Sprintf(`{"user": "ann", "password": %q}`, annPassword)
	tests := map[string]struct {
		q    request
		want int
	}{
		"a login from another site": {
			request{method: "POST", path: "/api/v1/auth/login", body: login,
				header: []string{"Sec-Fetch-Site: cross-site"}}, 403,
		},
		"a login from another origin of an old browser": {
			request{method: "POST", path: "/api/v1/auth/login", body: login,
				header: []string{"Origin: https://evil.example"}}, 403,
		},
		"a login from a sibling of the site": {
			request{method: "POST", path: "/api/v1/auth/login", body: login,
				header: []string{"Sec-Fetch-Site: same-site"}}, 403,
		},
		"a login from the own origin": {
			request{method: "POST", path: "/api/v1/auth/login", body: login,
				header: []string{"Sec-Fetch-Site: same-origin"}}, 200,
		},
		"a logout from another site, with a cookie": {
			request{method: "POST", path: "/api/v1/auth/logout",
				header: []string{cookie, "Sec-Fetch-Site: cross-site"}}, 403,
		},
		"a logout from another site, with a cookie and the Basic of a proxy": {
			request{method: "POST", path: "/api/v1/auth/logout",
				header: []string{cookie, "Authorization: Basic YTpi", "Sec-Fetch-Site: cross-site"}}, 403,
		},
		"a read from another site, whose answer its page cannot see": {
			request{method: "GET", path: "/api/v1/auth/me", token: token,
				header: []string{"Sec-Fetch-Site: cross-site"}}, 200,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := r.do(test.q)
			if a.StatusCode != test.want {
				t.Errorf("status %d, want %d: %s", a.StatusCode, test.want, a.body)
			}
			for header := range a.Header {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("the answer has %s", header)
				}
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	root := r.login("root", rootPassword)
	create := func(body string, header ...string) request {
		return request{method: "POST", path: "/api/v1/users", token: root, body: body, header: header}
	}
	get := func(path string) request { return request{method: "GET", path: path, token: root} }
	tests := map[string]struct {
		q    request
		want int
		slug string
		// pointers are those of the errors.
		pointers []string
	}{
		"no JSON":             {create(`name: bob`), 400, "bad-request", nil},
		"half a body":         {create(`{"name": "bob"`), 400, "bad-request", nil},
		"two values":          {create(`{} {}`), 400, "bad-request", nil},
		"an array":            {create(`[]`), 400, "bad-request", []string{""}},
		"null":                {create(` null `), 400, "bad-request", nil},
		"no UTF-8":            {create("{\"name\": \"\xff\"}"), 400, "bad-request", nil},
		"a deep body":         {create(strings.Repeat(`[`, 1000)), 400, "bad-request", nil},
		"an unknown field":    {create(`{"name": "bob", "role": "x"}`), 400, "bad-request", []string{"/role"}},
		"a field in capitals": {create(`{"Name": "bob"}`), 400, "bad-request", []string{"/Name"}},
		"duplicate and unknown fields further down": {
			create(`{"name": "bob", "name": "eve", ` +
				`"grants": [{"namespace": "a"}, {"a/b~": 1, "role": "x", "role": "y"}]}`), 400,
			"bad-request", []string{"/name", "/grants/1/a~1b~0", "/grants/1/role"},
		},
		"a value of the wrong type": {create(`{"admin": "yes"}`), 400, "bad-request", []string{"/admin"}},
		"values that are not valid": {
			create(`{"name": "Bob", "password": "short", "grants": [{"namespace": "A", "role": "viewer"},
				{"namespace": "a", "role": "owner"}, {"namespace": "a", "role": "viewer"}]}`), 422, "invalid",
			[]string{"/grants/0/namespace", "/grants/1/role", "/grants/2/namespace", "/name", "/password"},
		},
		"a body that is too large": {
			create(`{"name": "` + strings.Repeat("a", 64<<10) + `"}`), 413, "too-large", nil,
		},
		"a wrong content type": {
			create(`{"name": "bob"}`, "Content-Type: application/x-www-form-urlencoded"), 415,
			"unsupported-media-type", nil,
		},
		"no content type": {create(`{"name": "bob"}`, "Content-Type: "), 415, "unsupported-media-type", nil},
		"another charset": {
			create(`{"name": "bob"}`, "Content-Type: application/json; charset=utf-16"), 415,
			"unsupported-media-type", nil,
		},
		"a name that is taken": {
			create(`{"name": "ann", "password": "correct horse battery"}`), 409, "conflict", nil,
		},
		"no such path":               {get("/api/v1/nothing"), 404, "not-found", nil},
		"the root":                   {get("/"), 404, "not-found", nil},
		"a slash at the end":         {get("/api/v1/users/"), 404, "not-found", nil},
		"an empty segment":           {get("/api//v1/users"), 404, "not-found", nil},
		"dots":                       {get("/api/v1/users/../audit"), 404, "not-found", nil},
		"encoded dots":               {get("/api/v1/users/%2e%2e"), 404, "not-found", nil},
		"an encoded slash in a name": {get("/api/v1/users/a%2Fb"), 404, "not-found", nil},
		"NUL in a name":              {get("/api/v1/users/a%00"), 404, "not-found", nil},
		"a user who does not exist":  {get("/api/v1/users/nobody"), 404, "not-found", nil},
		"an unknown parameter":       {get("/api/v1/users?sort=name"), 400, "bad-request", nil},
		"a parameter twice":          {get("/api/v1/users?limit=1&limit=2"), 400, "bad-request", nil},
		"a limit that is too high":   {get("/api/v1/users?limit=201"), 400, "bad-request", nil},
		"a limit that is no number":  {get("/api/v1/users?limit=x"), 400, "bad-request", nil},
		"a cursor of nobody":         {get("/api/v1/users?cursor=!!!"), 400, "bad-request", nil},
		"a cursor of another list":   {get("/api/v1/audit?cursor=eyJrIjoiYW5uIn0"), 400, "bad-request", nil},
		"a cursor with fields of another list": {
			get("/api/v1/audit?cursor=eyJrIjp7Ik5hbWVzcGFjZSI6ImEiLCJOYW1lIjoiYiJ9fQ"), 400, "bad-request", nil,
		},
		"a cursor with NUL":               {get("/api/v1/users?cursor=eyJrIjoiXHUwMDAwIn0"), 400, "bad-request", nil},
		"a cursor that something follows": {get("/api/v1/users?cursor=eyJrIjoiYW5uIn17fQ"), 400, "bad-request", nil},
		"a time that no row can have":     {get("/api/v1/audit?from=0000-01-01T00:00:00Z"), 400, "bad-request", nil},
		"a query that is not valid":       {get("/api/v1/users?limit=%zz"), 400, "bad-request", nil},
		"a time that is no time":          {get("/api/v1/audit?from=yesterday"), 400, "bad-request", nil},
		"NUL in a filter":                 {get("/api/v1/audit?user=%00"), 400, "bad-request", nil},
		"an If-Match is missing": {
			request{method: "PUT", path: "/api/v1/users/ann", token: root, body: `{}`}, 428,
			"precondition-required", nil,
		},
		"an If-Match that is no generation": {
			request{method: "PUT", path: "/api/v1/users/ann", token: root, body: `{}`,
				header: []string{"If-Match: *"}}, 400, "bad-request", nil,
		},
		"an If-Match of another generation": {
			request{method: "PUT", path: "/api/v1/users/ann", token: root, body: `{}`,
				header: []string{`If-Match: "7"`}}, 412, "precondition-failed", nil,
		},
		"a token that expires too late": {
			request{method: "POST", path: "/api/v1/auth/tokens", token: root,
				body: `{"name": "", "expiresAt": "2028-01-01T00:00:00Z"}`}, 422, "invalid",
			[]string{"/name", "/grants", "/expiresAt"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := r.do(test.q)
			var problem struct {
				Type   string
				Errors []struct{ Pointer string }
			}
			if err := json.Unmarshal(a.body, &problem); err != nil {
				t.Fatal(err)
			}
			var pointers []string
			for _, e := range problem.Errors {
				pointers = append(pointers, e.Pointer)
			}
			if a.StatusCode != test.want || problem.Type != "urn:kontroler:problem:"+test.slug {
				t.Errorf("status %d, want %d %s: %s", a.StatusCode, test.want, test.slug, a.body)
			}
			if diff := cmp.Diff(test.pointers, pointers); diff != "" {
				t.Errorf("errors (-want +got):\n%s\n%s", diff, a.body)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	r := newWorld(t).replica()
	tests := map[string]struct {
		method, path string
		allow        string
	}{
		"a method that a path lacks": {"DELETE", "/api/v1/users", "GET, HEAD, POST"},
		"a preflight request":        {"OPTIONS", "/api/v1/auth/login", "POST"},
		"a method that nobody knows": {"BREW", "/api/v1/audit", "GET, HEAD"},
		"TRACE":                      {"TRACE", "/api/v1/auth/me", "GET, HEAD"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := r.do(request{method: test.method, path: test.path})
			if a.StatusCode != 405 || a.Header.Get("Allow") != test.allow {
				t.Errorf("status %d, Allow %q", a.StatusCode, a.Header.Get("Allow"))
			}
		})
	}
	if a := r.do(request{method: "HEAD", path: "/openapi.yaml"}); a.StatusCode != 200 || len(a.body) != 0 {
		t.Errorf("HEAD: status %d, %d bytes", a.StatusCode, len(a.body))
	}
}

func TestTheLifeOfAUser(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	root := r.login("root", rootPassword)
	q := func(method, path, body string, header ...string) request {
		return request{method: method, path: path, body: body, token: root, header: header}
	}
	const first, second, third = "bob's first passphrase", "bob's second passphrase", "bob's third passphrase"
	created := r.do(q("POST", "/api/v1/users", fmt.Sprintf(
		`{"name": "bob", "password": %q, "grants": [{"namespace": "a", "role": "editor"}]}`, first)))
	if created.StatusCode != 201 || created.Header.Get("Location") != "/api/v1/users/bob" ||
		created.Header.Get("ETag") != `"1"` {
		t.Fatalf("status %d, header %v: %s", created.StatusCode, created.Header, created.body)
	}
	bob := r.login("bob", first)
	secret, id := r.apiToken(bob, "ci", `"grants": [{"namespace": "*", "role": "operator"}]`)
	me := r.want(200, request{method: "GET", path: "/api/v1/auth/me", token: secret})
	wantMe := map[string]any{
		"name": "bob", "admin": false, "grants": []any{map[string]any{"namespace": "a", "role": "operator"}},
	}
	if diff := cmp.Diff(wantMe, me["user"]); diff != "" || fmt.Sprint(me["tokenId"]) != id {
		t.Errorf("token %v, user (-want +got):\n%s", me["tokenId"], diff)
	}
	other, _ := r.apiToken(root, "ci", `"admin": true`)
	own := r.want(200, request{method: "GET", path: "/api/v1/auth/tokens", token: bob})
	if items := own["items"].([]any); len(items) != 1 || strings.Contains(fmt.Sprint(items), secret) {
		t.Errorf("tokens %v", items)
	}
	r.want(404, request{method: "DELETE", path: "/api/v1/auth/tokens/" + fmt.Sprint(r.want(200,
		request{method: "GET", path: "/api/v1/auth/me", token: other})["tokenId"]), token: bob}) // that of root
	password := func(token, current, next string) request {
		return request{method: "PUT", path: "/api/v1/auth/password", token: token,
			body: fmt.Sprintf(`{"currentPassword": %q, "newPassword": %q}`, current, next)}
	}
	r.want(422, password(bob, "wrong passphrase", second))
	r.want(422, password(bob, first, "short"))
	r.want(204, password(bob, first, second))
	r.want(200, request{method: "GET", path: "/api/v1/auth/me", token: bob})
	r.want(204, q("PUT", "/api/v1/users/bob/password", fmt.Sprintf(`{"password": %q}`, third)))
	r.want(401, request{method: "GET", path: "/api/v1/auth/me", token: bob})
	r.want(200, request{method: "GET", path: "/api/v1/auth/me", token: secret}) // tokens stay
	bob = r.login("bob", third)
	updated := r.want(200, q("PUT", "/api/v1/users/bob", `{"admin": true, "grants": []}`, `If-Match: "1"`))
	if updated["admin"] != true || updated["generation"] != 2.0 {
		t.Errorf("updated %v", updated)
	}
	r.want(200, request{method: "GET", path: "/api/v1/users/root", token: bob})
	r.want(200, q("PUT", "/api/v1/users/bob", `{"disabled": true, "admin": true}`, `If-Match: 2`))
	r.want(401, request{method: "GET", path: "/api/v1/auth/me", token: bob})
	r.want(401, request{method: "GET", path: "/api/v1/auth/me", token: secret})
	r.want(401, request{
		method: "POST", path: "/api/v1/auth/login", body: fmt.Sprintf(`{"user": "bob", "password": %q}`, third),
	})
	r.want(409, q("DELETE", "/api/v1/users/root", "")) // the last enabled administrator
	r.want(409, q("PUT", "/api/v1/users/root", `{}`, `If-Match: "1"`))
	tokens := r.want(200, q("GET", "/api/v1/users/bob/tokens", ""))
	if items := tokens["items"].([]any); len(items) != 1 {
		t.Errorf("tokens %v", items)
	}
	r.want(204, q("DELETE", "/api/v1/users/bob/tokens/"+id, ""))
	r.want(404, q("DELETE", "/api/v1/users/bob/tokens/"+id, ""))
	r.want(204, q("DELETE", "/api/v1/users/bob", ""))
	r.want(404, q("GET", "/api/v1/users/bob", ""))
	r.checkAudit(root)
}

// checkAudit checks what the audit says of the life of bob.
func (r *replica) checkAudit(root string) {
	r.Helper()
	list := r.want(200, request{method: "GET", path: "/api/v1/audit?object=users/bob&limit=200", token: root})
	var got []string
	for _, item := range list["items"].([]any) {
		e := item.(map[string]any)
		if e["requestId"] == "" || e["address"] != "127.0.0.1" || e["endedAt"] == nil {
			r.Errorf("incomplete entry %v", e)
		}
		got = append(got, fmt.Sprintf("%s: %s %s", e["user"], e["action"], e["outcome"]))
	}
	slices.Reverse(got)
	want := []string{
		"root: user.create succeeded", "bob: auth.login succeeded", "bob: auth.password invalid",
		"bob: auth.password succeeded", "root: user.password succeeded", "bob: auth.login succeeded",
		"root: user.update succeeded", "root: user.update succeeded", "bob: auth.login unauthenticated",
		"root: user.delete succeeded",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("audit (-want +got):\n%s", diff)
	}
	byBob := r.want(200, request{method: "GET", path: "/api/v1/audit?user=bob", token: root})
	if items := byBob["items"].([]any); len(items) != 6 { // with the token
		r.Errorf("entries of the deleted user: %v", items)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	root := r.login("root", rootPassword)
	for i := range 5 {
		if err := w.db.Users.Create(
			t.Context(), fmt.Sprint("u", i), accounts.Access{}, "h", w.clock.now()); err != nil {
			t.Fatal(err)
		}
	}
	get := func(path, cursor string) (names []string, next, previous string) {
		t.Helper()
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		list := r.want(200, request{method: "GET", path: path, token: root})
		for _, item := range list["items"].([]any) {
			names = append(names, fmt.Sprint(item.(map[string]any)["name"]))
		}
		next, _ = list["next"].(string)
		previous, _ = list["previous"].(string)
		return names, next, previous
	}
	var forwards, backwards [][]string
	cursor := ""
	for range 9 {
		names, next, previous := get("/api/v1/users?limit=3", cursor)
		if (previous == "") != (len(forwards) == 0) {
			t.Errorf("previous of page %d: %q", len(forwards), previous)
		}
		forwards = append(forwards, names)
		if cursor = next; next == "" {
			cursor = previous
			break
		}
	}
	for range 9 {
		names, next, previous := get("/api/v1/users?limit=3", cursor)
		if next == "" {
			t.Error("a page before another has no next")
		}
		backwards = append(backwards, names)
		if cursor = previous; previous == "" {
			break
		}
	}
	want := [][]string{{"ann", "root", "u0"}, {"u1", "u2", "u3"}, {"u4"}}
	if diff := cmp.Diff(want, forwards); diff != "" {
		t.Errorf("forwards (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{want[1], want[0]}, backwards); diff != "" {
		t.Errorf("backwards (-want +got):\n%s", diff)
	}
	if names, next, previous := get("/api/v1/users?limit=7", ""); len(names) != 7 || next != "" || previous != "" {
		t.Errorf("one page: %v, %q, %q", names, next, previous)
	}
	var ids []string
	for cursor := ""; ; {
		list := r.want(200, request{method: "GET", path: "/api/v1/audit?limit=1" + cursor, token: root})
		for _, item := range list["items"].([]any) {
			ids = append(ids, fmt.Sprint(item.(map[string]any)["id"]))
		}
		next, _ := list["next"].(string)
		if next == "" {
			break
		}
		cursor = "&cursor=" + next
	}
	if len(ids) != 1 { // the login of root
		t.Errorf("audit %v", ids)
	}
}

func TestBruteForce(t *testing.T) {
	w := newWorld(t)
	r := w.replica(behindProxy(t))
	try := func(from, password string) answer {
		return r.do(request{
			method: "POST", path: "/api/v1/auth/login", body: fmt.Sprintf(`{"user": "ann", "password": %q}`, password),
			header: []string{"X-Forwarded-For: " + from},
		})
	}
	for range 5 {
		if a := try("203.0.113.66", "guess"); a.StatusCode != 401 {
			t.Fatalf("status %d", a.StatusCode)
		}
	}
	if a := try("203.0.113.66", annPassword); a.StatusCode != 429 || a.Header.Get("Retry-After") != "1" {
		t.Errorf("status %d, Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if a := try("198.51.100.1", annPassword); a.StatusCode != 200 {
		t.Errorf("from elsewhere: status %d", a.StatusCode)
	}
	w.clock.add(time.Second)
	if a := try("203.0.113.66", annPassword); a.StatusCode != 200 {
		t.Errorf("after the delay: status %d", a.StatusCode)
	}
}

// TestBruteForceWithForgedAddresses reaches the server through a proxy that forwards forged addresses.
func TestBruteForceWithForgedAddresses(t *testing.T) {
	w := newWorld(t)
	r := w.replica(behindProxy(t))
	address := netip.MustParseAddr("198.51.100.1")
	try := func() int {
		address = address.Next()
		return r.do(request{
			method: "POST", path: "/api/v1/auth/login",
			body:   fmt.Sprintf(`{"user": "ann", "password": %q}`, annPassword),
			header: []string{"X-Forwarded-For: " + address.String()},
		}).StatusCode
	}
	if got := try(); got != 200 {
		t.Fatalf("status %d", got)
	}
	own := address
	for range 100 {
		address = address.Next()
		from := auth.Origin{Address: address, Via: netip.MustParseAddr("127.0.0.1")}
		if wait := r.api.Delays().Begin("ann", from, w.clock.now()); wait > 0 {
			t.Fatalf("a login waits %s", wait)
		}
	}
	if got := try(); got != 429 {
		t.Errorf("from another address: status %d", got)
	}
	address = own.Prev()
	if got := try(); got != 200 {
		t.Errorf("from the user's own address: status %d", got)
	}
}

// TestIgnoredHeadersAreLogged sends forwarding headers from a proxy that is not trusted.
func TestIgnoredHeadersAreLogged(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	send := func() int {
		r.do(request{method: "GET", path: "/docs", header: []string{"X-Forwarded-For: 192.0.2.77"}})
		return strings.Count(w.log.String(), "--trusted-proxies")
	}
	if first, second := send(), send(); first != 1 || second != 1 {
		t.Errorf("%d and %d lines", first, second)
	}
	w.clock.add(time.Minute)
	if third := send(); third != 2 {
		t.Errorf("after a minute: %d lines", third)
	}
	logged := w.log.String()
	if !strings.Contains(logged, `"peer":"127.0.0.1"`) || strings.Contains(logged, "192.0.2.77") {
		t.Errorf("log:\n%s", logged)
	}
}

// TestLoginsThatFindNoPlace sends more concurrent logins than the server accepts. The audit has only those whose
// password was checked.
func TestLoginsThatFindNoPlace(t *testing.T) {
	r := newWorld(t).replica()
	begin, statuses := make(chan struct{}), make(chan int)
	const callers = 60
	for i := range callers {
		go func() {
			<-begin
			statuses <- r.do(request{
				method: "POST", path: "/api/v1/auth/login",
				body: fmt.Sprintf(`{"user": "nobody-%d", "password": "guess"}`, i),
			}).StatusCode
		}()
	}
	close(begin)
	counts := map[int]int{}
	for range callers {
		counts[<-statuses]++
	}
	if counts[401]+counts[503] != callers || counts[503] == 0 {
		t.Fatalf("statuses %v", counts)
	}
	root := r.login("root", rootPassword)
	list := r.want(200, request{method: "GET", path: "/api/v1/audit?limit=200&user=(unknown)", token: root})
	// Those of unknown users are kept at the rate of one user's.
	if rows := len(list["items"].([]any)); rows != min(counts[401], 5) {
		t.Errorf("the audit has %d logins of unknown users, %d passwords were checked", rows, counts[401])
	}
}

// TestAuditOfFailedPasswords checks that wrong passwords cannot fill the audit.
func TestAuditOfFailedPasswords(t *testing.T) {
	r := newWorld(t).replica()
	for i := range 12 {
		r.want(401, request{
			method: "POST", path: "/api/v1/auth/login",
			body: fmt.Sprintf(`{"user": "nobody-%d", "password": "guess"}`, i),
		})
	}
	ann := r.login("ann", annPassword)
	for i := range 12 {
		status := 422
		if i >= 5 {
			status = 429
		}
		r.want(status, request{
			method: "PUT", path: "/api/v1/auth/password", token: ann,
			body: `{"currentPassword": "wrong", "newPassword": "trombone zebra lantern"}`,
		})
	}
	root := r.login("root", rootPassword)
	for query, want := range map[string]int{"user=(unknown)": 5, "user=ann": 6} { // The sixth row is the login of ann.
		list := r.want(200, request{method: "GET", path: "/api/v1/audit?limit=200&" + query, token: root})
		if rows := len(list["items"].([]any)); rows != want {
			t.Errorf("%s: the audit has %d rows, want %d", query, rows, want)
		}
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	r := w.replica()
	session := r.login("ann", annPassword)
	secret, id := r.apiToken(session, "ci", `"grants": [{"namespace": "a", "role": "viewer"}]`)
	const typed, wrong, next = "passphrase-typed-as-a-name", "wrong-passphrase", "next-passphrase"
	basic := "Authorization: Basic " + "YW5uOndyb25nLXBhc3NwaHJhc2U=" // ann:wrong-passphrase
	r.do(request{method: "POST", path: "/api/v1/auth/login", header: []string{basic}})
	r.do(request{
		method: "POST", path: "/api/v1/auth/login", body: `{"user": "` + typed + `", "password": "` + wrong + `"}`,
	})
	r.do(request{
		method: "POST", path: "/api/v1/auth/login", body: `{"user": "ann", "password": "` + wrong + `", "x": 1}`,
	})
	r.do(request{method: "GET", path: "/api/v1/auth/me?token=" + secret, token: secret})
	r.do(request{method: "GET", path: "/api/v1/auth/me", header: []string{
		"Cookie: __Host-kontroler-" + keyOf(t, session) + "=" + session,
	}})
	r.do(request{method: "PUT", path: "/api/v1/auth/password", token: session,
		body: fmt.Sprintf(`{"currentPassword": %q, "newPassword": %q}`, annPassword, next)})
	r.do(request{method: "DELETE", path: "/api/v1/auth/tokens/" + id, token: session})
	root := r.login("root", rootPassword)
	audit := string(r.do(request{method: "GET", path: "/api/v1/audit?limit=200", token: root}).body)
	logged := w.log.String()
	if strings.Count(logged, `"msg":"request"`) < 10 {
		t.Fatalf("the log lacks requests:\n%s", logged)
	}
	secrets := []string{annPassword, rootPassword, typed, wrong, next, secret, session, root, "argon2id", "secret-key"}
	for _, token := range []string{session, root} {
		secrets = append(secrets, strings.Split(token, ".")[2]) // the signature
	}
	for _, s := range secrets {
		if strings.Contains(logged, s) {
			t.Errorf("the log has %q", s)
		}
		if strings.Contains(audit, s) {
			t.Errorf("the audit has %q", s)
		}
	}
}

func TestDatabaseAway(t *testing.T) {
	server := storetest.NewServer(t)
	w := &world{T: t, url: server.URL(), clock: &clock{at: time.Now()}, log: &lockedBuffer{}}
	proper := newWorld(t)
	w.keys = proper.keys
	w.db = w.open()
	isPrepared := false
	r := w.replica(func(c *httpapi.Config) { c.IsPrepared = func() bool { return isPrepared } })
	login := request{
		method: "POST", path: "/api/v1/auth/login", body: fmt.Sprintf(`{"user": "ann", "password": %q}`, annPassword),
	}
	r.want(503, login) // before the schema is there
	if a := r.do(request{method: "GET", path: "/openapi.yaml"}); a.StatusCode != 200 {
		t.Errorf("the document needs the database: %d", a.StatusCode)
	}
	if err := w.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.user("ann", annPassword, accounts.Access{})
	isPrepared = true
	token := r.login("ann", annPassword)
	me := request{method: "GET", path: "/api/v1/auth/me", token: token}
	r.want(200, me)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	r.want(503, login)
	r.want(200, me) // what was read is less than two seconds old
	w.clock.add(auth.MaxStale)
	r.want(503, me)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // The connections of the pool that died are replaced one by one.
		if r.do(me).StatusCode == 200 {
			break
		}
	}
	r.want(200, me)
	r.login("ann", annPassword)
}

func TestSlowAndHalfClosedClients(t *testing.T) {
	r := newWorld(t).plain()
	tests := map[string]struct {
		send string
		want string // the first line of the answer
	}{
		"a body that ends early": {
			"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
				"Content-Length: 100\r\n\r\n{",
			"HTTP/1.1 400 Bad Request",
		},
		"a chunked body that is too large": {
			"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
				"Transfer-Encoding: chunked\r\n\r\n" +
				"20000\r\n" + strings.Repeat(" ", 0x20000) + "\r\n0\r\n\r\n",
			"HTTP/1.1 413 Request Entity Too Large",
		},
		"a request without a host": {"GET /api/v1/auth/me HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"a proxy request":          {"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "HTTP/1.1 404 Not Found"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			conn := r.dial()
			if _, err := io.WriteString(conn, test.send); err != nil {
				t.Fatal(err)
			}
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				if err := half.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if !strings.HasPrefix(line, test.want) {
				t.Errorf("answer %q, %v; want %q", line, err, test.want)
			}
		})
	}
}

func TestEveryAnswerHasTheHeadersOfSecurity(t *testing.T) {
	r := newWorld(t).replica()
	for _, path := range []string{"/openapi.yaml", "/api/v1/auth/me", "/nothing"} {
		a := r.do(request{method: "GET", path: path})
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s of %s is %q", name, path, got)
			}
		}
	}
}

// TestAbortedAnswer checks that a request with an aborted response is counted and logged, and that its connection is
// closed.
func TestAbortedAnswer(t *testing.T) {
	counters := metrics.New()
	w := newWorld(t)
	r := w.replica(func(c *httpapi.Config) { c.Metrics = counters })
	func() {
		defer func() {
			if cause := recover(); cause != http.ErrAbortHandler {
				t.Errorf("the connection is closed by %v, want ErrAbortHandler", cause)
			}
		}()
		r.api.Abort(httptest.NewRequest("GET", "/a/log", nil))
	}()
	if want := `kontroler_http_requests_total{method="GET",route="/aborted",status="200"} 1`; !strings.Contains(
		scrape(t, counters.Handler()), want) {
		t.Errorf("no %s", want)
	}
	if log := w.log.String(); !strings.Contains(log, `"path":"/a/log"`) || strings.Contains(log, "panicked") {
		t.Errorf("the request is not logged as others are:\n%s", log)
	}
}

func TestMetrics(t *testing.T) {
	counters := metrics.New()
	w := newWorld(t)
	r := w.replica(func(c *httpapi.Config) { c.Metrics = counters })
	token := r.login("ann", annPassword)
	r.do(request{method: "POST", path: "/api/v1/auth/login", body: `{"user": "ann", "password": "x"}`})
	r.want(403, request{method: "GET", path: "/api/v1/users/some-name", token: token})
	r.do(request{method: "BREW", path: "/some-path"})
	counters.DatabaseUp("accounts", true)
	got := scrape(t, counters.Handler())
	for _, want := range []string{
		`kontroler_http_requests_total{method="GET",route="/api/v1/users/{name}",status="403"} 1`,
		`kontroler_http_requests_total{method="any",route="none",status="404"} 1`,
		`kontroler_http_request_duration_seconds_count{method="POST",route="/api/v1/auth/login"} 2`,
		`kontroler_logins_total{result="succeeded"} 1`, `kontroler_logins_total{result="wrong"} 1`,
		`kontroler_server_database_up{database="accounts"} 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "some-") || strings.Contains(got, "BREW") {
		t.Errorf("a label has what a client sent:\n%s", got)
	}
}
