package nginx_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kontroler/e2e/harness"
	"kontroler/store/storetest"
)

// patience is how long a test waits for what must come. It is no measurement.
const patience = time.Minute

// password of the user admin of each server.
const password = "correct horse battery staple"

var addresses atomic.Int32

// newAddress returns an address of this machine that nobody else uses, without a port.
func newAddress() string {
	n, pid := int(addresses.Add(1)), os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8%250, pid%250, 1+n%250)
}

// process is a process under test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// launch starts a command whose output goes to a file. The command ends with the test.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: filepath.Join(t.TempDir(), "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Chmod(0o666); err != nil { // nginx opens /dev/stdout as another user
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	harness.EndWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Path), p.output())
		}
	})
	return p
}

// stop kills the process.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) output() string {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, patience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// write writes a file that every user may read, and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// newDatabase returns the URL of a database with the schema of the controller.
func newDatabase(t *testing.T) string {
	t.Helper()
	return storetest.URL(t)
}

// startServer starts the real server at an address, and waits until it is ready.
func startServer(t *testing.T, database, address string, flags ...string) *process {
	t.Helper()
	cmd := exec.Command(server(t), append([]string{
		"--listen-address=" + address + ":8443", "--health-address=" + address + ":8081", "--database-url=" + database,
		"--jwt-key-file=" + write(t, "keys", strings.Repeat("k", 48)),
		"--admin-password-file=" + write(t, "password", password),
	}, flags...)...)
	p := launch(t, cmd)
	until(t, "the server is ready", func() bool { return statusOf("http://"+address+":8081/readyz") == http.StatusOK })
	return p
}

// server returns the path of the server's binary.
func server(t *testing.T) string {
	t.Helper()
	return required(t, "TEST_SERVER", "the binary of the server")
}

// required returns a variable. Without it the test is skipped, or fails where CI is true.
func required(t *testing.T, name, what string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: %s", name, what)
		}
		t.Skipf("%s is not set: %s", name, what)
	}
	return value
}

// site is nginx of the image under test.
type site struct {
	*process
	address string
	hosts   string // its /etc/hosts
}

// inImage runs the entry point of an image. $root is its root directory, $hosts its /etc/hosts. The root becomes
// read-only; /tmp is empty. The shell stays, because it ends with its parent: a process that has changed its user does
// not. The shell is the first process of the namespace, so all others end with it.
const inImage = `
mount --bind "$root" "$root" && cd "$root" && mount --rbind /dev dev && mount -t proc proc proc &&
mount -t tmpfs -o mode=1777 tmpfs tmp && mkdir tmp/files && mount --bind "$files" tmp/files &&
mount --bind "$hosts" etc/hosts &&
mount -o remount,bind,ro "$root" && chroot --userspec=101:101 --groups= . /entrypoint
exit $?`

// startSite starts nginx before a server, with variables and with files, which it has in /tmp/files.
func startSite(t *testing.T, files string, variables ...string) *site {
	t.Helper()
	root := required(t, "TEST_UI_ROOT", "the root file system of the UI's image")
	s := &site{address: newAddress(), hosts: write(t, "hosts", "127.0.0.1 localhost\n")}
	if files == "" {
		files = t.TempDir()
	}
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private",
		"sh", "-c", inImage)
	cmd.Env = append([]string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "root=" + root, "hosts=" + s.hosts, "files=" + files,
		"KONTROLER_LISTEN_ADDRESS=" + s.address + ":8080", "KONTROLER_HEALTH_ADDRESS=" + s.address + ":8081",
	}, variables...)
	s.process = launch(t, cmd)
	return s
}

// ready waits until nginx serves.
func (s *site) ready() *site {
	s.t.Helper()
	until(s.t, "nginx is healthy", func() bool { return statusOf("http://"+s.address+":8081/healthz") == http.StatusOK })
	return s
}

// statusOf returns the status of an answer, or 0 if there is none.
func statusOf(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// answer is an answer that has come whole.
type answer struct {
	*http.Response
	body string
}

// send sends a request by a client of its own, without cookies and without redirects.
func send(t *testing.T, config *tls.Config, request *http.Request) (answer, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, DisableCompression: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	response, err := client.Do(request.WithContext(t.Context()))
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body)}, err
}

// do sends a request to the site over plain HTTP. Header lines are "Name: value".
func (s *site) do(method, path, body string, header ...string) answer {
	s.t.Helper()
	a, err := send(s.t, nil, newRequest(s.t, method, "http://"+s.address+":8080"+path, body, header...))
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func newRequest(t *testing.T, method, url, body string, header ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	return request
}
