package nginx_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/apis/tlstest"
	"kontroler/e2e/site"
	"kontroler/store/storetest"
)

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const loginBody = `{"user": "admin", "password": "` + site.Password + `", "cookie": true}`

// before starts a server and a site before it, over plain HTTP. The server trusts nginx.
func before(t *testing.T, variables ...string) *site.Site {
	t.Helper()
	address := site.NewAddress()
	site.StartServer(t, storetest.URL(t), address, "--trusted-proxies=127.0.0.0/8")
	return site.Start(t, "",
		append([]string{"KONTROLER_SERVER_URL=http://" + address + ":8443"}, variables...)...).Ready()
}

// Each file of the bundle has the policy. The files whose names have a hash are kept for a year, the others not at all.
func TestBundle(t *testing.T) {
	t.Parallel()
	s := site.Start(t, "", "KONTROLER_SERVER_URL=http://127.0.0.1:1").Ready()
	index := do(t, s, "GET", "/", "")
	if index.StatusCode != http.StatusOK || !strings.Contains(index.body, "<html") {
		t.Fatalf("/ is %d: %s", index.StatusCode, index.body)
	}
	assets, err := filepath.Glob(filepath.Join(site.Bundle(t), "assets/*.js.gz"))
	if err != nil || len(assets) == 0 {
		t.Fatalf("the bundle has no compressed script: %v", err)
	}
	script := "/assets/" + strings.TrimSuffix(filepath.Base(assets[0]), ".gz")
	for path, want := range map[string]string{
		"/": "no-store", "/index.html": "no-store", "/config.json": "no-store",
		script: "public, max-age=31536000, immutable",
	} {
		a := do(t, s, "GET", path, "", "Accept-Encoding: gzip")
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != want {
			t.Errorf("%s is %d, Cache-Control %q, want %q", path, a.StatusCode, a.Header.Get("Cache-Control"), want)
		}
		if a.Header.Get("Content-Security-Policy") != policy || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s has the header %v", path, a.Header)
		}
	}
	if a := do(t, s, "GET", script, "", "Accept-Encoding: gzip"); a.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s is not compressed: %v", script, a.Header)
	}
	for _, refused := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/index.html", http.StatusMethodNotAllowed},
		{"GET", "/assets/", http.StatusForbidden},
		{"GET", "/nothing", http.StatusNotFound},
		{"GET", "//etc/passwd", http.StatusNotFound},
		{"GET", "/assets/..%2f..%2f..%2f..%2f..%2fetc/passwd", http.StatusBadRequest},
	} {
		if a := do(t, s, refused.method, refused.path, ""); a.StatusCode != refused.want {
			t.Errorf("%s %s is %d, want %d", refused.method, refused.path, a.StatusCode, refused.want)
		}
	}
}

// Paths reach the server as they were sent. Its answers keep their headers.
func TestPaths(t *testing.T) {
	t.Parallel()
	s := before(t)
	for path, want := range map[string]int{
		"/openapi.yaml":                     http.StatusOK,
		"/api/v1/runs":                      http.StatusUnauthorized,
		"/api/v1/namespaces/a%2fb/runs":     http.StatusUnauthorized, // the segment a/b
		"/api/v1/namespaces/a/b/runs":       http.StatusNotFound,
		"/api/v1//runs":                     http.StatusNotFound,
		"/api/v1/namespaces/../runs":        http.StatusNotFound,
		"/api/v1/namespaces/%2e%2e/runs":    http.StatusUnauthorized, // the segment ..
		"/api/v1/runs/":                     http.StatusNotFound,
		"/api/v1/runs?limit=1&cursor=%2fab": http.StatusUnauthorized,
	} {
		a := do(t, s, "GET", path, "")
		if a.StatusCode != want || a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s is %d, want %d of the server: %v", path, a.StatusCode, want, a.Header)
		}
		if n := len(a.Header.Values("Content-Security-Policy")); n != 1 {
			t.Errorf("%s has %d policies", path, n)
		}
	}
}

// A browser can log in over plain HTTP, where the server compares Origin with Host. Another origin cannot.
func TestOrigin(t *testing.T) {
	t.Parallel()
	s := before(t)
	for origin, want := range map[string]int{
		"http://" + s.Address + ":8080": http.StatusOK,
		"http://" + s.Address:           http.StatusForbidden,
		"http://evil.example":           http.StatusForbidden,
	} {
		a := do(t, s, "POST", "/api/v1/auth/login", loginBody, "Content-Type: application/json", "Origin: "+origin)
		if a.StatusCode != want {
			t.Errorf("a login from %s is %d, want %d: %s", origin, a.StatusCode, want, a.body)
		}
	}
}

