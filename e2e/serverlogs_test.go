package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// server is a process of the server beside the controller of a world, and a session of its administrator.
type server struct {
	*world
	base, token string
	cmd         *exec.Cmd
	exited      chan struct{}
}

// built is the server's binary, which all tests share.
var built struct {
	once sync.Once
	file string
	err  error
}

// serverBinary builds the server, or takes the binary that TEST_SERVER names.
func (w *world) serverBinary() string {
	w.T.Helper()
	built.once.Do(func() {
		if built.file = os.Getenv("TEST_SERVER"); built.file != "" {
			return
		}
		built.file = filepath.Join(w.Suite.Dir, "server")
		build := exec.Command("go", "build", "-race", "-o", built.file, "kontroler/httpapi/cmd/server")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building the server: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		w.T.Fatal(built.err)
	}
	return built.file
}

var servesAt = regexp.MustCompile(`msg="serving the API" address=(\S+)`)

// server starts a server. Its account may get Pods and their logs in the namespace of the world, and nothing else.
func (w *world) server() *server {
	w.T.Helper()
	dir := w.T.TempDir()
	files := map[string]string{"keys": rand.Text() + rand.Text(), "password": rand.Text()}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			w.T.Fatal(err)
		}
	}
	s := &server{world: w, exited: make(chan struct{})}
	s.cmd = exec.Command(w.serverBinary(), "--listen-address=127.0.0.1:0", "--health-address=", "--log-format=text",
		"--jwt-key-file="+filepath.Join(dir, "keys"), "--admin-password-file="+filepath.Join(dir, "password"))
	s.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.logReader(dir), "DATABASE_URL="+w.URL, "GORACE=halt_on_error=1")
	file := filepath.Join(dir, "log")
	log, err := os.Create(file)
	if err != nil {
		w.T.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	harness.EndWithParent(s.cmd)
	if err := s.cmd.Start(); err != nil {
		w.T.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	w.T.Cleanup(func() { s.check(file) })
	w.Eventually("the server to serve", patience, func(context.Context) (bool, string) {
		text, _ := os.ReadFile(file)
		if found := servesAt.FindSubmatch(text); found != nil {
			s.base = "http://" + string(found[1])
		}
		return s.base != "" && s.login(files["password"]), string(text)
	})
	return s
}

// logReader returns a kubeconfig whose account may read logs.
func (w *world) logReader(dir string) string {
	w.T.Helper()
	ctx, name := w.T.Context(), metav1.ObjectMeta{Name: "log-reader", Namespace: w.Namespace}
	account, err := w.Kube.CoreV1().ServiceAccounts(w.Namespace).Create(
		ctx, &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	_, err = w.Kube.RbacV1().Roles(w.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "pods/log"}, Verbs: []string{"get"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	_, err = w.Kube.RbacV1().RoleBindings(w.Namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name.Name, Namespace: w.Namespace}},
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := harness.WriteKubeconfig(ctx, w.Kube, w.Kubeconfig, account, file); err != nil {
		w.T.Fatal(err)
	}
	return file
}

// check kills the server, and fails the test if its log has a data race or a panic.
func (s *server) check(file string) {
	_ = s.cmd.Process.Kill()
	<-s.exited
	log, err := os.ReadFile(file)
	if err != nil {
		s.T.Error(err)
	}
	for _, never := range []string{"DATA RACE", "panicked", "a request failed", "requests have not ended"} {
		if bytes.Contains(log, []byte(never)) {
			s.T.Errorf("the log of the server has %q", never)
		}
	}
	if s.T.Failed() {
		s.T.Logf("the log of the server:\n%s", log)
	}
}

// login begins a session, and reports whether the server has started.
func (s *server) login(password string) bool {
	s.T.Helper()
	request, err := http.NewRequestWithContext(s.T.Context(), http.MethodPost, s.base+"/api/v1/auth/login", nil)
	if err != nil {
		s.T.Fatal(err)
	}
	request.SetBasicAuth("admin", password)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var body struct{ Token string }
	s.token = ""
	if json.NewDecoder(answer.Body).Decode(&body) == nil {
		s.token = body.Token
	}
	return s.token != ""
}

// pathOf waits until the server shows an attempt, and returns the path of its log.
func (s *server) pathOf(run, task string, number int) string {
	s.T.Helper()
	path := fmt.Sprintf("/api/v1/runs/%s/tasks/%s/attempts/%d", s.DagRun(run).UID, task, number)
	s.Eventually("attempt "+path, patience, func(context.Context) (bool, string) {
		answer := s.ask(path)
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK, answer.Status
	})
	return path + "/log"
}

// ask sends a request. Header lines are "Name: value".
func (s *server) ask(path string, header ...string) *http.Response {
	s.T.Helper()
	request, err := http.NewRequestWithContext(s.T.Context(), http.MethodGet, s.base+path, nil)
	if err != nil {
		s.T.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.T.Fatal(err)
	}
	return answer
}

// text returns an answer and its whole body.
func (s *server) text(path string, header ...string) (*http.Response, string) {
	s.T.Helper()
	answer := s.ask(path, header...)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.T.Fatalf("%s after %d bytes: %v", path, len(body), err)
	}
	return answer, string(body)
}

// logEvent is an event of a log. Text is that of a piece, and data what another event has.
type logEvent struct {
	name, id, text string
	data           map[string]any
}

// textBuffer is the text of a log as far as it has arrived.
type textBuffer []byte

func (b textBuffer) String() string { return string(b) }

// logStream is a client of events, as a browser is one. It has the text since the last reset.
type logStream struct {
	*server
	answer *http.Response
	lines  *bufio.Reader
	lastID string
	text   textBuffer
	resets []string
	states []string
}

// open opens a stream of events, from an id on unless it is empty.
func (s *server) open(path, lastID string) *logStream {
	s.T.Helper()
	header := []string{"Accept: text/event-stream"}
	if lastID != "" {
		header = append(header, "Last-Event-ID: "+lastID)
	}
	stream := &logStream{server: s, answer: s.ask(path, header...), lastID: lastID}
	if stream.answer.StatusCode != http.StatusOK || stream.answer.Header.Get("Content-Type") != "text/event-stream" {
		s.T.Fatalf("%s: %s, %v", path, stream.answer.Status, stream.answer.Header)
	}
	s.T.Cleanup(stream.close)
	stream.lines = bufio.NewReader(stream.answer.Body)
	return stream
}

func (l *logStream) close() { l.answer.Body.Close() }

// next returns the next event. It checks that no line has anything but what an event may have.
func (l *logStream) next() (e logEvent) {
	l.T.Helper()
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			l.T.Fatalf("the stream ends after %d bytes of the log: %v", len(l.text), err)
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.name == "":
		case line == "":
			return l.take(e)
		case field == "":
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data" && e.name == "log":
			err = json.Unmarshal([]byte(value), &e.text)
		case field == "data":
			err = json.Unmarshal([]byte(value), &e.data)
		default:
			l.T.Fatalf("a line %q", line)
		}
		if err != nil {
			l.T.Fatalf("%q: %v", line, err)
		}
	}
}

