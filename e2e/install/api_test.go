package install_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kontroler/e2e/readme"
)

// api is where the server of an installation is reached, with curl.
type api struct {
	url     string
	options []string // of curl
}

// person is a user of the server, and remembers what the server has said.
type person struct {
	api
	name, password, token string

	mu   sync.Mutex
	said strings.Builder
}

// answer is what the server answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// decode decodes the body.
func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%v: %d %s", err, a.status, a.body)
	}
}

// curl makes a command that sends a request. The path begins behind /api/v1.
func (p *person) curl(t *testing.T, method, path string, args ...string) *exec.Cmd {
	t.Helper()
	all := append([]string{
		"--silent", "--show-error", "--no-buffer", "--max-time", "120", "--request", method,
	}, p.options...)
	if p.token != "" {
		all = append(all, "--header", "Authorization: Bearer "+p.token)
	}
	return exec.CommandContext(t.Context(), "curl", append(append(all, args...), p.url+"/api/v1"+path)...)
}

// try sends a request. A body that begins with a brace is JSON, any other one YAML.
func (p *person) try(t *testing.T, method, path, body string, args ...string) (answer, error) {
	t.Helper()
	head := filepath.Join(t.TempDir(), "head")
	args = append([]string{"--dump-header", head, "--write-out", "\n%{http_code}"}, args...)
	if body != "" {
		kind := "application/yaml"
		if strings.HasPrefix(body, "{") {
			kind = "application/json"
		}
		args = append(args, "--header", "Content-Type: "+kind, "--data-binary", "@-")
	}
	cmd := p.curl(t, method, path, args...)
	cmd.Stdin = strings.NewReader(body)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return answer{}, fmt.Errorf("%s %s: %w: %s", method, path, err, &stderr)
	}
	out := stdout.String()
	end := strings.LastIndex(out, "\n")
	a := answer{body: out[:end], header: http.Header{}}
	var err error
	if a.status, err = strconv.Atoi(out[end+1:]); err != nil {
		return answer{}, err
	}
	lines, err := os.ReadFile(head)
	if err != nil {
		return answer{}, err
	}
	for line := range strings.Lines(string(lines)) {
		if name, value, isField := strings.Cut(line, ":"); isField {
			a.header.Add(name, strings.TrimSpace(value))
		}
	}
	p.hear(string(lines) + a.body)
	return a, nil
}

// do sends a request that must have this status.
func (p *person) do(t *testing.T, status int, method, path, body string, args ...string) answer {
	t.Helper()
	a, err := p.try(t, method, path, body, args...)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != status {
		t.Fatalf("%s: %s %s: %d, want %d: %s", p.name, method, path, a.status, status, a.body)
	}
	return a
}

// get reads an object.
func (p *person) get(t *testing.T, path string, into any) answer {
	t.Helper()
	a := p.do(t, http.StatusOK, http.MethodGet, path, "")
	a.decode(t, into)
	return a
}

// hear remembers what the server has said.
func (p *person) hear(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said.WriteString(what)
}

// heard returns all that the server has said.
func (p *person) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// follow reads a stream of events until the test ends.
func (p *person) follow(t *testing.T, path string) {
	t.Helper()
	cmd := p.curl(t, http.MethodGet, path, "--max-time", "600")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := stdout.Read(buffer)
			p.hear(string(buffer[:n]))
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		_ = cmd.Wait() // says that it was killed
	})
}

// login logs in.
func (a api) login(t *testing.T, name, password string) *person {
	t.Helper()
	p := &person{api: a, name: name, password: password}
	var session struct{ Token string }
	p.do(t, http.StatusOK, http.MethodPost, "/auth/login", "", "--user", name+":"+password).decode(t, &session)
	p.token = session.Token
	return p
}

// loginAsAdmin logs in as the first user, with the password of the Secret.
func (s *site) loginAsAdmin(t *testing.T, a api) *person {
	t.Helper()
	password := s.shell(t, "kubectl get secret kontroler-server -n "+namespace+
		` -o go-template='{{index .data "admin-password" | base64decode}}'`)
	return a.login(t, "admin", password)
}

// forwarded returns the API by the line of httpapi/README.md that forwards a port, until the test ends.
func (s *site) forwarded(t *testing.T) api {
	t.Helper()
	line, err := readme.Commands(filepath.Join(root, "httpapi", "README.md"), "Install in a cluster")
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(line)
	command, isForward := strings.CutSuffix(line, " 8443")
	if !isForward || !strings.HasPrefix(line, "kubectl port-forward ") {
		t.Fatalf("the line of httpapi/README.md does not forward port 8443: %s", line)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "exec "+command+" :8443")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "PATH="+s.path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // says that it was killed
	})
	var port int
	if _, err := fmt.Fscanf(stdout, "Forwarding from 127.0.0.1:%d -> 8443\n", &port); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, &stderr)
	}
	go func() {
		var rest [1024]byte
		for {
			if _, err := stdout.Read(rest[:]); err != nil {
				return
			}
		}
	}()
	return api{url: fmt.Sprintf("http://127.0.0.1:%d", port), options: []string{"--noproxy", "*"}}
}
