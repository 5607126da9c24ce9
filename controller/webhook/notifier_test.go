package webhook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// outbox is an Outbox in memory.
type outbox struct {
	mu       sync.Mutex
	pending  []pending
	claims   []store.NotificationClaim
	takes    time.Duration // of every claim
	claimErr error         // of every claim
	recorded []recorded
	answers  []error // of RecordDelivery, in turn; then nil
}

// pending is a notification that is due.
type pending struct {
	store.Notification
	dueAt time.Time
}

// recorded is a call of RecordDelivery.
type recorded struct {
	ID       int64
	Delivery store.Delivery
	Retry    time.Time
}

func (o *outbox) Claim(_ context.Context, claim store.NotificationClaim) (
	claimed []store.Notification, next time.Time, err error) {
	time.Sleep(o.takes) // of the bubble's clock
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims = append(o.claims, claim)
	if o.claimErr != nil {
		return nil, time.Time{}, o.claimErr
	}
	o.pending = slices.DeleteFunc(o.pending, func(p pending) bool {
		if p.dueAt.After(claim.Now) {
			if next.IsZero() || p.dueAt.Before(next) {
				next = p.dueAt
			}
			return false
		}
		if len(claimed) == claim.Limit {
			return false
		}
		claimed = append(claimed, p.Notification)
		return true
	})
	return claimed, next, nil
}

func (o *outbox) RecordDelivery(_ context.Context, n store.Notification, d store.Delivery, retry time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recorded = append(o.recorded, recorded{n.ID, d, retry})
	if len(o.answers) == 0 {
		return nil
	}
	err := o.answers[0]
	o.answers = o.answers[1:]
	return err
}

// run runs a Notifier until stop is called. cut ends its deliveries early.
func (w *world) run(t *testing.T) (stop, cut func(), returned <-chan struct{}) {
	ctx, stop := context.WithCancel(t.Context())
	working, cut := context.WithCancel(t.Context())
	done := make(chan struct{})
	w.Now = time.Now
	go func() {
		defer close(done)
		w.Run(ctx, working)
	}()
	t.Cleanup(func() {
		cut()
		stop()
		<-done
	})
	return stop, cut, done
}