func (l *logStream) take(e logEvent) logEvent {
	if e.id != "" {
		l.lastID = e.id
	}
	switch e.name {
	case "log":
		l.text = append(l.text, e.text...)
	case "reset":
		l.text = l.text[:0]
		l.resets = append(l.resets, fmt.Sprint(e.data["reason"]))
	case "state":
		l.states = append(l.states, fmt.Sprint(e.data["state"]))
	}
	return e
}

// until reads until the text of the log ends with a text.
func (l *logStream) until(suffix string) {
	l.T.Helper()
	for !bytes.HasSuffix(l.text, []byte(suffix)) {
		if e := l.next(); e.name == "end" || e.name == "gone" {
			l.T.Fatalf("%s %v, and the text ends with %q", e.name, e.data, l.text[max(0, len(l.text)-50):])
		}
	}
}

// rest reads until the stream ends, and returns the last event.
func (l *logStream) rest() logEvent {
	l.T.Helper()
	for {
		if e := l.next(); e.name == "end" || e.name == "gone" {
			if _, err := l.lines.ReadByte(); err != io.EOF {
				l.T.Errorf("after the event %s: %v", e.name, err)
			}
			return e
		}
	}
}

// asText is a log as pieces of text have it: what is not UTF-8 is replaced, byte by byte.
func asText(log string) string { return string([]rune(log)) }

