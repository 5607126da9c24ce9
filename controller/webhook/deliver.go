package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// secretTimeout bounds the read of a Secret before a request.
	secretTimeout = 5 * time.Second
	// maxError bounds the error of a delivery and the message of an Event, in bytes.
	maxError = text.MaxBytes
	// retryFor is how long after the end of its task or run a notification is retried.
	retryFor = 24 * time.Hour
	// firstDelay is the time between the first try and the second. It doubles from try to try.
	firstDelay = 2 * time.Second
	// minTries is how often a notification is tried even if retryFor has passed, for example because it waited for its
	// predecessor.
	minTries = 5
)

// deliver sends a notification and records the delivery. If ctx ends first, it records nothing. The notification is
// then delivered again after its claim has expired, or by the next leader.
func (n *Notifier) deliver(ctx context.Context, notification store.Notification) error {
	began := n.Now()
	answer := n.send(ctx, notification)
	if ctx.Err() != nil {
		return nil // the error comes from ctx and not from the receiver
	}
	fault.Point("notification-sent")
	ended := n.Now()
	d := store.Delivery{At: began, Status: answer.status, Response: answer.text, Duration: max(ended.Sub(began), 0)}
	var retry time.Time
	result := "delivered"
	if answer.err != nil {
		d.Error, result = text.Shorten(answer.err.Error(), maxError), "parked"
		if !answer.isFinal {
			retry = retryAt(notification.CreatedAt, ended, notification.Try)
		}
		if !retry.IsZero() {
			result = "failed"
		}
	}
	isRecorded, err := n.record(ctx, notification, d, retry)
	if err != nil || !isRecorded {
		return err
	}
	fault.Point("notification-noted")
	n.Metrics.Delivery(result)
	if result == "parked" {
		n.reportParked(notification, d.Error)
	}
	return nil
}

// record records a delivery. While the database is unavailable it retries, until ctx ends.
func (n *Notifier) record(ctx context.Context, notification store.Notification, d store.Delivery, retry time.Time) (
	isRecorded bool, err error) {
	for {
		err := n.Outbox.RecordDelivery(ctx, notification, d, retry)
		if err == nil {
			return true, nil
		}
		if !store.IsUnavailable(err) && !errors.Is(err, store.ErrUnknownCommit) {
			return false, err
		}
		if store.IsUnavailable(err) && ctx.Err() == nil {
			n.Failed(err)
		}
		if !wait.For(ctx, time.Second) {
			return false, nil
		}
	}
}

// retryAt returns when a notification is sent again after a try that failed at now. Zero means never. ended is when the
// task or run ended. try counts from 1.
func retryAt(ended, now time.Time, try int) time.Time {
	last := ended.Add(retryFor)
	if !now.Before(last) && try >= minTries {
		return time.Time{}
	}
	next := now.Add(retryFor)
	if try < 17 { // 2 s doubled 16 times is more than a day
		next = now.Add(firstDelay << (try - 1))
	}
	if next.After(last) && try >= minTries {
		return last
	}
	return next
}

// reportParked reports a parked notification in the log and in an Event of its DAG.
func (n *Notifier) reportParked(notification store.Notification, lastError string) {
	run := notification.Run
	n.Log.Warn("notification was not delivered and is parked", "namespace", run.Namespace, "dag", run.DAGName,
		"run", run.Name, "event", notification.Event, "notification", notification.ID, "tries", notification.Try,
		"error", lastError)
	if d, exists := n.DAG(cache.NewObjectName(run.Namespace, run.DAGName)); exists {
		message := fmt.Sprintf("%s of DagRun %s was not delivered (tries: %d). Last error: %s",
			notification.Event, run.Name, notification.Try, lastError)
		n.Events.Event(d, corev1.EventTypeWarning, "NotificationParked", text.Shorten(message, maxError))
	}
}

// send sends a notification to the webhook of its run's DAG version.
func (n *Notifier) send(ctx context.Context, notification store.Notification) answer {
	hook, err := n.Webhook(ctx, notification.Run.VersionID)
	if err != nil {
		return answer{err: err}
	}
	if hook == nil {
		return answer{err: errors.New("the DAG version of the run has no webhook")}
	}
	p := newPayload(n.ControllerID, notification)
	body, err := json.Marshal(p)
	if err != nil {
		return answer{err: fmt.Errorf("encoding the notification: %w", err)}
	}
	timestamp := n.Now().Unix()
	header := http.Header{
		"Content-Type":        {"application/json"},
		"User-Agent":          {"Kontroler"},
		"Kontroler-Event":     {notification.Event},
		"Kontroler-Delivery":  {p.ID},
		"Kontroler-Timestamp": {strconv.FormatInt(timestamp, 10)},
	}
	if hook.SecretRef != nil {
		key, err := n.signingKey(ctx, notification.Run.Namespace, hook.SecretRef)
		if err != nil {
			return answer{err: fmt.Errorf("not sent: %w", err)}
		}
		header.Set("Kontroler-Signature", sign(key, timestamp, body))
	}
	return n.sender.send(ctx, request{url: hook.URL, verifySSL: hook.VerifySSL, header: header, body: body})
}

// signingKey reads the key that signs a request. It is read for each request and never stored.
func (n *Notifier) signingKey(ctx context.Context, namespace string, ref *v1alpha1.SecretKeyRef) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTimeout)
	defer cancel()
	secret, err := n.Kube.CoreV1().Secrets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Secret %q to sign with (spec.webhook.secretRef)", ref.Name)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("the controller may not read Secret %q to sign with (spec.webhook.secretRef). "+
			"Install it with manifests/components/webhook-secrets, or grant it get on secrets in namespace %q",
			ref.Name, namespace)
	case err != nil:
		return nil, fmt.Errorf("reading Secret %q to sign with: %w", ref.Name, err)
	case len(secret.Data[ref.Key]) == 0:
		return nil, fmt.Errorf("there is no value for key %q in Secret %q to sign with (spec.webhook.secretRef)",
			ref.Key, ref.Name)
	}
	return secret.Data[ref.Key], nil
}
