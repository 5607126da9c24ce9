package httpapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/clustertest"
	"kontroler/httpapi"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/podlog"
	"kontroler/store"
	"kontroler/store/accounts"
)

// logRoute is the route of logs.
const logRoute = "GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}/log"

// logHead and logTail are what is stored of a log of 1,000 bytes: carriage returns and bytes that are no UTF-8 are in
// it.
const (
	logHead = "amber begins\ndata: forged\r\revent: end\r\n"
	logTail = "bytes \x00\xff\xc3\nno newline"
)

// begins is when the first line was written.
var begins = time.Date(2026, 7, 1, 11, 0, 0, 123456000, time.UTC)

// pathOfLog returns the path of the log of a task of the first run of a namespace.
func (c *color) pathOfLog(task string) string {
	return fmt.Sprintf("/api/v1/runs/%s/tasks/%s-%s/attempts/1/log", c.uid(1), task, c.name)
}

// newLogs is a history in which the first run of each namespace has a log of its first task. That of its second task is
// not stored.
func newLogs(t *testing.T) *history {
	t.Helper()
	h := newHistory(t)
	for _, c := range h.colors {
		h.saveLog(c, store.Log{
			State: store.LogCaptured, Bytes: 1000, OmittedAt: int64(len(logHead)),
			Omitted: 1000 - int64(len(logHead+logTail)), BeginsAt: begins.Add(789), IsRotated: true, Message: "why",
		}, logHead[:5], logHead[5:], logTail)
	}
	return h
}

// saveLog stores the log of the first task of the first run.
func (h *history) saveLog(c *color, log store.Log, parts ...string) {
	h.Helper()
	run, found, err := h.views.Run(h.Context(), c.uid(1))
	h.must(err)
	task, isThere, err := h.views.Task(h.Context(), run.ID, "load-"+c.name)
	h.must(err)
	attempts, err := h.views.Attempts(h.Context(), task.ID, 0, 1)
	h.must(err)
	if !found || !isThere || len(attempts) == 0 {
		h.Fatal("there is no attempt")
	}
	log.AttemptID, log.At, log.CapturedAt = attempts[0].ID, attempts[0].FinishedAt, h.clock.now()
	var chunks []store.LogChunk
	for _, part := range parts {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write([]byte(part))
		h.must(err)
		h.must(w.Close())
		chunks = append(chunks, store.LogChunk{Size: len(part), Gzip: packed.Bytes()})
	}
	h.must(h.leader.Logs.Save(h.Context(), run.ID, log, chunks))
}