// TestServerLogs follows a log from before its container starts until it is stored, over several connections.
func TestServerLogs(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	s := w.server()
	const long = 200_000
	w.ApplyDAG("dag", sh("task", `echo first; `+until("go")+
		`; printf 'data: forged\r\revent: end\r\n'; printf 'bytes \001\377\303\050\n\n'; `+
		`head -c 200000 /dev/zero | tr '\0' x; echo; `+
		until("on")+`; seq 1 20000; `+until("end")+`; printf last`))
	w.Start("run", "dag")
	path := s.pathOf("run", "task", 1)
	early, follower := s.open(path, ""), s.open(path, "")
	early.until("first\n")
	early.close()
	plain := make(chan string, 1)
	go func() {
		answer := s.ask(path + "?follow=true")
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		plain <- fmt.Sprintf("%v %s", err, body)
	}()
	if answer, body := s.text(path); answer.Header.Get("Kontroler-Log-State") != "live" || body != "first\n" {
		t.Errorf("live: %v, %q", answer.Header, body)
	}
	w.Open("go")
	// containerd drops a carriage return before a newline.
	middle := "data: forged\r\revent: end\nbytes \x01\xff\xc3\x28\n\n" + strings.Repeat("x", long) + "\n"
	again := s.open(path, early.lastID)
	again.until(asText("x\n"))
	again.close()
	if want := asText(middle); again.text.String() != want || len(again.resets) > 0 {
		t.Errorf("after a reconnect: resets %q, %q; want %q", again.resets, cut(again.text.String()), cut(want))
	}
	tail := s.open(path+"?tail=2", "")
	tail.until("x\n")
	if want := "\n" + strings.Repeat("x", long) + "\n"; tail.text.String() != want {
		t.Errorf("the last two lines: %q", cut(tail.text.String()))
	}
	w.Open("on")
	var numbers strings.Builder
	for n := range 20_000 {
		fmt.Fprintln(&numbers, n+1)
	}
	third := s.open(path, again.lastID)
	third.until("\n20000\n")
	w.Open("end")
	whole := "first\n" + middle + numbers.String() + "last"
	if e := third.rest(); e.name != "end" || e.data["reason"] != "complete" ||
		third.text.String() != numbers.String()+"last" || len(third.resets) > 0 {
		t.Errorf("at the end of the Pod: %v, resets %q, %q", e, third.resets, cut(third.text.String()))
	}
	if e := follower.rest(); e.data["reason"] != "complete" || follower.text.String() != asText(whole) ||
		len(follower.resets) > 0 {
		t.Errorf("followed from the start: %v, resets %q, %q", e, follower.resets, cut(follower.text.String()))
	}
	if got := <-plain; got != "<nil> "+whole {
		t.Errorf("followed as plain text: %d bytes, %q", len(got), cut(got))
	}
	w.checkLog("run", "task", 1, whole)
	w.CheckPodsGone(w.Run("run").UID)
	answer, body := s.text(path)
	if answer.Header.Get("Kontroler-Log-State") != "stored" || body != whole {
		t.Errorf("stored: %v, %d bytes", answer.Header, len(body))
	}
	stored := s.open(path, again.lastID)
	if e := stored.rest(); e.data["reason"] != "complete" || stored.text.String() != numbers.String()+"last" ||
		len(stored.resets) > 0 || fmt.Sprint(stored.states) != "[stored]" {
		t.Errorf("the archive after a reconnect: %v, resets %q, %q", e, stored.resets, cut(stored.text.String()))
	}
}

