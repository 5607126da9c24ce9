package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// now is the time of the clock at the start of each test.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// transport answers requests in place of a receiver.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answers makes a transport that gives the same answer to every request.
func answers(status int, body string) transport {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

// world is a Notifier with everything around it.
type world struct {
	*Notifier
	outbox *outbox
	kube   *fake.Clientset
	events *record.FakeRecorder

	mu      sync.Mutex
	results []string // of the metrics
	failed  []string // errors
}

// newWorld makes a Notifier whose receiver answers by a transport. DAG "nightly" of namespace "team" exists.
func newWorld(receiver transport) *world {
	w := &world{outbox: &outbox{}, kube: fake.NewClientset(), events: record.NewFakeRecorder(10)}
	w.Notifier = New(Config{
		Outbox: w.outbox, Kube: w.kube, ControllerID: "c1", Events: w.events, Metrics: w,
		Log: slog.New(slog.DiscardHandler),
		Webhook: func(context.Context, int64) (*v1alpha1.Webhook, error) {
			return &v1alpha1.Webhook{URL: "http://receiver.example/hook"}, nil
		},
		DAG: func(name cache.ObjectName) (*v1alpha1.DAG, bool) {
			return &v1alpha1.DAG{}, name == cache.NewObjectName("team", "nightly")
		},
		Now:    func() time.Time { return now },
		Failed: func(err error) { w.append(&w.failed, err.Error()) },
	})
	w.sender = &sender{verifying: receiver, trusting: receiver}
	return w
}

// Delivery implements Metrics.
func (w *world) Delivery(result string) { w.append(&w.results, result) }

// append adds to one of the lists, because several deliveries run at a time.
func (w *world) append(list *[]string, item string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, item)
}

// ended makes the notification of a run of DAG "nightly" that has succeeded.
func ended(id int64, dag string) store.Notification {
	return store.Notification{
		ID: id, Event: "RunSucceeded", Try: 1, CreatedAt: now.Add(-time.Second),
		Run: store.Run{
			RunKey:  store.RunKey{ID: 7, UID: "run-uid", Namespace: "team", Name: "nightly-1"},
			DAGName: dag, VersionID: 40, VersionNumber: 4, Phase: "Succeeded",
		},
	}
}

func TestDeliver(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	signed := &v1alpha1.Webhook{
		URL: "http://receiver.example/hook", SecretRef: &v1alpha1.SecretKeyRef{Name: "hook", Key: "key"},
	}
	const whereTo = "to sign with (spec.webhook.secretRef)"
	tests := map[string]struct {
		receiver transport
		change   func(*world, *store.Notification)
		want     recorded
		result   string
		event    string
	}{
		"a status of 2xx is a delivery": {
			receiver: answers(204, ""),
			want:     recorded{Delivery: store.Delivery{Status: 204}}, result: "delivered",
		},
		"after another status the notification is retried": {
			receiver: answers(500, "not now\n"),
			want: recorded{
				Delivery: store.Delivery{
					Status: 500, Error: "the receiver answered 500 Internal Server Error", Response: "not now",
				},
				Retry: now.Add(2 * time.Second),
			},
			result: "failed",
		},
		"a day after the end of the run the notification is parked": {
			receiver: answers(500, ""),
			change:   func(_ *world, n *store.Notification) { n.CreatedAt, n.Try = now.Add(-24*time.Hour), 17 },
			want: recorded{
				Delivery: store.Delivery{Status: 500, Error: "the receiver answered 500 Internal Server Error"},
			},
			result: "parked",
			event: "Warning NotificationParked RunSucceeded of DagRun nightly-1 was not delivered (tries: 17). " +
				"Last error: the receiver answered 500 Internal Server Error",
		},
		"a parked notification of a DAG that no longer exists has no Event": {
			receiver: answers(500, ""),
			change: func(_ *world, n *store.Notification) {
				n.CreatedAt, n.Try, n.Run.DAGName = now.Add(-24*time.Hour), 17, "gone"
			},
			want: recorded{
				Delivery: store.Delivery{Status: 500, Error: "the receiver answered 500 Internal Server Error"},
			},
			result: "parked",
		},
		"a notification that can never be delivered is parked": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) {
					return &v1alpha1.Webhook{URL: "ftp://receiver.example"}, nil
				}
			},
			want: recorded{Delivery: store.Delivery{
				Error: "the URL, or one that it redirects to, is neither http nor https",
			}},
			result: "parked",
			event: "Warning NotificationParked RunSucceeded of DagRun nightly-1 was not delivered (tries: 1). " +
				"Last error: the URL, or one that it redirects to, is neither http nor https",
		},
		"a version that cannot be read is read again": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) {
					return nil, errors.New("no version")
				}
			},
			want:   recorded{Delivery: store.Delivery{Error: "no version"}, Retry: now.Add(2 * time.Second)},
			result: "failed",
		},
		"a version without a webhook is an error": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) { return nil, nil }
			},
			want: recorded{
				Delivery: store.Delivery{Error: "the DAG version of the run has no webhook"},
				Retry:    now.Add(2 * time.Second),
			},
			result: "failed",
		},
		"nothing is sent without the Secret that signs": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) { return signed, nil }
			},
			want: recorded{
				Delivery: store.Delivery{Error: `not sent: there is no Secret "hook" ` + whereTo},
				Retry:    now.Add(2 * time.Second),
			},
			result: "failed",
		},
		"nothing is sent without permission to read the Secret": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) { return signed, nil }
				w.kube.PrependReactor("get", "secrets", func(k8stesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(secrets, "hook", nil)
				})
			},
			want: recorded{
				Delivery: store.Delivery{Error: `not sent: the controller may not read Secret "hook" ` + whereTo +
					". Install it with manifests/components/webhook-secrets, " +
					`or grant it get on secrets in namespace "team"`},
				Retry: now.Add(2 * time.Second),
			},
			result: "failed",
		},
		"nothing is sent without the key in the Secret": {
			receiver: answers(204, ""),
			change: func(w *world, _ *store.Notification) {
				w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) { return signed, nil }
				_ = w.kube.Tracker().Add(newSecret(map[string][]byte{"other": []byte("x"), "key": {}}))
			},
			want: recorded{
				Delivery: store.Delivery{
					Error: `not sent: there is no value for key "key" in Secret "hook" ` + whereTo,
				},
				Retry: now.Add(2 * time.Second),
			},
			result: "failed",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w, n := newWorld(test.receiver), ended(1, "nightly")
			if test.change != nil {
				test.change(w, &n)
			}
			if err := w.deliver(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			test.want.ID, test.want.Delivery.At = 1, now
			if diff := cmp.Diff([]recorded{test.want}, w.outbox.recorded); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{test.result}, w.results); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			event := ""
			if len(w.events.Events) > 0 {
				event = <-w.events.Events
			}
			if diff := cmp.Diff(test.event, event); diff != "" {
				t.Errorf("Event (-want +got):\n%s", diff)
			}
		})
	}
}

func newSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "hook"}, Data: data}
}

// The request carries what README.md promises to receivers.
func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	w := newWorld(func(r *http.Request) (*http.Response, error) {
		var err error
		got = r
		body, err = io.ReadAll(r.Body)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, err
	})
	_ = w.kube.Tracker().Add(newSecret(map[string][]byte{"key": []byte("s3cret")}))
	var version int64
	w.Webhook = func(_ context.Context, id int64) (*v1alpha1.Webhook, error) {
		version = id
		return &v1alpha1.Webhook{
			URL: "http://receiver.example/hook?a=b", SecretRef: &v1alpha1.SecretKeyRef{Name: "hook", Key: "key"},
		}, nil
	}
	if err := w.deliver(t.Context(), ended(1, "nightly")); err != nil {
		t.Fatal(err)
	}
	if version != 40 || got.Method != http.MethodPost || got.URL.String() != "http://receiver.example/hook?a=b" {
		t.Errorf("%s %s of version %d", got.Method, got.URL, version)
	}
	want := http.Header{
		"Content-Type":        {"application/json"},
		"User-Agent":          {"Kontroler"},
		"Kontroler-Event":     {"RunSucceeded"},
		"Kontroler-Delivery":  {notificationID("c1", "run-uid", "RunSucceeded", "", 0)},
		"Kontroler-Timestamp": {"1767323045"},
		"Kontroler-Signature": {sign([]byte("s3cret"), 1767323045, body)},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// A delivery is recorded even if the database does not answer for a while.
func TestRecord(t *testing.T) {
	rejected := errors.New("rejected")
	tests := map[string]struct {
		answers    []error // of the outbox, in turn; then nil
		cancelAt   time.Duration
		tries      int
		reports    int
		isRecorded bool
		err        error
	}{
		"a record that the outbox accepts is written once": {tries: 1, isRecorded: true},
		"a record is retried every second while the outbox does not answer": {
			answers: []error{store.ErrUnavailable, store.ErrUnavailable}, tries: 3, reports: 2, isRecorded: true,
		},
		"a commit with an unknown outcome is repeated": {
			answers: []error{store.ErrUnknownCommit}, tries: 2, isRecorded: true,
		},
		"another error is returned": {answers: []error{rejected}, tries: 1, err: rejected},
		"the end of the context ends the tries": {
			answers:  []error{store.ErrUnavailable, store.ErrUnavailable, store.ErrUnavailable},
			cancelAt: 1500 * time.Millisecond, tries: 2, reports: 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(answers(204, ""))
				w.outbox.answers = test.answers
				ctx := t.Context()
				if test.cancelAt != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.cancelAt)
					defer cancel()
				}
				isRecorded, err := w.record(ctx, ended(1, "nightly"), store.Delivery{}, time.Time{})
				if isRecorded != test.isRecorded || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("recorded %v, %v; want %v, %v", isRecorded, err, test.isRecorded, test.err)
				}
				if got := len(w.outbox.recorded); got != test.tries {
					t.Errorf("%d records were tried, want %d", got, test.tries)
				}
				if got := len(w.failed); got != test.reports {
					t.Errorf("%d errors are reported, want %d: %v", got, test.reports, w.failed)
				}
			})
		})
	}
}

func TestRetryAt(t *testing.T) {
	tests := map[string]struct {
		firstTry time.Duration // after the end of the task or run
		want     []int         // seconds after the end at which the notification is tried, if every try fails at once
	}{
		"the delay doubles for a day": {
			want: []int{0, 2, 6, 14, 30, 62, 126, 254, 510, 1022, 2046, 4094, 8190, 16382, 32766, 65534, 86400},
		},
		"a notification whose turn comes after a day has five tries": {
			firstTry: 25 * time.Hour, want: []int{90000, 90002, 90006, 90014, 90030},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var got []int
			for at, try := end.Add(test.firstTry), 1; !at.IsZero(); at, try = retryAt(end, at, try), try+1 {
				got = append(got, int(at.Sub(end).Seconds()))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("tries (-want +got):\n%s", diff)
			}
		})
	}
}
