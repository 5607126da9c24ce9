package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// prefix is the path under which the bundle is served, because sub-paths break most often.
const prefix = "/tools/kontroler/"

// password is that of all users.
const password = "correct horse battery staple"

// TestBrowser runs the browser tests. KONTROLER_WEB_COMMAND replaces them, to look at the pages by hand.
func TestBrowser(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is missing")
		}
		t.Skip("npm is missing: install Node 20.19 or later")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "web/dist/index.html")); err != nil {
		t.Fatalf("the bundle is not built: %v. Run npm run build in web/", err)
	}
	cluster := newObjects(t, root)
	cluster.fill(60)
	database := storetest.URL(t)
	world := newRows(t, database, cluster.namespace)
	for name, access := range map[string]accounts.Access{
		"root": {Admin: true},
		"vera": {Grants: []accounts.Grant{{Namespace: world.namespace, Role: "viewer"}}},
		"otto": {Grants: []accounts.Grant{{Namespace: world.namespace, Role: "operator"}}},
		"edda": {Grants: []accounts.Grant{{Namespace: world.namespace, Role: "editor"}}},
		"nils": {},
	} {
		addUser(t, database, name, access)
	}
	api := startServer(t, root, database)
	site := startSite(t, filepath.Join(root, "web/dist"), api)
	facts, err := json.Marshal(world.facts())
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "npm", "run", "browser")
	if replaced := os.Getenv("KONTROLER_WEB_COMMAND"); replaced != "" {
		command = exec.CommandContext(t.Context(), "sh", "-c", replaced)
	}
	command.Dir = filepath.Join(root, "web")
	command.Env = append(os.Environ(), "KONTROLER_WEB="+site, "KONTROLER_WEB_FACTS="+string(facts),
		"KONTROLER_WEB_PASSWORD="+password)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		t.Fatalf("the browser tests: %v", err)
	}
}

func addUser(t *testing.T, database, name string, access accounts.Access) {
	t.Helper()
	db, err := accounts.Open(database, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hash, err := auth.NewHasher().Hash(t.Context(), "", password)
	if err == nil {
		err = db.Users.Create(t.Context(), name, access, hash, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startServer builds and starts the server's binary, and waits until it is ready. It returns its address.
func startServer(t *testing.T, root, database string) *url.URL {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./httpapi/cmd/server")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("key-of-a-test-", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	api, health := freeAddress(t), freeAddress(t)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, stop := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, binary, "--listen-address", api, "--health-address", health, "--jwt-key-file", keys,
		"--trusted-proxies", "127.0.0.0/8", "--log-format", "text")
	server.Env = append(os.Environ(), "DATABASE_URL="+database)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = server.Wait() // killed: its exit code says nothing
		if content, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the server's log:\n%s", content)
		}
	})
	ready := "http://" + health + "/readyz"
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		response, err := http.Get(ready)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			content, _ := os.ReadFile(log.Name())
			t.Fatalf("the server is not ready: %v\n%s", err, content)
		}
	}
	return &url.URL{Scheme: "http", Host: api}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startSite serves the bundle, and the API below it, over plain HTTP/1.1. It returns the address of the page.
func startSite(t *testing.T, dist string, api *url.URL) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
	}
	mux := http.NewServeMux()
	mux.Handle(prefix, http.StripPrefix(prefix, http.FileServer(http.Dir(dist))))
	mux.Handle(prefix+"api/", http.StripPrefix(strings.TrimSuffix(prefix, "/"), proxy))
	site := httptest.NewServer(mux)
	t.Cleanup(func() {
		site.CloseClientConnections() // streams of events have no end
		site.Close()
	})
	return fmt.Sprint(site.URL, prefix)
}