// TestStoredLog reads a stored log as plain text.
func TestStoredLog(t *testing.T) {
	h := newLogs(t)
	amber := h.colors[0]
	path, whole := amber.pathOfLog("load"), logHead+logTail
	a := h.do(request{method: "GET", path: path, token: amber.token})
	tag := a.Header.Get("ETag")
	header := map[string]string{}
	for _, name := range []string{
		"Content-Type", "X-Content-Type-Options", "Content-Security-Policy", "Kontroler-Log-State",
		"Kontroler-Log-Bytes", "Kontroler-Log-Omitted", "Kontroler-Log-Omitted-At", "Kontroler-Log-Rotated",
		"Kontroler-Log-Incomplete", "Content-Disposition", "Accept-Ranges", "Cache-Control", "Vary",
	} {
		header[name] = a.Header.Get(name)
	}
	want := map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
		"Kontroler-Log-State":     "stored", "Kontroler-Log-Bytes": "1000",
		"Kontroler-Log-Omitted":    fmt.Sprint(1000 - len(whole)),
		"Kontroler-Log-Omitted-At": fmt.Sprint(len(logHead)), "Kontroler-Log-Rotated": "true",
		"Kontroler-Log-Incomplete": "false", "Content-Disposition": "", "Accept-Ranges": "bytes",
		"Cache-Control": "no-store", "Vary": "Accept",
	}
	if diff := cmp.Diff(want, header); a.StatusCode != 200 || diff != "" || string(a.body) != whole || tag == "" {
		t.Errorf("status %d, %q, header (-want +got):\n%s", a.StatusCode, a.body, diff)
	}
	size := len(whole)
	for name, tt := range map[string]struct {
		query, header string
		status        int
		body, ranges  string
	}{
		"the first bytes":     {"", "Range: bytes=0-5", 206, whole[:6], fmt.Sprintf("bytes 0-5/%d", size)},
		"bytes of two chunks": {"", "Range: bytes=3-7", 206, whole[3:8], fmt.Sprintf("bytes 3-7/%d", size)},
		"the last bytes": {
			"", "Range: bytes=-4", 206, "line", fmt.Sprintf("bytes %d-%d/%d", size-4, size-1, size),
		},
		"from a byte on": {
			"", "Range: bytes=50-", 206, whole[50:], fmt.Sprintf("bytes 50-%d/%d", size-1, size),
		},
		"more ranges than are answered": {"", "Range: bytes=0-0" + strings.Repeat(",2-2", 16), 200, whole, ""},
		"bytes behind the end":          {"", "Range: bytes=999-", 416, "", fmt.Sprintf("bytes */%d", size)},
		"another unit":                  {"", "Range: lines=1-2", 416, "", ""},
		"followed, which is stored": {
			"?follow=true", "Range: bytes=0-5", 206, whole[:6], fmt.Sprintf("bytes 0-5/%d", size),
		},
		"the last line":                   {"?tail=1", "", 200, "no newline", ""},
		"the last three lines":            {"?tail=3", "", 200, "data: forged\r\revent: end\r\n" + logTail, ""},
		"more lines than there are":       {"?tail=10000", "", 200, whole, ""},
		"a range of the last line":        {"?tail=1", "Range: bytes=0-1", 200, "no newline", ""},
		"another log as precondition":     {"", `If-Match: "1-1"`, 412, "", ""},
		"the same log as precondition":    {"", "If-Match: " + tag, 200, whole, ""},
		"a range of a download":           {"?download=true", "Range: bytes=0-5", 206, whole[:6], ""},
		"a download that the client has":  {"?download=true", "If-None-Match: " + tag, 304, "", ""},
		"another log than the client has": {"", `If-None-Match: "1-1"`, 200, whole, ""},
		"the log that the client has":     {"", "If-None-Match: " + tag, 304, "", ""},
	} {
		q := request{method: "GET", path: path + tt.query, token: amber.token}
		if tt.header != "" {
			q.header = []string{tt.header}
		}
		a := h.do(q)
		isBody := tt.status >= 400 || string(a.body) == tt.body
		if a.StatusCode != tt.status || !isBody || tt.ranges != "" && a.Header.Get("Content-Range") != tt.ranges ||
			a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, %q, header %v", name, a.StatusCode, a.body, a.Header)
		}
	}
	for name, tt := range map[string]struct {
		condition string
		status    int
	}{
		"If-Range with the log": {tag, 206}, "If-Range with another log": {`"1-1"`, 200},
	} {
		a := h.do(request{method: "GET", path: path, token: amber.token, header: []string{
			"Range: bytes=0-5", "If-Range: " + tt.condition,
		}})
		if a.StatusCode != tt.status {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	download := h.do(request{method: "GET", path: path + "?download=true", token: amber.token})
	if got := download.Header.Get("Content-Disposition"); got != "attachment; filename=etl-amber-1-load-amber-1.log" ||
		string(download.body) != whole {
		t.Errorf("a download: %q, %d bytes", got, len(download.body))
	}
	head := h.do(request{method: "HEAD", path: path, token: amber.token})
	if head.StatusCode != 200 || head.ContentLength != int64(size) ||
		head.Header.Get("Kontroler-Log-State") != "stored" {
		t.Errorf("HEAD: %d, %v", head.StatusCode, head.Header)
	}
}

// TestFaultyRequestsForLogs checks which requests are refused, and that a log of another namespace is not found.
func TestFaultyRequestsForLogs(t *testing.T) {
	h := newLogs(t)
	amber, cobalt := h.colors[0], h.colors[1]
	h.user("carol", "carol's secret passphrase", accounts.Access{})
	carol, root := h.login("carol", "carol's secret passphrase"), h.login("root", rootPassword)
	session := h.login("ann", annPassword)
	narrow, _ := h.apiToken(session, "narrow", `"grants": [{"namespace": "b", "role": "viewer"}]`)
	viewer, _ := h.apiToken(session, "viewer", `"grants": [{"namespace": "a", "role": "viewer"}]`)
	path, events := amber.pathOfLog("load"), []string{"Accept: text/event-stream"}
	for name, tt := range map[string]struct {
		path, token string
		header      []string
		status      int
	}{
		"a viewer":                          {path, amber.token, nil, 200},
		"an administrator":                  {path, root, nil, 200},
		"an API token of a viewer":          {path, viewer, nil, 200},
		"nobody":                            {path, "", nil, 401},
		"a user without grants":             {path, carol, nil, 404},
		"an API token of another namespace": {path, narrow, nil, 404},
		"a foreign log":                     {cobalt.pathOfLog("load"), amber.token, nil, 404},
		"a foreign log as events":           {cobalt.pathOfLog("load"), amber.token, events, 404},
		"a foreign log that is gone":        {cobalt.pathOfLog("report"), amber.token, nil, 404},
		"an unknown attempt": {
			strings.Replace(path, "attempts/1", "attempts/2", 1), amber.token, nil, 404,
		},
		"no number": {
			strings.Replace(path, "attempts/1", "attempts/x", 1), amber.token, nil, 404,
		},
		"an unknown parameter":               {path + "?head=1", amber.token, nil, 400},
		"an unknown parameter of events":     {path + "?head=1", amber.token, events, 400},
		"follow without a value":             {path + "?follow", amber.token, nil, 400},
		"follow with another value":          {path + "?follow=1", amber.token, nil, 400},
		"no line":                            {path + "?tail=0", amber.token, nil, 400},
		"too many lines":                     {path + "?tail=10001", amber.token, nil, 400},
		"a text after an event":              {path + "?from=2026-07-01T11:00:01Z/13", amber.token, nil, 400},
		"events as a download":               {path + "?download=true", amber.token, events, 400},
		"a log that is not stored":           {amber.pathOfLog("report"), amber.token, nil, 410},
		"a live log without the API server":  {amber.pathOf(logRoute), amber.token, nil, 503},
		"live events without the API server": {amber.pathOf(logRoute), amber.token, events, 503},
	} {
		a := h.do(request{method: "GET", path: tt.path, token: tt.token, header: tt.header})
		if a.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d\n%s", name, a.StatusCode, tt.status, a.body)
		}
		if tt.status == 404 && strings.Contains(string(a.body), "cobalt") {
			t.Errorf("%s: a trace of the other namespace: %s", name, a.body)
		}
	}
	foreign := h.do(request{method: "GET", path: cobalt.pathOfLog("load"), token: amber.token})
	missing := h.do(request{
		method: "GET", path: strings.Replace(path, amber.uid(1), amber.uid(99), 1), token: amber.token,
	})
	if diff := cmp.Diff(withoutID(t, missing.body), withoutID(t, foreign.body)); diff != "" {
		t.Errorf("a foreign log differs from a missing one (-missing +foreign):\n%s", diff)
	}
}

