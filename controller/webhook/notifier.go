package webhook

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/queue"
	"kontroler/store"
)

const (
	// maxDeliveries bounds the deliveries that are under way.
	maxDeliveries = 32
	// maxDeliveriesPerDAG bounds those of one DAG. A receiver that hangs does not delay the notifications of other
	// DAGs.
	maxDeliveriesPerDAG = 4
	// claimDuration is longer than a delivery takes: the read of a Secret, the request, and its record. The claims of a
	// leader that died expire.
	claimDuration = secretTimeout + sendTimeout + 15*time.Second
	// A claim costs the same for one notification as for many, and more if notifications of many DAGs are due. While
	// fewer than severalPlaces deliveries more may run, Run therefore pauses before the next claim, for pauseFactor
	// times the duration of the last one, but at most for maxPause.
	severalPlaces, pauseFactor, maxPause = maxDeliveries / 4, 4, time.Second
	// idleClaim is how often notifications are claimed even if none is known to be due. A commit whose answer was lost
	// may become visible after the claim that Wake caused.
	idleClaim = time.Minute
)

// Outbox holds the notifications. *store.Outbox implements it.
type Outbox interface {
	// Claim claims notifications that are due. next is when it should be called again at the latest; zero
	// means that nothing is due later.
	Claim(ctx context.Context, claim store.NotificationClaim) (
		claimed []store.Notification, next time.Time, err error)
	// RecordDelivery records a delivery of a claimed notification. A delivery with an error is repeated at retry; a
	// zero retry parks the notification.
	RecordDelivery(ctx context.Context, n store.Notification, d store.Delivery, retry time.Time) error
}

// Metrics counts deliveries. *metrics.Metrics implements it.
type Metrics interface {
	// Delivery is called for each delivery that is recorded. The result is delivered, failed (the delivery will be
	// repeated) or parked.
	Delivery(result string)
}

// Config is what a Notifier needs. All fields but Guard are required.
type Config struct {
	Outbox Outbox
	// Kube reads the Secrets that requests are signed with.
	Kube kubernetes.Interface
	// ControllerID is part of each notification.
	ControllerID string
	// Guard refuses addresses. The zero Guard refuses those that are always refused.
	Guard Guard
	// Webhook returns the webhook of a stored DAG version, or nil if the version has none.
	Webhook func(ctx context.Context, versionID int64) (*v1alpha1.Webhook, error)
	// DAG returns a DAG, for Events.
	DAG    func(name cache.ObjectName) (*v1alpha1.DAG, bool)
	Events record.EventRecorder
	// Now is the database's time, which decides what is due.
	Now func() time.Time
	// Failed is called with each error of the outbox before the work is retried.
	Failed  func(error)
	Metrics Metrics
	Log     *slog.Logger
}

// Notifier delivers the notifications of the outbox during one term of leadership.
type Notifier struct {
	Config
	sender *sender
	// wake has an element if notifications may have been written since the last claim.
	wake chan struct{}
}

// New makes a Notifier. Run starts it.
func New(cfg Config) *Notifier {
	return &Notifier{Config: cfg, sender: newSender(cfg.Guard), wake: make(chan struct{}, 1)}
}

// Wants reports whether a webhook subscribes to an event. A nil webhook does not.
func Wants(w *v1alpha1.Webhook, event v1alpha1.WebhookEvent) bool {
	return w != nil && w.URL != "" && (len(w.Events) == 0 || slices.Contains(w.Events, event))
}

// Wake makes Run claim new notifications. It must be called after one is written. It does not block.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run claims due notifications and delivers them, until ctx ends. It then waits for the deliveries that are running.
// The end of working cancels them, and they are not recorded.
//
// Run claims at its start, after Wake, when a delivery has ended, when a notification is due, and once a minute. While
// only few more deliveries may run, it pauses between claims.
func (n *Notifier) Run(ctx, working context.Context) {
	var deliveries sync.WaitGroup
	defer deliveries.Wait()
	done := make(chan int64, maxDeliveries)
	underWay := map[int64]store.Notification{}
	var resume time.Time // the end of the pause
	for {
		var next time.Time
		if free := maxDeliveries - len(underWay); free >= severalPlaces || free > 0 && !time.Now().Before(resume) {
			began := time.Now()
			var claimed []store.Notification
			claimed, next = n.claim(ctx, underWay)
			resume = time.Now().Add(min(pauseFactor*time.Since(began), maxPause))
			for _, notification := range claimed {
				underWay[notification.ID] = notification
				deliveries.Go(func() {
					defer func() { done <- notification.ID }()
					err := queue.Guard(notification.ID, func() error { return n.deliver(working, notification) })
					if err != nil {
						n.Failed(err)
					}
				})
			}
		} else if free > 0 {
			next = n.Now().Add(time.Until(resume))
		}
		if !n.await(ctx, next, done, underWay) {
			return
		}
	}
}

// await blocks until next, Wake or the end of a delivery, which it removes from underWay. A zero next means never. It
// returns false when ctx ends. It reads the clock every second, because the clock may be set.
func (n *Notifier) await(
	ctx context.Context, next time.Time, done <-chan int64, underWay map[int64]store.Notification,
) bool {
	for {
		var clock <-chan time.Time
		if !next.IsZero() {
			clock = time.After(min(max(next.Sub(n.Now()), 0)+time.Millisecond, queue.MaxSleep))
		}
		select {
		case <-ctx.Done():
			return false
		case <-n.wake:
			return true
		case id := <-done:
			delete(underWay, id)
			for len(done) > 0 {
				delete(underWay, <-done)
			}
			return true
		case <-clock:
			if !n.Now().Before(next) {
				return true
			}
		}
	}
}

// claim claims as many notifications as may be delivered in addition to those in underWay. next is when the next claim
// is due at the latest.
func (n *Notifier) claim(ctx context.Context, underWay map[int64]store.Notification) (
	claimed []store.Notification, next time.Time) {
	now := n.Now()
	claim := store.NotificationClaim{
		Now: now, Until: now.Add(claimDuration), Limit: maxDeliveries - len(underWay), PerDAG: maxDeliveriesPerDAG,
	}
	for _, notification := range underWay {
		claim.Claimed = append(claim.Claimed, notification)
	}
	claimed, next, err := n.Outbox.Claim(ctx, claim)
	if err != nil {
		if ctx.Err() == nil {
			n.Failed(err)
		}
		return nil, now.Add(time.Second)
	}
	if len(claimed) > 0 {
		fault.Point("notifications-claimed")
	}
	if next.IsZero() {
		next = now.Add(idleClaim)
	}
	return claimed, next
}
