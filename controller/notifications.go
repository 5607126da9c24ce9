package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/controller/webhook"
	"kontroler/store"
)

const (
	// sendsAtOnce bounds what is sent at once, sendsPerDAG what is of one DAG: its receiver may hang.
	sendsAtOnce = 32
	sendsPerDAG = 4
	// secretTimeout bounds the read of a Secret, which comes before a send.
	secretTimeout = 5 * time.Second
	// sendLease is longer than read, send and note take; a claim whose leader died is free after it.
	sendLease = secretTimeout + webhook.Timeout + 15*time.Second
)

// wants reports whether a webhook, or none, is to be told of an event.
func wants(w *v1alpha1.Webhook, event v1alpha1.WebhookEvent) bool {
	return w != nil && w.URL != "" && (len(w.Events) == 0 || slices.Contains(w.Events, event))
}

// wakeNotifications: some may have been written.
func (t *term) wakeNotifications() {
	select {
	case t.notifications <- struct{}{}:
	default:
	}
}

// sendNotifications claims what is due and sends it, until ctx ends; then it waits for what is under way, until working
// ends. It looks when something was written, when something is due, and when a send has made room; never else.
func (t *term) sendNotifications(ctx, working context.Context) {
	var sends sync.WaitGroup
	defer sends.Wait()
	done := make(chan int64, sendsAtOnce)
	underWay := map[int64]store.Notification{}
	for {
		var next time.Time
		if len(underWay) < sendsAtOnce {
			next = t.claimNotifications(ctx, underWay, func(n store.Notification) {
				sends.Go(func() {
					defer func() { done <- n.ID }()
					if err := queue.Guard(n.ID, func() error { return t.deliver(working, n) }); err != nil {
						t.failed(err)
					}
				})
			})
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(min(max(next.Sub(t.now()), 0)+time.Millisecond, queue.MaxSleep))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.notifications:
		case <-due:
		case id := <-done:
			delete(underWay, id)
		}
		for len(done) > 0 {
			delete(underWay, <-done)
		}
	}
}

// claimNotifications sends what it claims, and returns when to look again at the latest.
func (t *term) claimNotifications(ctx context.Context, underWay map[int64]store.Notification, send func(store.Notification)) (next time.Time) {
	now := t.now()
	claim := store.NotificationClaim{Now: now, Until: now.Add(sendLease), Limit: sendsAtOnce - len(underWay), PerDAG: sendsPerDAG}
	for _, n := range underWay {
		claim.Claimed = append(claim.Claimed, n)
	}
	claimed, next, err := t.db.ClaimNotifications(ctx, claim)
	if err != nil {
		if ctx.Err() == nil && !store.IsUnavailable(err) {
			t.failed(err)
		}
		return now.Add(time.Second)
	}
	if len(claimed) > 0 {
		fault.Point("notifications-claimed")
	}
	for _, n := range claimed {
		underWay[n.ID] = n
		send(n)
	}
	return next
}

// deliver sends a notification and notes how that went. What is not noted is sent again: by the next leader, or by this
// one when the claim has ended.
func (t *term) deliver(ctx context.Context, n store.Notification) error {
	began := t.now()
	answer := t.send(ctx, n)
	if ctx.Err() != nil {
		return nil // cut short: that is no answer
	}
	fault.Point("notification-sent")
	ended := t.now()
	d := store.Delivery{At: began, Status: answer.Status, Response: answer.Text, Duration: max(ended.Sub(began), 0)}
	var retry time.Time
	result := "delivered"
	if answer.Err != nil {
		d.Error, result = text.Shorten(answer.Err.Error(), 1024), "parked"
		if !answer.Final {
			retry = webhook.Retry(n.CreatedAt, ended, n.Try)
		}
		if !retry.IsZero() {
			result = "failed"
		}
	}
	for err := t.db.NoteDelivery(ctx, n, d, retry); err != nil; err = t.db.NoteDelivery(ctx, n, d, retry) {
		if !store.IsUnavailable(err) && !errors.Is(err, store.ErrUnknownCommit) {
			return err
		}
		if !wait.For(ctx, time.Second) {
			return nil
		}
	}
	fault.Point("notification-noted")
	t.Metrics.Delivery(result)
	if result == "parked" {
		t.tellParked(n, d.Error)
	}
	return nil
}