// openLog opens a log as events.
func (h *history) openLog(path, token, lastID string) *follower {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.base+path, nil)
	h.must(err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json;q=0.1, text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	response, err := h.client.Do(req)
	h.must(err)
	h.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" ||
		response.Header.Get("X-Content-Type-Options") != "nosniff" {
		h.Fatalf("%s: status %d, header %v", path, response.StatusCode, response.Header)
	}
	return &follower{T: h.T, response: response, lines: bufio.NewScanner(response.Body)}
}

// all reads a stream to its end, and returns its events as "name id data".
func (f *follower) all() (all []string) {
	f.Helper()
	for {
		m, ok := f.next()
		if !ok {
			return all
		}
		all = append(all, strings.Join(slices.DeleteFunc([]string{m.event, m.id, m.data},
			func(s string) bool { return s == "" }), " "))
	}
}

// TestStoredLogAsEvents reads a stored log as events, from its beginning and after a reconnect.
func TestStoredLogAsEvents(t *testing.T) {
	h := newLogs(t)
	amber := h.colors[0]
	idAt := func(offset int) string { return podlog.Position{Begins: begins, Offset: int64(offset)}.String() }
	text := func(s string) string {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	head, tail := len(logHead), 1000-len(logTail)
	state := fmt.Sprintf(
		`state {"state":"stored","bytes":1000,"omitted":%d,"omittedAt":%d,"rotated":true,"message":"why"}`,
		tail-head, head)
	omitted := fmt.Sprintf(`omitted %s {"bytes":%d}`, idAt(tail), tail-head)
	end := `end {"reason":"complete"}`
	first, last := "log "+idAt(head)+" "+text(logHead), "log "+idAt(1000)+` "bytes \u0000\ufffd\ufffd\nno newline"`
	whole := []string{first, omitted, last, end}
	for name, tt := range map[string]struct {
		query, lastID string
		want          []string
	}{
		"from the beginning": {"", "", whole},
		"after the first line": {"", idAt(13), []string{
			"log " + idAt(head) + " " + text(logHead[13:]), omitted, last, end,
		}},
		"within what is omitted": {"", idAt(tail - 7), []string{
			fmt.Sprintf(`omitted %s {"bytes":7}`, idAt(tail)), last, end,
		}},
		"after what is omitted": {"", idAt(tail + 9), []string{"log " + idAt(1000) + ` "\nno newline"`, end}},
		"at the end":            {"", idAt(1000), []string{end}},
		"behind the end":        {"", idAt(1001), append([]string{`reset {"reason":"shorter"}`}, whole...)},
		"another log": {
			"", "2026-07-01T11:00:01Z/13", append([]string{`reset {"reason":"rotated"}`}, whole...),
		},
		"the last line": {"?tail=1", "", []string{"log " + idAt(1000) + ` "no newline"`, end}},
		"an id in the address": {"?from=" + url.QueryEscape(idAt(tail+9)), "", []string{
			"log " + idAt(1000) + ` "\nno newline"`, end,
		}},
		"an id in the address, and a later one of the same stream": {
			"?from=" + url.QueryEscape(idAt(13)), idAt(1000), []string{end},
		},
		"the last lines, and an id": {
			"?tail=1", idAt(tail + 9), []string{"log " + idAt(1000) + ` "\nno newline"`, end},
		},
		"without following": {"?follow=false", "", whole},
	} {
		got := h.openLog(amber.pathOfLog("load")+tt.query, amber.token, tt.lastID).all()
		if diff := cmp.Diff(append([]string{state}, tt.want...), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	got := h.openLog(amber.pathOfLog("load"), amber.token, "nonsense").all()
	if diff := cmp.Diff(append([]string{`reset {"reason":"unknown"}`, state}, whole...), got); diff != "" {
		t.Errorf("an id of something else (-want +got):\n%s", diff)
	}
	got = h.openLog(amber.pathOfLog("report"), amber.token, "").all()
	if len(got) != 1 || !strings.HasPrefix(got[0], `gone {"message":"The Pod is gone`) {
		t.Errorf("a log that is not stored: %q", got)
	}
}

// TestLostLogs reads a log that the controller could not read, and one that may lack lines.
func TestLostLogs(t *testing.T) {
	h := newHistory(t)
	amber, cobalt := h.colors[0], h.colors[1]
	h.saveLog(amber, store.Log{State: store.LogLost, Message: "its node does not answer"})
	h.saveLog(cobalt, store.Log{
		State: store.LogCaptured, Bytes: 5, BeginsAt: begins, IsIncomplete: true, Message: "why",
	}, "text\n")
	lost := h.do(request{method: "GET", path: amber.pathOfLog("load"), token: amber.token})
	if lost.StatusCode != 410 || !strings.Contains(string(lost.body), "its node does not answer") {
		t.Errorf("a lost log: %d %s", lost.StatusCode, lost.body)
	}
	got := h.openLog(amber.pathOfLog("load"), amber.token, "").all()
	want := []string{`gone {"message":"The log is lost: its node does not answer.","reason":"Lost"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a lost log as events (-want +got):\n%s", diff)
	}
	incomplete := h.do(request{method: "GET", path: cobalt.pathOfLog("load"), token: cobalt.token})
	if incomplete.Header.Get("Kontroler-Log-Incomplete") != "true" || string(incomplete.body) != "text\n" {
		t.Errorf("an incomplete log: %v %q", incomplete.Header, incomplete.body)
	}
	id := podlog.Position{Begins: begins, Offset: 5}
	got = h.openLog(cobalt.pathOfLog("load"), cobalt.token, id.String()).all()
	want = []string{
		`state {"state":"stored","bytes":5,"incomplete":true,"message":"why"}`, `reset {"reason":"incomplete"}`,
		`log ` + id.String() + ` "text\n"`, `end {"reason":"complete"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an incomplete log after a reconnect (-want +got):\n%s", diff)
	}
}

// onCluster returns the history with a server that reaches the API server, and the path of the log of a task that
// waits.
func onCluster(t *testing.T, h *history) (path string) {
	t.Helper()
	clients, err := cluster.New(clustertest.Config(t), "kontroler-test")
	h.must(err)
	h.replica = h.world.replica(func(c *httpapi.Config) { c.Views, c.Clients = h.views, clients })
	often(h.replica)
	return h.colors[0].pathOf(logRoute)
}

// TestLogOfAnotherPod checks that a Pod with the name of the attempt and another UID is not read.
func TestLogOfAnotherPod(t *testing.T) {
	h := newLogs(t)
	path := onCluster(t, h)
	amber, kube := h.colors[0], clustertest.Kube(t)
	ctx := context.Background()
	// The namespace stays. Other tests may use it at the same time.
	_, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: amber.namespace},
	}, metav1.CreateOptions{})
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		t.Fatal(err)
	}
	noToken := false
	_ = kube.CoreV1().Pods(amber.namespace).Delete(ctx, amber.run()+"-0", *metav1.NewDeleteOptions(0))
	var pod *corev1.Pod
	for pod == nil { // The namespace gets its service account by and by.
		pod, err = kube.CoreV1().Pods(amber.namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: amber.run() + "-0"},
			Spec: corev1.PodSpec{
				NodeName: "none", AutomountServiceAccountToken: &noToken,
				Containers: []corev1.Container{{Name: "task", Image: "busybox"}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			if !strings.Contains(err.Error(), "serviceaccount") {
				t.Fatal(err)
			}
			pod = nil
		}
	}
	t.Cleanup(func() {
		if err := kube.CoreV1().Pods(amber.namespace).Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0)); err != nil {
			t.Error(err)
		}
	})
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "task", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}
	if _, err := kube.CoreV1().Pods(amber.namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	a := h.do(request{method: "GET", path: path, token: amber.token})
	if a.StatusCode != 200 || len(a.body) > 0 || a.Header.Get("Kontroler-Log-State") != "waiting" {
		t.Errorf("status %d, header %v, %q", a.StatusCode, a.Header, a.body)
	}
}