// TestServerLogsRotated reconnects after the node has rotated a log. What is left of it cannot continue what was read.
func TestServerLogsRotated(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	s := w.server()
	w.ApplyDAG("dag", sh("task", "echo the true head; "+until("write")+
		"; yes 'one line of many, all of them the same' | head -c 11000000; sleep 11; "+until("go")+
		"; echo goes on; "+until("end")+"; echo the end"))
	w.Start("run", "dag")
	path := s.pathOf("run", "task", 1)
	follower := s.open(path, "")
	follower.until("the true head\n")
	early := follower.lastID
	pod := w.WaitPod("run", "task", running).Name
	w.Open("write")
	followed := make(chan logEvent, 1)
	go func() { followed <- follower.rest() }()
	w.Eventually("the log to be rotated", patience, func(ctx context.Context) (bool, string) {
		size := int64(100)
		served, err := w.Kube.CoreV1().Pods(w.Namespace).GetLogs(pod, &corev1.PodLogOptions{
			Container: v1alpha1.TaskContainer, LimitBytes: &size,
		}).DoRaw(ctx)
		return err == nil && !strings.HasPrefix(string(served), "the true head"), fmt.Sprintf("%v %q", err, served)
	})
	again := s.open(path, early)
	w.Open("go") // After the rotation the log is empty, until the next line.
	again.until("goes on\n")
	w.Open("end")
	if e := again.rest(); e.data["reason"] != "complete" || fmt.Sprint(again.resets) != "[rotated]" ||
		strings.Contains(again.text.String(), "the true head") || !strings.HasSuffix(again.text.String(), "the end\n") {
		t.Errorf("after the rotation: %v, resets %q, %q", e, again.resets, cut(again.text.String()))
	}
	// A kubelet may skip lines of whoever follows a log through its rotation, the more the slower it reads. The last
	// event says so.
	if e := <-followed; e.data["reason"] != "complete" || e.data["rotated"] != true ||
		!strings.HasPrefix(follower.text.String(), "the true head\none line of many") ||
		len(follower.text.String()) > 11_000_100 {
		t.Errorf("followed meanwhile: %v, resets %q, %d bytes, %q",
			e, follower.resets, len(follower.text.String()), cut(follower.text.String()))
	}
	row := w.log("run", "task", 1)
	w.CheckPodsGone(w.Run("run").UID)
	answer, body := s.text(path)
	if answer.Header.Get("Kontroler-Log-Rotated") != "true" || body != row.content {
		t.Errorf("stored: %v, %d bytes", answer.Header, len(body))
	}
	late := s.open(path, early)
	if e := late.rest(); e.data["reason"] != "complete" || fmt.Sprint(late.resets) != "[rotated]" ||
		late.text.String() != row.content {
		t.Errorf("the archive: %v, resets %q, %d bytes", e, late.resets, len(late.text.String()))
	}
}

// TestServerLogsGone reads a log that is not stored, and ends the stream of one that never ends.
func TestServerLogsGone(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	s := w.server()
	w.ApplySpec("off", v1alpha1.DAGSpec{Logs: v1alpha1.LogsOff, Task: []v1alpha1.Task{
		sh("task", "echo hello; "+until("go")),
	}})
	w.ApplyDAG("endless", sh("task", "echo hello; "+forever))
	w.Start("off", "off")
	w.Start("endless", "endless")
	path := s.pathOf("off", "task", 1)
	follower := s.open(path, "")
	follower.until("hello\n")
	w.Open("go")
	if e := follower.rest(); e.data["reason"] != "complete" || follower.text.String() != "hello\n" {
		t.Errorf("a log that is not stored, to its end: %v, %q", e, follower.text.String())
	}
	w.WaitRun("off", v1alpha1.RunSucceeded, patience)
	w.CheckPodsGone(w.Run("off").UID)
	if e := s.open(path, follower.lastID).rest(); e.name != "gone" || e.data["reason"] != "NotStored" {
		t.Errorf("a log that is gone: %v", e)
	}
	if answer, body := s.text(path); answer.StatusCode != http.StatusGone ||
		!strings.Contains(body, "urn:kontroler:problem:gone") {
		t.Errorf("a log that is gone: %s %s", answer.Status, body)
	}
	endless := s.open(s.pathOf("endless", "task", 1), "")
	endless.until("hello\n")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := endless.lines.ReadByte(); err == nil {
		t.Error("more came after the signal")
	}
	<-s.exited
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server exited with %d", code)
	}
}
