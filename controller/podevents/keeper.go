package podevents

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/lru"

	"kontroler/controller/pod"
	"kontroler/store"
)

// Database stores Events. *store.PodEvents implements it.
type Database interface {
	// RecentPods returns the Pods of the newest attempts, at most limit of them.
	RecentPods(ctx context.Context, limit int) ([]store.Pod, error)
	// Save stores Events and returns how many said something new. Storing an Event again is harmless.
	Save(ctx context.Context, events []store.PodEvent) (kept int, err error)
}

// Metrics counts Events. *metrics.Metrics implements it.
type Metrics interface {
	// PodEvents adds n Events with a result: kept or dropped.
	PodEvents(result string, n int)
}

// Config is what a Keeper needs. All fields are required.
type Config struct {
	Events   corev1client.EventsGetter
	Database Database
	// ControllerID is the id by which the controller labels its Pods.
	ControllerID string
	// Namespaces whose Events are read; metav1.NamespaceAll reads all.
	Namespaces []string
	// CachedPod returns the Pod with a UID from the cache of Pods.
	CachedPod func(types.UID) (*corev1.Pod, bool)
	// Enqueue enqueues a run because an Event changes why its Pod does not start.
	Enqueue func(runUID, podName string)
	// Failed is called with each error of the database before the work is retried.
	Failed  func(error)
	Now     func() time.Time
	Metrics Metrics
	Log     *slog.Logger
}

// Keeper stores the Events of a controller's Pods, for one term of leadership.
type Keeper struct {
	cfg     Config
	backlog *backlog
	// gone has the store.Pod of the latest Pods that no longer exist, by UID. Their Events may arrive after them.
	gone   *lru.Cache
	starts *startEvents
}

// New makes a Keeper. Run starts it.
func New(cfg Config) *Keeper {
	k := &Keeper{cfg: cfg, gone: lru.New(2 * recentPods), starts: newStartEvents()}
	k.backlog = newBacklog(k.find)
	return k
}

// Run reads and stores Events until ctx ends. It first loads the Pods of the newest attempts: a Pod may have been
// deleted before its last Events were stored, for example while no controller ran.
func (k *Keeper) Run(ctx context.Context) {
	if !k.loadRecentPods(ctx) {
		return
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	for _, namespace := range k.cfg.Namespaces {
		readers.Go(func() { k.read(ctx, namespace) })
	}
	k.write(ctx)
}

// Newest returns the newest Event about the start of a Pod. The zero value means that none is known, or that the Pod's
// container has started.
func (k *Keeper) Newest(podUID types.UID) pod.StartEvent { return k.starts.newest(podUID) }

// Started forgets the start of a Pod whose container has started.
func (k *Keeper) Started(podUID types.UID) { k.starts.forget(podUID) }

// Gone records that a Pod no longer exists. Events that still arrive are stored with its attempt.
func (k *Keeper) Gone(p *corev1.Pod) {
	k.starts.forget(p.UID)
	if named, isOurs := k.attemptPod(p); isOurs {
		k.gone.Add(p.UID, named)
	}
}

// find returns the Pod with a UID if this controller created it.
func (k *Keeper) find(uid types.UID) (store.Pod, bool) {
	if cached, ok := k.cfg.CachedPod(uid); ok {
		if named, isOurs := k.attemptPod(cached); isOurs {
			return named, true
		}
	}
	if gone, ok := k.gone.Get(uid); ok {
		return gone.(store.Pod), true
	}
	return store.Pod{}, false
}

// attemptPod names a Pod for the database if this controller created it.
func (k *Keeper) attemptPod(p *corev1.Pod) (named store.Pod, isOurs bool) {
	runUID, hasRun := pod.RunUID(p)
	named = store.Pod{UID: string(p.UID), RunUID: runUID, Name: p.Name}
	return named, hasRun && pod.BelongsTo(p, k.cfg.ControllerID, runUID)
}

// take puts an Event on the backlog. It returns false if the backlog is full.
func (k *Keeper) take(e *corev1.Event) (accepted bool) {
	matched, accepted := k.backlog.offer(e, k.cfg.Now())
	if matched != nil {
		k.noteStart(matched)
	}
	return accepted
}

// noteStart remembers an Event about the start of a Pod. If the Event changes why the Pod does not start, noteStart
// enqueues the run, so that its status shows the reason.
func (k *Keeper) noteStart(e *store.PodEvent) {
	uid := types.UID(e.Pod.UID)
	if !k.isStarting(uid) {
		return
	}
	changesReason := k.starts.note(e)
	if !k.isStarting(uid) {
		k.starts.forget(uid) // the Pod started, or is gone, since it was checked
		return
	}
	if changesReason {
		k.cfg.Enqueue(e.Pod.RunUID, e.Pod.Name)
	}
}

// isStarting reports whether a Pod exists and its container has not started.
func (k *Keeper) isStarting(uid types.UID) bool {
	cached, ok := k.cfg.CachedPod(uid)
	return ok && !pod.HasStarted(cached)
}