// tellParked says that a notification was given up: to the log, and to the DAG whose webhook it is for.
func (t *term) tellParked(n store.Notification, why string) {
	t.Log.Warn("a notification was not delivered and is parked", "namespace", n.Run.Namespace, "dag", n.Run.DAGName, "run", n.Run.Name,
		"event", n.Event, "notification", n.ID, "tries", n.Try, "error", why)
	if d, there := t.dagSource.Get(cache.NewObjectName(n.Run.Namespace, n.Run.DAGName)); there {
		t.events.Event(d, corev1.EventTypeWarning, "NotificationParked",
			text.Shorten(fmt.Sprintf("%s of DagRun %s was not delivered, tries: %d, the last: %s", n.Event, n.Run.Name, n.Try, why), 1024))
	}
}

// send sends a notification to the webhook of its run's version.
func (t *term) send(ctx context.Context, n store.Notification) webhook.Answer {
	graph, err := t.graph(ctx, n.Run.VersionID)
	if err != nil {
		return webhook.Answer{Err: err}
	}
	hook := graph.Spec().Webhook
	if hook == nil {
		return webhook.Answer{Err: errors.New("the version of its DAG has no webhook")}
	}
	payload := t.payload(n)
	body, err := json.Marshal(payload)
	if err != nil {
		return webhook.Answer{Err: fmt.Errorf("encoding the notification: %w", err)}
	}
	at := t.now().Unix()
	header := http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"Kontroler"},
		"Kontroler-Event": {n.Event}, "Kontroler-Delivery": {payload.ID}, "Kontroler-Timestamp": {strconv.FormatInt(at, 10)},
	}
	if hook.SecretRef != nil {
		key, err := t.signingKey(ctx, n.Run.Namespace, hook.SecretRef)
		if err != nil {
			return webhook.Answer{Err: err}
		}
		header.Set("Kontroler-Signature", webhook.Sign(key, at, body))
	}
	return t.webhooks.Send(ctx, webhook.Request{URL: hook.URL, VerifySSL: hook.VerifySSL, Header: header, Body: body})
}

// signingKey reads the key live; it is kept no longer than the send.
func (t *term) signingKey(ctx context.Context, namespace string, ref *v1alpha1.SecretKeyRef) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	secret, err := t.Kube.CoreV1().Secrets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("not sent: there is no Secret %q to sign with (spec.webhook.secretRef)", ref.Name)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("not sent: the controller may not read Secret %q to sign with (spec.webhook.secretRef): grant it get on secrets in namespace %q", ref.Name, namespace)
	case err != nil:
		return nil, fmt.Errorf("not sent: reading Secret %q to sign with: %w", ref.Name, err)
	case len(secret.Data[ref.Key]) == 0:
		return nil, fmt.Errorf("not sent: Secret %q to sign with (spec.webhook.secretRef) has nothing under key %q", ref.Name, ref.Key)
	}
	return secret.Data[ref.Key], nil
}

// payload is what is told of an ending. It follows from rows that change no more: every try says the same.
func (t *term) payload(n store.Notification) webhook.Payload {
	r := n.Run
	p := webhook.Payload{
		Type: "dagrun", Status: "success", DagRunID: r.ID, Event: n.Event, Time: n.CreatedAt, Controller: t.ID,
		Namespace: r.Namespace, DAG: r.DAGName, Version: r.VersionNumber, Run: webhook.Run{Name: r.Name, UID: r.UID},
	}
	switch v1alpha1.WebhookEvent(n.Event) {
	case v1alpha1.EventTaskFailed, v1alpha1.EventRunFailed:
		p.Status = "failed"
	case v1alpha1.EventRunCancelled:
		p.Status = "cancelled"
	}
	if task := n.Task; task != nil {
		p.Type, p.TaskName, p.TaskID = "taskrun", task.Name, task.ID
		p.ID = webhook.ID(t.ID, r.UID, n.Event, task.Name, task.Index)
		p.Task = &webhook.Task{
			Name: task.Name, Phase: task.Phase, Reason: task.Reason, Message: text.Shorten(task.Message, maxNotified), Attempts: task.Attempts,
			ExitCode: task.ExitCode, StartedAt: timeOf(task.StartedAt), FinishedAt: timeOf(task.FinishedAt),
		}
		return p
	}
	p.ID = webhook.ID(t.ID, r.UID, n.Event, "", 0)
	p.Run.Phase, p.Run.Reason, p.Run.Message = r.Phase, r.Reason, text.Shorten(r.Message, maxNotified)
	p.Run.StartedAt, p.Run.FinishedAt = timeOf(r.StartedAt), timeOf(r.FinishedAt)
	p.Run.Tasks = &webhook.Counts{
		Total: r.Counts.Total, Succeeded: r.Counts.Succeeded, Failed: r.Counts.Failed, Skipped: r.Counts.Skipped, Cancelled: r.Counts.Cancelled,
	}
	return p
}

// maxNotified bounds a message in a notification, in bytes.
const maxNotified = 4096

// timeOf is a time that may be none.
func timeOf(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
