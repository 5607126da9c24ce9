package web_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kontroler/e2e/site"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

// TestBrowser runs the browser tests. KONTROLER_WEB_COMMAND replaces them, to look at the pages by hand.
func TestBrowser(t *testing.T) {
	requireNpm(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
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
	server := &backend{T: t, database: database, address: site.NewAddress()}
	server.start()
	facts := world.facts()
	startSites(t, server.address, facts)
	acts := &control{acts: map[string]func(){"stop": server.stop, "start": server.start}}
	facts["control"], facts["metrics"] = acts.serve(t), "http://"+server.address+":8081/metrics"
	if err := acts.run(npm(t, root, facts, "run", "browser").Run); err != nil {
		t.Fatalf("the browser tests: %v", err)
	}
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

// npm is a command of npm in web/, which knows facts. KONTROLER_WEB_COMMAND replaces it.
func npm(t testing.TB, root string, facts map[string]any, arguments ...string) *exec.Cmd {
	t.Helper()
	encoded, err := json.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "npm", arguments...)
	if replaced := os.Getenv("KONTROLER_WEB_COMMAND"); replaced != "" {
		command = exec.CommandContext(t.Context(), "sh", "-c", replaced)
	}
	command.Dir = filepath.Join(root, "web")
	command.Env = append(os.Environ(), fmt.Sprint("KONTROLER_WEB=", facts["site"]), "KONTROLER_WEB_FACTS="+string(encoded),
		"KONTROLER_WEB_PASSWORD="+site.Password)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command
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
	hash, err := auth.NewHasher().Hash(t.Context(), "", site.Password)
	if err == nil {
		err = db.Users.Create(t.Context(), name, access, hash, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}
