package scene_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/e2e/harness"
	"kontroler/e2e/site"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{Parallel: 1}))
}

// flawed are the DAGs of manifests/examples/invoices.yaml, one for each way through the scene.
var flawed = []string{"invoices", "receipts"}

// TestScene runs the browser tests. KONTROLER_WEB_COMMAND replaces them, to look at the pages by hand.
func TestScene(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is missing")
		}
		t.Skip("npm is missing: install Node 20.19 or later")
	}
	site.Root(t) // or the test is skipped
	w := harness.NewAlone(t)
	t.Setenv("KUBECONFIG", w.Kubeconfig)            // of the server
	w.Controller(harness.Flags("--start-grace=1h")) // The image is waited for as long as the scene takes.
	address := site.NewAddress()
	site.StartServer(t, w.URL, address, "--namespaces="+w.Namespace, "--trusted-proxies=127.0.0.0/8")
	ui := site.Start(t, "", "KONTROLER_SERVER_URL=http://"+address+":8443").Ready()
	page := "http://" + ui.Address + ":8080/"
	addUsers(t, page, w.Namespace)
	for _, name := range flawed {
		apply(w, name)
	}
	facts, err := json.Marshal(map[string]string{"namespace": w.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "npm", "run", "scene")
	if replaced := os.Getenv("KONTROLER_WEB_COMMAND"); replaced != "" {
		command = exec.CommandContext(t.Context(), "sh", "-c", replaced)
	}
	command.Dir = filepath.Join(harness.Root(), "web")
	command.Env = append(os.Environ(), "KONTROLER_WEB="+page, "KONTROLER_WEB_FACTS="+string(facts),
		"KONTROLER_WEB_PASSWORD="+site.Password)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		t.Fatalf("the browser tests: %v", err)
	}
}

// apply applies the example under a name, as the demo does: under the name of the server, so that the UI may replace
// it.
func apply(w *harness.World, name string) {
	w.T.Helper()
	manifest := harness.Example(w.T, "invoices.yaml")
	for from, to := range map[string]string{"  name: invoices\n": "  name: " + name + "\n", "  namespace: demo\n": ""} {
		if strings.Count(manifest, from) != 1 {
			w.T.Fatalf("the example has %q %d times", from, strings.Count(manifest, from))
		}
		manifest = strings.Replace(manifest, from, to, 1)
	}
	out, err := w.RunKubectl(manifest, "apply", "--server-side", "--field-manager=kontroler-server",
		"--namespace", w.Namespace, "-f", "-")
	if err != nil {
		w.T.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// addUsers adds a user of each role in the namespace, as an administrator does.
func addUsers(t *testing.T, page, namespace string) {
	t.Helper()
	var session struct{ Token string }
	call(t, page, "", "auth/login", map[string]any{"user": "admin", "password": site.Password}, &session)
	for name, role := range map[string]string{"vera": "viewer", "otto": "operator", "edda": "editor"} {
		call(t, page, session.Token, "users", map[string]any{
			"name": name, "password": site.Password,
			"grants": []map[string]string{{"namespace": namespace, "role": role}},
		}, nil)
	}
}

// call sends a request to the API through nginx, and decodes the answer.
func call(t *testing.T, page, token, path string, body, into any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		page+"api/v1/"+path, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		t.Fatalf("%s: %s", path, response.Status)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
}