// TestStreamsOfLogs ends streams with the credential, with the right to read, and with the server, and bounds their
// number.
func TestStreamsOfLogs(t *testing.T) {
	h := newLogs(t)
	path := onCluster(t, h)
	stop := streaming(t, h.replica)
	open := func(token string) *follower {
		t.Helper()
		f := h.openLog(path, token, "")
		f.until(func(m message) bool { return m.data == `{"state":"waiting"}` })
		return f
	}
	token, other := h.login("ann", annPassword), h.login("root", rootPassword)
	var followers []*follower
	for range podlog.MaxStreams {
		followers = append(followers, open(token))
	}
	for _, header := range [][]string{{"Accept: text/event-stream"}, nil} {
		a := h.do(request{method: "GET", path: path + "?follow=true", token: token, header: header})
		if a.StatusCode != http.StatusTooManyRequests {
			t.Errorf("one more: status %d\n%s", a.StatusCode, a.body)
		}
	}
	root := open(other)
	root.until(func(m message) bool { return m.event == "heartbeat" })
	h.want(204, request{method: "POST", path: "/api/v1/auth/logout", token: token})
	for _, f := range followers {
		if last := f.rest(); last.event != "end" || !strings.Contains(last.data, `"reason":"credential"`) {
			t.Errorf("after the logout: %+v", last)
		}
	}
	again := open(h.colors[0].token)
	user, err := h.db.Users.Get(t.Context(), "viewer-of-"+h.colors[0].name)
	h.must(err)
	h.must(h.db.Users.Update(t.Context(), user.Name, user.Generation, accounts.Access{}, false))
	h.clock.add(auth.MaxStale)
	if last := again.rest(); last.event != "end" || !strings.Contains(last.data, `"reason":"credential"`) {
		t.Errorf("without the right to read: %+v", last)
	}
	stop()
	if last := root.rest(); last.event != "" {
		t.Errorf("when the server stops: %+v", last)
	}
}
