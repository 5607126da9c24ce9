package control_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// waitError waits until a delivery of a run has an error that contains a text.
func (w *world) waitError(run, text string) {
	w.T.Helper()
	w.Eventually("a try of "+run+" to fail with "+text, patience, func(context.Context) (bool, string) {
		errors := w.Strings(
			`SELECT d.error FROM kontroler_v1.deliveries d JOIN kontroler_v1.notifications n ON n.id = d.notification_id
JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = $1 AND d.error <> ''`,
			run,
		)
		return strings.Contains(strings.Join(errors, "\n"), text), fmt.Sprint(errors)
	})
}

// waitSettled waits until no notification of a run is Pending.
func (w *world) waitSettled(run string) {
	w.T.Helper()
	w.Eventually("the notifications of "+run+" to be settled", patience, func(context.Context) (bool, string) {
		pending := w.Strings(`SELECT n.event
FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id
WHERE r.name = $1 AND n.state = 'Pending'`, run)
		return len(pending) == 0, fmt.Sprint(w.Notifications())
	})
}

// applyHooked applies a DAG with a webhook.
func (w *world) applyHooked(name string, hook v1alpha1.Webhook, tasks ...v1alpha1.Task) {
	w.T.Helper()
	w.ApplySpec(name, v1alpha1.DAGSpec{Webhook: &hook, Task: tasks})
}

var runEvents = []v1alpha1.WebhookEvent{v1alpha1.EventRunSucceeded, v1alpha1.EventRunFailed, v1alpha1.EventRunCancelled}

// All ends arrive once and in order, also those of refused and cancelled runs. Notifications agree with the rows, and
// signatures are valid. Without a webhook there are no notifications.
func TestNotifications(t *testing.T) {
	w := newWorld(t)
	v := w.NewReceiver(false)
	c := w.Controller(w.ReadsSecrets())
	w.Apply(`{apiVersion: v1, kind: Secret, metadata: {name: hook}, stringData: {key: s3cret}}`)
	hook := v1alpha1.Webhook{
		URL: v.URL + "/t0ken-of-the-url", SecretRef: &v1alpha1.SecretKeyRef{Name: "hook", Key: "key"},
	}
	w.applyHooked(
		"dag",
		hook,
		play("a", ""),
		play("b", once("b", "exit 3"), after("a"), retries(1)),
		play("c", "", after("a")),
		play("d", "exit 4", after("b", "c")),
		play("e", "", after("d")),
	)
	w.Start("run", "dag")
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	all := v.Wait("run", 5)
	w.waitSettled("run")
	got := texts(v.Of("run"))
	if got[1] > got[2] {
		got[1], got[2] = got[2], got[1] // b and c end in either order
	}
	if diff := gocmp.Diff([]string{
		"TaskSucceeded a", "TaskSucceeded b", "TaskSucceeded c", "TaskFailed d", "RunFailed",
	}, got); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	for _, n := range all {
		w.checkNotification(n)
	}
	last := all[len(all)-1]
	want := taskCounts{Total: 5, Succeeded: 3, Failed: 1, Skipped: 1}
	if last.Status != "failed" || last.Type != "dagrun" || last.Run.Reason != "TaskFailed" || *last.Run.Tasks != want ||
		last.Task != nil {
		t.Errorf("the end of the run: %s", last.Body)
	}

	value := "x"
	w.Start("refused", "dag", v1alpha1.ParameterValue{Name: "unknown", Value: &value})
	if refused := v.Wait("refused", 1)[0]; refused.String() != "RunFailed" ||
		refused.Run.Reason != "InvalidParameters" {
		t.Errorf("a refused run: %s", refused.Body)
	}
	w.applyHooked("long", v1alpha1.Webhook{URL: v.URL, Events: runEvents},
		play("a", ""), play("b", forever, after("a")))
	w.Start("cancelled", "long")
	w.WaitAttempt("cancelled", "b", 1, "Running")
	w.Cancel("cancelled")
	if cancelled := v.Wait("cancelled", 1)[0]; cancelled.String() != "RunCancelled" ||
		cancelled.Status != "cancelled" || cancelled.Header.Get("Kontroler-Signature") != "" {
		t.Errorf("a cancelled run: %s", cancelled.Body)
	}
	w.ApplyDAG("silent", play("a", ""))
	w.Start("unheard", "silent")
	w.WaitRun("unheard", v1alpha1.RunSucceeded, patience)
	w.waitSettled("cancelled")
	if n := len(w.Notifications()); n != 7 {
		t.Errorf("%d notifications, want 7: %v", n, w.Notifications())
	}
	if strings.Contains(c.Log()+fmt.Sprint(w.Notifications()), "t0ken") || strings.Contains(c.Log(), "s3cret") {
		t.Error("the log contains the token of the URL or the key")
	}
	// Notifications are removed with their run.
	w.Exec(`DELETE FROM kontroler.runs`)
	if left := w.Strings(`SELECT id::text FROM kontroler.notifications`); len(left) > 0 {
		t.Errorf("notifications without a run: %v", left)
	}
}

