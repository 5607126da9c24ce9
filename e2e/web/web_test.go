package web_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"kontroler/e2e/site"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// TestBrowser runs the browser tests. KONTROLER_WEB_COMMAND replaces them, to look at the pages by hand.
func TestBrowser(t *testing.T) {
	w := newWorld(t)
	if err := w.control.run(w.npm("run", "browser").Run); err != nil {
		t.Fatalf("the browser tests: %v", err)
	}
}

// BenchmarkUI measures the UI in the browser, and prints a table.
func BenchmarkUI(b *testing.B) {
	w := newWorld(b)
	b.Logf("%d CPUs", runtime.NumCPU())
	if err := w.control.run(w.npm("run", "measure").Run); err != nil {
		b.Fatalf("measuring in the browser: %v", err)
	}
	b.ReportMetric(0, "ns/op")
}

// world is a server with rows, objects and users, the sites before it, and what the browser has to know of all that.
type world struct {
	testing.TB
	root    string
	facts   map[string]any
	control *control
}

func newWorld(t testing.TB) *world {
	t.Helper()
	requireNpm(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cluster := newObjects(t, root)
	cluster.fill(60)
	database := storetest.URL(t)
	rows := newRows(t, database, cluster)
	for name, access := range map[string]accounts.Access{
		"root": {Admin: true},
		"vera": {Grants: []accounts.Grant{{Namespace: cluster.namespace, Role: "viewer"}}},
		"otto": {Grants: []accounts.Grant{{Namespace: cluster.namespace, Role: "operator"}}},
		"edda": {Grants: []accounts.Grant{{Namespace: cluster.namespace, Role: "editor"}}},
		"nils": {},
		"ann":  {Grants: []accounts.Grant{{Namespace: "empty", Role: "operator"}}},
		"mia":  {Grants: []accounts.Grant{{Namespace: cluster.manyNamespace, Role: "operator"}}},
		"finn": {Grants: []accounts.Grant{{Namespace: cluster.fewNamespace, Role: "operator"}}},
	} {
		addUser(t, database, name, access)
	}
	server := &backend{TB: t, database: database, address: site.NewAddress()}
	server.start()
	w := &world{TB: t, root: root, facts: rows.facts()}
	startSites(t, server.address, w.facts)
	w.control = &control{acts: map[string]func(){"stop": server.stop, "start": server.start, "end": rows.endFollowed}}
	w.facts["control"], w.facts["metrics"] = w.control.serve(t), "http://"+server.address+":8081/metrics"
	return w
}

func requireNpm(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is missing")
		}
		t.Skip("npm is missing: install Node 20.19 or later")
	}
}

// npm is a command of npm in web/, which knows the facts. KONTROLER_WEB_COMMAND replaces it.
func (w *world) npm(arguments ...string) *exec.Cmd {
	w.Helper()
	facts, err := json.Marshal(w.facts)
	if err != nil {
		w.Fatal(err)
	}
	command := exec.CommandContext(w.Context(), "npm", arguments...)
	if replaced := os.Getenv("KONTROLER_WEB_COMMAND"); replaced != "" {
		command = exec.CommandContext(w.Context(), "sh", "-c", replaced)
	}
	command.Dir = filepath.Join(w.root, "web")
	command.Env = append(os.Environ(), fmt.Sprint("KONTROLER_WEB=", w.facts["site"]),
		"KONTROLER_WEB_FACTS="+string(facts), "KONTROLER_WEB_PASSWORD="+site.Password)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command
}

func addUser(t testing.TB, database, name string, access accounts.Access) {
	t.Helper()
	db, err := accounts.Open(database, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hash, err := auth.NewHasher().Hash(t.Context(), "", site.Password)
	if err == nil {
		err = db.Users.Create(t.Context(), name, access, hash, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}
