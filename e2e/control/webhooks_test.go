package e2e_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
)

// told is a notification as it arrived. Its schema is in the README: there are no other fields.
type told struct {
	Type       string     `json:"type"`
	Status     string     `json:"status"`
	DagRunID   int64      `json:"dagRunId"`
	TaskName   string     `json:"taskName"`
	TaskID     int64      `json:"taskId"`
	ID         string     `json:"id"`
	Event      string     `json:"event"`
	Time       time.Time  `json:"time"`
	Controller string     `json:"controller"`
	Namespace  string     `json:"namespace"`
	DAG        string     `json:"dag"`
	Version    int64      `json:"version"`
	Run        toldRun    `json:"run"`
	Task       *toldEnded `json:"task"`

	header http.Header
	body   []byte
	path   string
}

type toldRun struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	toldEnd
	Tasks *toldCounts `json:"tasks"`
}

type toldEnded struct {
	Name string `json:"name"`
	toldEnd
	Attempts int  `json:"attempts"`
	ExitCode *int `json:"exitCode"`
}

type toldEnd struct {
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"startedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

type toldCounts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// signature is what a receiver compares with, computed as the README says.
func signature(key string, n told) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s", n.header.Get("Kontroler-Timestamp"), n.body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// String is what tests compare: the event and what ended.
func (t told) String() string { return strings.TrimSpace(t.Event + " " + t.TaskName) }

// receiver hears notifications. answer answers the n-th of a path, from 1; nil: 200.
type receiver struct {
	w      *world
	url    string
	answer func(n int, w http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	heard  []told
	paths  map[string]int
}

// newReceiver starts a receiver; tls: with a certificate that nobody trusts.
func (w *world) newReceiver(tls bool) *receiver {
	w.t.Helper()
	v := &receiver{w: w, paths: map[string]int{}}
	server := httptest.NewUnstartedServer(v)
	server.Listener.Close()
	server.Listener = listenApart(w.t)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	w.t.Cleanup(server.CloseClientConnections)
	w.t.Cleanup(func() { server.Listener.Close() })
	v.url = server.URL
	return v
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := told{header: r.Header, path: r.URL.Path}
	n.body, _ = io.ReadAll(r.Body)
	schema := json.NewDecoder(bytes.NewReader(n.body))
	schema.DisallowUnknownFields()
	if err := schema.Decode(&n); err != nil {
		v.w.t.Errorf("a notification is not what the schema says: %v: %s", err, n.body)
	}
	v.mu.Lock()
	v.heard = append(v.heard, n)
	v.paths[n.path]++
	count := v.paths[n.path]
	v.mu.Unlock()
	if v.answer != nil {
		v.answer(count, w, r)
	}
}

// of are the notifications of a run, in the order in which they arrived.
func (v *receiver) of(run string) []told {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []told
	for _, n := range v.heard {
		if n.Run.Name == run {
			all = append(all, n)
		}
	}
	return all
}

func texts(all []told) []string {
	out := []string{}
	for _, n := range all {
		out = append(out, n.String())
	}
	return out
}

// wait waits until n notifications of a run have arrived.
func (v *receiver) wait(run string, n int) []told {
	v.w.t.Helper()
	v.w.eventually(fmt.Sprintf("%d notifications of %s", n, run), patience, func(context.Context) (bool, string) {
		all := v.of(run)
		return len(all) >= n, fmt.Sprint(texts(all), v.w.delivered())
	})
	return v.of(run)
}

// delivered is the log: event, state and tries of each notification, and its last error.
func (d *database) delivered() []string {
	return d.strings(`SELECT r.name || ': ' || n.event || ' ' || n.state || ' ' || n.tries || ' ' || n.error
FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id ORDER BY n.id`)
}

// waitError waits until a try of a run failed with an error that has a text.
func (w *world) waitError(run, text string) {
	w.t.Helper()
	w.eventually("a try of "+run+" to fail with "+text, patience, func(context.Context) (bool, string) {
		errors := w.strings(`SELECT d.error FROM kontroler_v1.deliveries d JOIN kontroler_v1.notifications n ON n.id = d.notification_id
JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = $1 AND d.error <> ''`, run)
		return strings.Contains(strings.Join(errors, "\n"), text), fmt.Sprint(errors)
	})
}

// waitSettled waits until nothing is Pending any more of a run.
func (w *world) waitSettled(run string) {
	w.t.Helper()
	w.eventually("the notifications of "+run+" to be settled", patience, func(context.Context) (bool, string) {
		pending := w.strings(`SELECT n.event FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = $1 AND n.state = 'Pending'`, run)
		return len(pending) == 0, fmt.Sprint(w.delivered())
	})
}

// announced applies a DAG with a webhook.
func (w *world) announced(name string, hook v1alpha1.Webhook, tasks ...v1alpha1.Task) {
	w.t.Helper()
	w.applySpec(name, v1alpha1.DAGSpec{Webhook: &hook, Task: tasks})
}

var runEvents = []v1alpha1.WebhookEvent{v1alpha1.EventRunSucceeded, v1alpha1.EventRunFailed, v1alpha1.EventRunCancelled}

// All endings arrive, in order, once each; what is sent is what the rows say; signatures are right; nothing is told to
// nobody; a refused run and a cancelled one are told too.
func TestNotifications(t *testing.T) {
	w := newWorld(t)
	v := w.newReceiver(false)
	c := w.controller()
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: hook}, stringData: {key: s3cret}}`)
	hook := v1alpha1.Webhook{URL: v.url + "/t0ken-of-the-url", SecretRef: &v1alpha1.SecretKeyRef{Name: "hook", Key: "key"}}
	w.announced("dag", hook, sh("a", ""), sh("b", once("b", "exit 3"), after("a"), retries(1)), sh("c", "", after("a")), sh("d", "exit 4", after("b", "c")), sh("e", "", after("d")))
	w.start("run", "dag")
	w.waitRun("run", v1alpha1.RunFailed, patience)
	all := v.wait("run", 5)
	w.waitSettled("run")
	got := texts(v.of("run"))
	if got[1] > got[2] {
		got[1], got[2] = got[2], got[1] // b and c end in either order
	}
	if diff := gocmp.Diff([]string{"TaskSucceeded a", "TaskSucceeded b", "TaskSucceeded c", "TaskFailed d", "RunFailed"}, got); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	for _, n := range all {
		w.checkTold(n)
	}
	last := all[len(all)-1]
	want := toldCounts{Total: 5, Succeeded: 3, Failed: 1, Skipped: 1}
	if last.Status != "failed" || last.Type != "dagrun" || last.Run.Reason != "TaskFailed" || *last.Run.Tasks != want || last.Task != nil {
		t.Errorf("the end of the run: %s", last.body)
	}

	value := "x"
	w.start("refused", "dag", v1alpha1.ParameterValue{Name: "unknown", Value: &value})
	if refused := v.wait("refused", 1)[0]; refused.String() != "RunFailed" || refused.Run.Reason != "InvalidParameters" {
		t.Errorf("a refused run: %s", refused.body)
	}
	w.announced("long", v1alpha1.Webhook{URL: v.url, Events: runEvents}, sh("a", ""), sh("b", forever, after("a")))
	w.start("cancelled", "long")
	w.waitAttempt("cancelled", "b", 1, "Running")
	w.cancel("cancelled")
	if cancelled := v.wait("cancelled", 1)[0]; cancelled.String() != "RunCancelled" || cancelled.Status != "cancelled" || cancelled.header.Get("Kontroler-Signature") != "" {
		t.Errorf("a cancelled run: %s", cancelled.body)
	}
	w.applyDAG("silent", sh("a", ""))
	w.start("unheard", "silent")
	w.waitRun("unheard", v1alpha1.RunSucceeded, patience)
	w.waitSettled("cancelled")
	if n := len(w.delivered()); n != 7 {
		t.Errorf("%d notifications, want 7: %v", n, w.delivered())
	}
	if strings.Contains(c.log()+fmt.Sprint(w.delivered()), "t0ken") || strings.Contains(c.log(), "s3cret") {
		t.Error("the URL's token or the key is in the log")
	}
	// Its run is trimmed: so are they.
	w.exec(`DELETE FROM kontroler.runs`)
	if left := w.strings(`SELECT id::text FROM kontroler.notifications`); len(left) > 0 {
		t.Errorf("left without a run: %v", left)
	}
}

// checkTold compares a notification with the rows, and checks its headers.
func (w *world) checkTold(n told) {
	w.t.Helper()
	at, err := strconv.ParseInt(n.header.Get("Kontroler-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > patience {
		w.t.Errorf("timestamp %q", n.header.Get("Kontroler-Timestamp"))
	}
	is := map[string]string{}
	for _, name := range []string{"Content-Type", "Kontroler-Event", "Kontroler-Delivery", "Kontroler-Signature"} {
		is[name] = n.header.Get(name)
	}
	want := map[string]string{
		"Content-Type": "application/json", "Kontroler-Event": n.Event, "Kontroler-Delivery": n.ID, "Kontroler-Signature": signature("s3cret", n),
	}
	if diff := gocmp.Diff(want, is); diff != "" {
		w.t.Errorf("headers of %s (-want +got):\n%s", n, diff)
	}
	row := w.run(n.Run.Name)
	if n.DagRunID != row.ID || n.Run.UID != row.UID || n.Namespace != w.namespace || n.DAG != row.DAG || n.Version != row.Version || n.Controller != w.controllerID() {
		w.t.Errorf("%s does not say what the rows say: %s", n, n.body)
	}
	if n.Task == nil {
		return
	}
	for _, task := range w.tasks(n.Run.Name) {
		if task.Name != n.TaskName {
			continue
		}
		attempts := w.attemptsOf(n.Run.Name, task.Name)
		status := map[string]string{"Succeeded": "success", "Failed": "failed"}[task.Phase]
		end := toldEnd{Phase: task.Phase, Reason: task.Reason, Message: task.Message, StartedAt: &task.StartedAt, FinishedAt: &task.FinishedAt}
		wanted := toldEnded{Name: task.Name, toldEnd: end, Attempts: task.Attempts, ExitCode: attempts[len(attempts)-1].ExitCode}
		if diff := gocmp.Diff(&wanted, n.Task, gocmp.AllowUnexported(toldEnded{})); diff != "" || n.Status != status || n.Type != "taskrun" {
			w.t.Errorf("%s: status %s (-want +got):\n%s", n, n.Status, diff)
		}
	}
}

// What goes wrong is in the delivery log, and is tried again: a receiver that fails and recovers; one that redirects; one
// whose certificate nobody trusts; a Secret that comes later. One that hangs holds up nobody else.
func TestNotificationFailures(t *testing.T) {
	w := newWorld(t)
	v, secure := w.newReceiver(false), w.newReceiver(true)
	v.answer = func(n int, a http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/hang":
			<-r.Context().Done()
		case r.URL.Path == "/fails" && n <= 2:
			http.Error(a, "not now", http.StatusInternalServerError)
		case r.URL.Path == "/redirects":
			http.Redirect(a, r, "/redirected", http.StatusTemporaryRedirect)
		case r.URL.Path == "/to-loopback":
			http.Redirect(a, r, "http://localhost:1/", http.StatusPermanentRedirect)
		}
	}
	w.controller(flags("--webhook-deny=192.0.2.0/24"))
	hooks := map[string]v1alpha1.Webhook{
		"hang": {URL: v.url + "/hang"}, "fails": {URL: v.url + "/fails"}, "redirects": {URL: v.url + "/redirects"}, "to-loopback": {URL: v.url + "/to-loopback"},
		"loopback": {URL: "http://127.0.0.1:1/t0ken"}, "metadata": {URL: "http://169.254.169.254/"}, "denied": {URL: "http://192.0.2.1/"},
		"secure": {URL: secure.url}, "untrusted": {URL: secure.url, VerifySSL: true}, "unverifiable": {URL: v.url, VerifySSL: true},
		"signed": {URL: v.url + "/signed", SecretRef: &v1alpha1.SecretKeyRef{Name: "later", Key: "key"}},
	}
	for name, hook := range hooks {
		w.announced(name, hook, sh(name, ""))
		w.start(name, name)
	}
	for run, text := range map[string]string{
		"hang": "no answer within 10 seconds", "fails": "the receiver answered 500", "to-loopback": "is refused: loopback", "loopback": "address 127.0.0.1 is refused: loopback",
		"metadata": "a cloud's metadata", "denied": "address 192.0.2.1 is refused: --webhook-deny has 192.0.2.0/24", "untrusted": "failed to verify certificate",
		"unverifiable": "verifySSL is set", "signed": `there is no Secret "later"`,
	} {
		w.waitError(run, text)
	}
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: later}, stringData: {key: s3cret}}`)
	for run, reached := range map[string]*receiver{"fails": v, "redirects": v, "secure": secure, "signed": v} {
		w.waitSettled(run)
		states := w.strings(`SELECT DISTINCT n.state FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = $1`, run)
		if len(states) != 1 || states[0] != "Delivered" {
			t.Errorf("%s: %v", run, w.delivered())
		}
		all := reached.of(run)
		if last := all[len(all)-1]; last.String() != "RunSucceeded" || last.Run.Phase != "Succeeded" {
			t.Errorf("the last of %s: %s", run, last.body)
		}
	}
	if all := texts(v.of("fails")); !strings.HasPrefix(fmt.Sprint(all), "[TaskSucceeded fails TaskSucceeded fails TaskSucceeded fails RunSucceeded") {
		t.Errorf("a receiver that failed twice has heard %v", all)
	}
	if all := v.of("fails"); string(all[0].body) != string(all[2].body) || all[0].ID != all[2].ID {
		t.Errorf("a try says otherwise:\n%s\n%s", all[0].body, all[2].body)
	}
	if log := w.strings(`SELECT d.try || ' ' || coalesce(d.status, 0) || ' ' || d.error || ' ' || d.response FROM kontroler_v1.deliveries d
JOIN kontroler_v1.notifications n ON n.id = d.notification_id JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = 'fails' ORDER BY n.id, d.try`); len(log) != 4 ||
		log[0] != "1 500 the receiver answered 500 Internal Server Error not now" || strings.TrimSpace(log[2]) != "3 200" {
		t.Errorf("the delivery log: %q", log)
	}
	w.waitSettled("unverifiable") // parked at once: it will never go
	if heard := v.of("unverifiable"); len(heard) > 0 || len(w.strings(`SELECT id::text FROM kontroler_v1.notifications WHERE state = 'Parked'`)) != 2 {
		t.Errorf("heard %v; %v", texts(heard), w.delivered())
	}
	uid := string(w.dag("unverifiable").UID)
	w.eventually("its DAG to have an Event for each", patience, func(context.Context) (bool, string) {
		is := strings.Join(w.eventsOf(uid), " ")
		return strings.Count(is, "NotificationParked ×1") == 2, is
	})
}