// Forwarding headers of a client are dropped. Those of a trusted proxy count.
func TestForwarding(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		variables []string
		forwarded string
		want      string
		isSecure  bool
	}{
		"nginx trusts nobody": {forwarded: "203.0.113.7", want: "127.0.0.1"},
		"nginx trusts a proxy": {
			variables: []string{"KONTROLER_TRUSTED_PROXIES=127.0.0.0/8, fd00::/8"},
			forwarded: "198.51.100.1, 203.0.113.7", want: "203.0.113.7", isSecure: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := before(t, test.variables...)
			a := do(t, s, "POST", "/api/v1/auth/login", loginBody, "Content-Type: application/json",
				"X-Forwarded-For: "+test.forwarded, "X-Forwarded-Proto: https", "Forwarded: for=192.0.2.1;proto=https")
			if a.StatusCode != http.StatusOK || len(a.Cookies()) != 1 {
				t.Fatalf("the login is %d: %s", a.StatusCode, a.body)
			}
			cookie := a.Cookies()[0]
			if cookie.Secure != test.isSecure {
				t.Errorf("the cookie is %s", cookie)
			}
			audit := do(t, s, "GET", "/api/v1/audit", "",
				"Cookie: "+cookie.Name+"="+cookie.Value, "X-Forwarded-Proto: https")
			var list struct{ Items []struct{ Address string } }
			if err := json.Unmarshal([]byte(audit.body), &list); err != nil || len(list.Items) == 0 {
				t.Fatalf("the audit is %s: %v", audit.body, err)
			}
			if got := list.Items[0].Address; got != test.want {
				t.Errorf("the address in the audit is %s, want %s", got, test.want)
			}
		})
	}
}

// A body of 2 MiB reaches the server. A larger one is refused with a problem.
func TestBodies(t *testing.T) {
	t.Parallel()
	s := before(t)
	within := do(t, s, "POST", "/api/v1/auth/login", strings.Repeat(" ", 2<<20), "Content-Type: application/json")
	if within.StatusCode == http.StatusRequestEntityTooLarge && within.Header.Get("X-Request-Id") == "" {
		t.Errorf("nginx refuses 2 MiB: %s", within.body)
	}
	above := do(t, s, "POST", "/api/v1/auth/login", strings.Repeat(" ", 3<<20), "Content-Type: application/json")
	isRefused := above.StatusCode == http.StatusRequestEntityTooLarge
	if !isRefused || !strings.Contains(above.body, "urn:kontroler:problem:too-large") {
		t.Errorf("3 MiB is %d: %s", above.StatusCode, above.body)
	}
}