// checkNotification compares a notification with the rows, and checks its headers.
func (w *world) checkNotification(n notification) {
	w.T.Helper()
	at, err := strconv.ParseInt(n.Header.Get("Kontroler-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > patience {
		w.T.Errorf("timestamp %q", n.Header.Get("Kontroler-Timestamp"))
	}
	is := map[string]string{}
	for _, name := range []string{"Content-Type", "Kontroler-Event", "Kontroler-Delivery", "Kontroler-Signature"} {
		is[name] = n.Header.Get(name)
	}
	want := map[string]string{
		"Content-Type": "application/json", "Kontroler-Event": n.Event,
		"Kontroler-Delivery": n.ID, "Kontroler-Signature": signature("s3cret", n),
	}
	if diff := gocmp.Diff(want, is); diff != "" {
		w.T.Errorf("headers of %s (-want +got):\n%s", n, diff)
	}
	row := w.Run(n.Run.Name)
	if n.DagRunID != row.ID || n.Run.UID != row.UID || n.Namespace != w.Namespace || n.DAG != row.DAG ||
		n.Version != row.Version ||
		n.Controller != w.ControllerID() {
		w.T.Errorf("%s differs from the rows: %s", n, n.Body)
	}
	if n.Task == nil {
		return
	}
	for _, task := range w.Tasks(n.Run.Name) {
		if task.Name != n.TaskName {
			continue
		}
		attempts := w.AttemptsOf(n.Run.Name, task.Name)
		status := map[string]string{"Succeeded": "success", "Failed": "failed"}[task.Phase]
		end := ending{
			Phase:      task.Phase,
			Reason:     task.Reason,
			Message:    task.Message,
			StartedAt:  &task.StartedAt,
			FinishedAt: &task.FinishedAt,
		}
		wanted := endedTask{
			Name:     task.Name,
			Ending:   end,
			Attempts: task.Attempts,
			ExitCode: attempts[len(attempts)-1].ExitCode,
		}
		if diff := gocmp.Diff(&wanted, n.Task, gocmp.AllowUnexported(endedTask{})); diff != "" || n.Status != status ||
			n.Type != "taskrun" {
			w.T.Errorf("%s: status %s (-want +got):\n%s", n, n.Status, diff)
		}
	}
}

// Failed deliveries are recorded and retried: receivers that fail, redirect or have an untrusted certificate, and a
// Secret that is created later. A receiver that hangs does not delay others.
func TestNotificationFailures(t *testing.T) {
	w := newWorld(t)
	v, secure := w.NewReceiver(false), w.NewReceiver(true)
	v.Answer = func(n int, a http.ResponseWriter, r *http.Request) {
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
	w.Controller(w.ReadsSecrets(), flags("--webhook-deny=192.0.2.0/24"))
	hooks := map[string]v1alpha1.Webhook{
		"hang": {URL: v.URL + "/hang"}, "fails": {URL: v.URL + "/fails"},
		"redirects": {URL: v.URL + "/redirects"}, "to-loopback": {URL: v.URL + "/to-loopback"},
		"loopback": {URL: "http://127.0.0.1:1/t0ken"}, "metadata": {URL: "http://169.254.169.254/"},
		"denied": {URL: "http://192.0.2.1/"}, "secure": {URL: secure.URL},
		"untrusted": {URL: secure.URL, VerifySSL: true}, "unverifiable": {URL: v.URL, VerifySSL: true},
		"signed": {URL: v.URL + "/signed", SecretRef: &v1alpha1.SecretKeyRef{Name: "later", Key: "key"}},
	}
	for name, hook := range hooks {
		w.applyHooked(name, hook, play(name, ""))
		w.Start(name, name)
	}
	for run, text := range map[string]string{
		"hang": "no answer within 10 seconds", "fails": "the receiver answered 500",
		"to-loopback": "is refused: loopback", "loopback": "address 127.0.0.1 is refused: loopback",
		"metadata":  "a cloud metadata service",
		"denied":    "address 192.0.2.1 is refused: --webhook-deny has 192.0.2.0/24",
		"untrusted": "failed to verify certificate", "unverifiable": "verifySSL is set",
		"signed": `there is no Secret "later"`,
	} {
		w.waitError(run, text)
	}
	w.Apply(`{apiVersion: v1, kind: Secret, metadata: {name: later}, stringData: {key: s3cret}}`)
	for run, reached := range map[string]*receiver{"fails": v, "redirects": v, "secure": secure, "signed": v} {
		w.waitSettled(run)
		states := w.Strings(`SELECT DISTINCT n.state
FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = $1`, run)
		if len(states) != 1 || states[0] != "Delivered" {
			t.Errorf("%s: %v", run, w.Notifications())
		}
		all := reached.Of(run)
		if last := all[len(all)-1]; last.String() != "RunSucceeded" || last.Run.Phase != "Succeeded" {
			t.Errorf("the last of %s: %s", run, last.Body)
		}
	}
	if all := texts(v.Of("fails")); !strings.HasPrefix(
		fmt.Sprint(all),
		"[TaskSucceeded fails TaskSucceeded fails TaskSucceeded fails RunSucceeded",
	) {
		t.Errorf("a receiver that failed twice has received %v", all)
	}
	if all := v.Of("fails"); string(all[0].Body) != string(all[2].Body) || all[0].ID != all[2].ID {
		t.Errorf("two deliveries differ:\n%s\n%s", all[0].Body, all[2].Body)
	}
	if log := w.Strings(`SELECT d.try || ' ' || coalesce(d.status, 0) || ' ' || d.error || ' ' || d.response
FROM kontroler_v1.deliveries d JOIN kontroler_v1.notifications n ON n.id = d.notification_id
JOIN kontroler_v1.runs r ON r.id = n.run_id WHERE r.name = 'fails' ORDER BY n.id, d.try`); len(log) != 4 ||
		log[0] != "1 500 the receiver answered 500 Internal Server Error not now" ||
		strings.TrimSpace(log[2]) != "3 200" {
		t.Errorf("the deliveries are %q", log)
	}
	w.waitSettled("unverifiable") // parked after the first try, because no retry can succeed
	if received := v.Of("unverifiable"); len(received) > 0 ||
		len(w.Strings(`SELECT id::text FROM kontroler_v1.notifications WHERE state = 'Parked'`)) != 2 {
		t.Errorf("received %v; %v", texts(received), w.Notifications())
	}
	uid := string(w.DAG("unverifiable").UID)
	w.Eventually("the DAG to have an Event for each", patience, func(context.Context) (bool, string) {
		is := strings.Join(w.EventsOf(uid), " ")
		return strings.Count(is, "NotificationParked ×1") == 2, is
	})
}

// Without manifests/components/webhook-secrets, a webhook that is to be signed is not sent, and the delivery says why.
// Others are sent.
func TestWebhookWithoutPermission(t *testing.T) {
	w := newWorld(t)
	v := w.NewReceiver(false)
	w.Controller()
	w.Apply(`{apiVersion: v1, kind: Secret, metadata: {name: hook}, stringData: {key: s3cret}}`)
	w.applyHooked("signed", v1alpha1.Webhook{URL: v.URL, SecretRef: &v1alpha1.SecretKeyRef{Name: "hook", Key: "key"}},
		play("a", ""))
	w.applyHooked("plain", v1alpha1.Webhook{URL: v.URL}, play("a", ""))
	for _, run := range []string{"signed", "plain"} {
		w.Start(run, run)
		w.WaitRun(run, v1alpha1.RunSucceeded, patience)
	}
	w.waitError("signed", `may not read Secret "hook"`)
	v.Wait("plain", 2)
	if all := v.Of("signed"); len(all) > 0 {
		t.Errorf("the receiver has heard %v, which was not signed", texts(all))
	}
}

// A controller is killed around a delivery. Only a delivery that was not recorded is repeated, with the same id and
// body.
func TestNotificationsKilledAt(t *testing.T) {
	t.Parallel()
	for fault, again := range map[string]int{
		"notifications-claimed:1": 0, "notification-sent:1": 1, "notification-noted:1": 0,
	} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			v := w.NewReceiver(false)
			w.applyHooked("dag", v1alpha1.Webhook{URL: v.URL}, play("a", ""), play("b", "", after("a")))
			w.Start(theRun, "dag")
			w.DieAt(fault, nil)
			w.Controller(takeOver)
			w.WaitRun(theRun, v1alpha1.RunSucceeded, patience)
			v.Wait(theRun, 3+again)
			w.waitSettled(theRun)
			want := []string{"TaskSucceeded a", "TaskSucceeded b", "RunSucceeded"}
			if again > 0 {
				want = append([]string{"TaskSucceeded a"}, want...)
			}
			all := v.Of(theRun)
			if diff := gocmp.Diff(want, texts(all)); diff != "" {
				t.Errorf("notifications (-want +got):\n%s", diff)
			}
			if again > 0 && (all[0].ID != all[1].ID || string(all[0].Body) != string(all[1].Body)) {
				t.Errorf("the repeated delivery differs:\n%s\n%s", all[0].Body, all[1].Body)
			}
		})
	}
}

// The example applies, and its notifications are signed with its key.
func TestNotificationExample(t *testing.T) {
	w := newWorld(t)
	v := w.NewReceiver(false)
	w.Controller(w.ReadsSecrets())
	example := harness.Example(t, "webhook.yaml")
	w.Apply(strings.Replace(example, "http://receiver.default.svc:8080", v.URL, 1))
	w.Start("run", "notified")
	n := v.Wait("run", 1)[0]
	if sign := signature("change-me", n); sign != n.Header.Get("Kontroler-Signature") || n.String() != "RunSucceeded" {
		t.Errorf("%s: %v", n.Body, n.Header)
	}
}