// kill -9 between a send and its note: it is sent again, with the same id, and nothing else twice or never.
func TestNotificationsKilledAt(t *testing.T) {
	for fault, again := range map[string]int{"notifications-claimed:1": 0, "notification-sent:1": 1, "notification-noted:1": 0} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			v := w.newReceiver(false)
			w.announced("dag", v1alpha1.Webhook{URL: v.url}, sh("a", ""), sh("b", "", after("a")))
			w.start(theRun, "dag")
			w.dieAt(fault, nil)
			w.controller(atOnce)
			w.waitRun(theRun, v1alpha1.RunSucceeded, patience)
			v.wait(theRun, 3+again)
			w.waitSettled(theRun)
			want := []string{"TaskSucceeded a", "TaskSucceeded b", "RunSucceeded"}
			if again > 0 {
				want = append([]string{"TaskSucceeded a"}, want...)
			}
			all := v.of(theRun)
			if diff := gocmp.Diff(want, texts(all)); diff != "" {
				t.Errorf("notifications (-want +got):\n%s", diff)
			}
			if again > 0 && (all[0].ID != all[1].ID || string(all[0].body) != string(all[1].body)) {
				t.Errorf("sent again, and not the same:\n%s\n%s", all[0].body, all[1].body)
			}
		})
	}
}

// The example applies, and what it tells is signed with its key.
func TestNotificationExample(t *testing.T) {
	w := newWorld(t)
	v := w.newReceiver(false)
	w.controller()
	example, err := os.ReadFile("../manifests/examples/webhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.apply(strings.Replace(string(example), "http://receiver.default.svc:8080", v.url, 1))
	w.start("run", "told")
	n := v.wait("run", 1)[0]
	if sign := signature("change-me", n); sign != n.header.Get("Kontroler-Signature") || n.String() != "RunSucceeded" {
		t.Errorf("%s: %v", n.body, n.header)
	}
}