// While the server is away, the API answers 503 with a problem, and the bundle is served. nginx finds the server again,
// also under another address.
func TestServerAway(t *testing.T) {
	t.Parallel()
	database, first, second := storetest.URL(t), site.NewAddress(), site.NewAddress()
	s := site.Start(t, "", "KONTROLER_SERVER_URL=http://server.example:8443").Ready()
	away := func() {
		t.Helper()
		a := do(t, s, "GET", "/api/v1/runs", "")
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" ||
			a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("the API is %d %v: %s", a.StatusCode, a.Header, a.body)
		}
		if a := do(t, s, "GET", "/", ""); a.StatusCode != http.StatusOK {
			t.Errorf("the bundle is %d", a.StatusCode)
		}
	}
	back := func() {
		t.Helper()
		site.Until(t, "the API answers", func() bool {
			return do(t, s, "GET", "/api/v1/runs", "").StatusCode == http.StatusUnauthorized
		})
	}
	name := func(address string) {
		t.Helper()
		if err := os.WriteFile(s.Hosts, []byte(address+" server.example\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	away()
	p := site.StartServer(t, database, first)
	name(first)
	back()
	p.Stop()
	away()
	site.StartServer(t, database, second)
	name(second)
	back()
}

// Both connections have TLS with client certificates, each with authorities of its own.
func TestMTLS(t *testing.T) {
	t.Parallel()
	browsers, inside := tlstest.New(t), tlstest.New(t)
	files, address := t.TempDir(), site.NewAddress()
	put := func(name string, content []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(files, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(files, name)
	}
	issue := func(name string, by tlstest.Authority, host string) (cert, key string) {
		t.Helper()
		certPEM, keyPEM := by.Issue(t, name, host)
		return put(name+".crt", certPEM), put(name+".key", keyPEM)
	}
	serverCert, serverKey := issue("server", inside, "server.example")
	issue("proxy", inside, "proxy.example")
	issue("site", browsers, "ui.example")
	insideCA := put("inside.crt", inside.PEM)
	put("browsers.crt", browsers.PEM)
	site.StartServer(t, storetest.URL(t), address, "--tls-cert="+serverCert, "--tls-key="+serverKey,
		"--client-ca="+insideCA, "--trusted-proxies=proxy.example")
	start := func(serverName string) *site.Site {
		t.Helper()
		return site.Start(t, files, "KONTROLER_SERVER_URL=https://"+address+":8443",
			"KONTROLER_SERVER_CA=/tmp/files/inside.crt", "KONTROLER_SERVER_NAME="+serverName,
			"KONTROLER_PROXY_CERT=/tmp/files/proxy.crt",
			"KONTROLER_PROXY_KEY=/tmp/files/proxy.key", "KONTROLER_TLS_CERT=/tmp/files/site.crt",
			"KONTROLER_TLS_KEY=/tmp/files/site.key", "KONTROLER_CLIENT_CA=/tmp/files/browsers.crt").Ready()
	}
	get := func(s *site.Site, config *tls.Config, path string) (int, error) {
		t.Helper()
		config.ServerName = "ui.example"
		a, err := send(t, config, newRequest(t, "GET", "https://"+s.Address+":8080"+path, ""))
		if err != nil {
			return 0, err
		}
		return a.StatusCode, nil
	}
	s := start("server.example")
	if status, err := get(s, browsers.Client(t, &browsers), "/api/v1/runs"); status != http.StatusUnauthorized {
		t.Errorf("the API with a certificate is %d, %v", status, err)
	}
	for name, config := range map[string]*tls.Config{
		"no": browsers.Client(t, nil), "a wrong": browsers.Client(t, &inside),
	} {
		for _, path := range []string{"/", "/api/v1/runs", "/openapi.yaml"} {
			if status, err := get(s, config, path); err == nil && status != http.StatusBadRequest {
				t.Errorf("%s with %s certificate is %d", path, name, status)
			}
		}
	}
	wrong := start("other.example")
	if status, err := get(wrong, browsers.Client(t, &browsers),
		"/api/v1/runs"); status != http.StatusServiceUnavailable {
		t.Errorf("the API of a server with another name is %d, %v", status, err)
	}
}

// A certificate that has changed is used soon. A request that is under way goes on. A faulty one changes nothing.
func TestCertificateChanges(t *testing.T) {
	t.Parallel()
	first, second := tlstest.New(t), tlstest.New(t)
	files := t.TempDir()
	put := func(cert, key []byte) {
		t.Helper()
		for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
			if err := os.WriteFile(filepath.Join(files, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(first.Issue(t, "site"))
	address := site.NewAddress()
	site.StartServer(t, storetest.URL(t), address)
	s := site.Start(t, files, "KONTROLER_SERVER_URL=http://"+address+":8443", "KONTROLER_TLS_CERT=/tmp/files/tls.crt",
		"KONTROLER_TLS_KEY=/tmp/files/tls.key").Ready()
	trusting := func(by tlstest.Authority) *tls.Config {
		config := by.Client(t, nil)
		config.ServerName = "127.0.0.1"
		return config
	}
	accepts := func(by tlstest.Authority) bool {
		_, err := send(t, trusting(by), newRequest(t, "GET", "https://"+s.Address+":8080/", ""))
		return err == nil
	}
	if !accepts(first) || accepts(second) {
		t.Fatal("the first certificate is not served")
	}
	underWay, err := tls.Dial("tcp", s.Address+":8080", trusting(first))
	if err != nil {
		t.Fatal(err)
	}
	defer underWay.Close()
	_, err = fmt.Fprintf(underWay, "POST /api/v1/auth/login HTTP/1.1\r\nHost: ui\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", len(loginBody), loginBody[:10])
	if err != nil {
		t.Fatal(err)
	}
	put([]byte("no certificate"), []byte("no key"))
	site.Until(t, "the log says that the files are faulty", func() bool {
		return strings.Contains(s.Output(), "nginx refuses the files that have changed")
	})
	if !accepts(first) {
		t.Error("a faulty certificate has replaced a good one")
	}
	put(second.Issue(t, "site"))
	site.Until(t, "the second certificate is served", func() bool { return accepts(second) })
	if _, err := fmt.Fprint(underWay, loginBody[10:]); err != nil {
		t.Fatal(err)
	}
	if status, err := bufio.NewReader(underWay).ReadString('\n'); err != nil || !strings.Contains(status, "200") {
		t.Errorf("the request that was under way is answered %q, %v", status, err)
	}
}

// The entry point reports all faults of the environment, and exits.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	s := site.Start(t, "", "KONTROLER_SERVER_URL=server;8443", "KONTROLER_SERVER_NAME=a b",
		"KONTROLER_TLS_CERT=/nothing", "KONTROLER_PROXY_KEY=relative",
		"KONTROLER_TRUSTED_PROXIES=10.0.0.0/8;", "KONTROLER_LISTEN_ADDRESS=8080",
		"KONTROLER_CLIENT_CA=/tmp/a\nb")
	code := s.Wait()
	for _, want := range []string{
		`KONTROLER_SERVER_URL: "server;8443" is not http://HOST, https://HOST or one of them with :PORT`,
		`KONTROLER_SERVER_NAME: "a b" is not a DNS name`,
		`KONTROLER_TRUSTED_PROXIES: "10.0.0.0/8;" is not a list of networks such as 10.0.0.0/8,fd00::/8`,
		"KONTROLER_TLS_CERT: /nothing is missing, or user 101 may not read it",
		`KONTROLER_PROXY_KEY: "relative" is not an absolute path of letters, digits and ._-/`,
		"KONTROLER_PROXY_CERT and KONTROLER_PROXY_KEY need each other",
		"KONTROLER_TLS_CERT and KONTROLER_TLS_KEY need each other",
		`KONTROLER_LISTEN_ADDRESS: "8080" is not :PORT or HOST:PORT`,
		"KONTROLER_CLIENT_CA: \"/tmp/a\nb\" is not an absolute path of letters, digits and ._-/",
	} {
		if !strings.Contains(s.Output(), "ui: "+want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
}