// hangs makes a transport that answers when release is called, once for each call, or when the request ends.
func hangs() (receiver transport, release func()) {
	answer := make(chan struct{})
	receiver = func(r *http.Request) (*http.Response, error) {
		select {
		case <-answer:
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return receiver, func() { answer <- struct{}{} }
}

func TestWants(t *testing.T) {
	const url = "http://receiver.example"
	tests := map[string]struct {
		hook *v1alpha1.Webhook
		want bool
	}{
		"no webhook wants nothing":              {},
		"a webhook without a URL wants nothing": {hook: &v1alpha1.Webhook{}},
		"a webhook without events wants all":    {hook: &v1alpha1.Webhook{URL: url}, want: true},
		"a webhook wants the events that it names": {
			hook: &v1alpha1.Webhook{URL: url, Events: []v1alpha1.WebhookEvent{v1alpha1.EventRunFailed}}, want: true,
		},
		"a webhook does not want events that it does not name": {
			hook: &v1alpha1.Webhook{URL: url, Events: []v1alpha1.WebhookEvent{v1alpha1.EventTaskFailed}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Wants(test.hook, v1alpha1.EventRunFailed); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestRunBoundsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver, release := hangs()
		w := newWorld(receiver)
		for id := range int64(40) {
			w.outbox.pending = append(w.outbox.pending, pending{Notification: ended(id, "nightly")})
		}
		w.run(t)
		synctest.Wait()
		if left := len(w.outbox.pending); left != 8 {
			t.Errorf("%d notifications were claimed, want %d", 40-left, maxDeliveries)
		}
		release()
		synctest.Wait()
		if left := len(w.outbox.pending); left != 7 {
			t.Errorf("%d notifications were claimed after a delivery has ended, want %d", 40-left, maxDeliveries+1)
		}
		last := w.outbox.claims[len(w.outbox.claims)-1]
		if last.Limit != 1 || last.PerDAG != maxDeliveriesPerDAG || len(last.Claimed) != maxDeliveries-1 {
			t.Errorf("the last claim has limit %d, %d a DAG, and names %d under way",
				last.Limit, last.PerDAG, len(last.Claimed))
		}
		if took := last.Until.Sub(last.Now); took != claimDuration {
			t.Errorf("the last claim holds for %s, want %s", took, claimDuration)
		}
	})
}

// While few places are free, claims that take long do not follow each delivery. They do if several are free.
func TestRunPausesBetweenClaims(t *testing.T) {
	const takes = 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		receiver, release := hangs()
		w := newWorld(receiver)
		w.outbox.takes = takes
		for id := range int64(60) {
			w.outbox.pending = append(w.outbox.pending, pending{Notification: ended(id, "nightly")})
		}
		w.run(t)
		claims := func(after time.Duration) int {
			time.Sleep(after)
			synctest.Wait()
			w.outbox.mu.Lock()
			defer w.outbox.mu.Unlock()
			return len(w.outbox.claims)
		}
		for _, step := range []struct {
			ended  int // deliveries
			after  time.Duration
			claims int
		}{
			{after: takes, claims: 1},
			{ended: severalPlaces - 1, after: pauseFactor*takes - time.Millisecond, claims: 1},
			{after: takes + 10*time.Millisecond, claims: 2},
			{ended: severalPlaces, after: takes, claims: 3},
		} {
			for range step.ended {
				release()
			}
			if got := claims(step.after); got != step.claims {
				t.Errorf("%d claims after %d deliveries have ended and %s, want %d",
					got, step.ended, step.after, step.claims)
			}
		}
		if left := len(w.outbox.pending); left != 60-maxDeliveries-2*severalPlaces+1 {
			t.Errorf("%d notifications are left", left)
		}
	})
}

func TestRunClaims(t *testing.T) {
	tests := map[string]struct {
		outbox func(o *outbox) // before the start
		then   func(w *world)  // when Run has nothing left to do
		after  time.Duration
		claims int
		want   []int64 // delivered
		failed []string
	}{
		"at the start, after the delivery, then once a minute": {
			outbox: func(o *outbox) { o.pending = []pending{{Notification: ended(1, "nightly")}} },
			after:  150 * time.Second, claims: 4, want: []int64{1},
		},
		"without Wake, for a commit that becomes visible late": {
			then: func(w *world) {
				w.outbox.mu.Lock()
				defer w.outbox.mu.Unlock()
				w.outbox.pending = []pending{{Notification: ended(1, "nightly")}}
			},
			after: 61 * time.Second, claims: 3, want: []int64{1},
		},
		"after Wake": {
			then: func(w *world) {
				w.outbox.pending = []pending{{Notification: ended(1, "nightly")}}
				w.Wake()
			},
			after: time.Second, claims: 3, want: []int64{1},
		},
		"when a notification is due, and not before": {
			outbox: func(o *outbox) {
				o.pending = []pending{{Notification: ended(1, "nightly"), dueAt: time.Now().Add(10 * time.Minute)}}
			},
			after: 10*time.Minute + time.Second, claims: 3, want: []int64{1},
		},
		"again every second while the database is unavailable": {
			outbox: func(o *outbox) { o.claimErr = store.ErrUnavailable },
			after:  1500 * time.Millisecond, claims: 2,
			failed: []string{store.ErrUnavailable.Error(), store.ErrUnavailable.Error()},
		},
		"again every second after an error, which is reported": {
			outbox: func(o *outbox) { o.claimErr = errors.New("broken") },
			after:  1500 * time.Millisecond, claims: 2, failed: []string{"broken", "broken"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(answers(200, ""))
				if test.outbox != nil {
					test.outbox(w.outbox)
				}
				w.run(t)
				synctest.Wait()
				if test.then != nil {
					test.then(w)
				}
				time.Sleep(test.after) // of the bubble's clock
				synctest.Wait()
				var delivered []int64
				for _, r := range w.outbox.recorded {
					delivered = append(delivered, r.ID)
				}
				if diff := cmp.Diff(test.want, delivered); diff != "" {
					t.Errorf("delivered (-want +got):\n%s", diff)
				}
				if got := len(w.outbox.claims); got != test.claims {
					t.Errorf("%d claims, want %d", got, test.claims)
				}
				if diff := cmp.Diff(test.failed, w.failed); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// At the end of a term, Run stops claiming and waits for deliveries, until their context ends.
func TestRunEnds(t *testing.T) {
	tests := map[string]struct {
		end      func(release, cut func())
		recorded int
	}{
		"a delivery under way is recorded":             {end: func(release, _ func()) { release() }, recorded: 1},
		"a delivery that is cut short is not recorded": {end: func(_, cut func()) { cut() }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver, release := hangs()
				w := newWorld(receiver)
				w.outbox.pending = []pending{{Notification: ended(1, "nightly")}}
				stop, cut, returned := w.run(t)
				synctest.Wait()
				stop()
				w.outbox.pending = []pending{{Notification: ended(2, "nightly")}}
				w.Wake()
				synctest.Wait()
				select {
				case <-returned:
					t.Error("Run has returned during a delivery")
				default:
				}
				test.end(release, cut)
				<-returned
				if got := len(w.outbox.recorded); got != test.recorded {
					t.Errorf("%d deliveries are recorded, want %d", got, test.recorded)
				}
				if len(w.outbox.pending) != 1 {
					t.Error("a notification was claimed after the end")
				}
			})
		})
	}
}

func TestRunSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(answers(200, ""))
		w.Webhook = func(context.Context, int64) (*v1alpha1.Webhook, error) { panic("no such version") }
		w.outbox.pending = []pending{{Notification: ended(1, "nightly")}}
		w.run(t)
		synctest.Wait()
		if len(w.failed) != 1 || !strings.Contains(w.failed[0], "no such version") {
			t.Errorf("errors: %v", w.failed)
		}
		if got := len(w.outbox.claims); got != 2 {
			t.Errorf("%d claims, want another one after the panic", got)
		}
	})
}
