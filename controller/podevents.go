package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/names"
	"kontroler/controller/pod"
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// podEventsEvery is how long an Event waits for others at most, podEventsBatch how many are written at once.
	podEventsEvery = time.Second
	podEventsBatch = 500
	// podEventsWaiting is how many wait for the database at most. Then the API server keeps the rest: they are listed again.
	podEventsWaiting = 5000
	// podEventsHeld is how many Events of Pods that are not known are held, and for how long: they may be ahead of the watch
	// of the Pods.
	podEventsHeld = 1000
	podEventsHold = 5 * time.Second
	// podsRemembered is how many Pods that are gone are remembered at least: Events come late.
	podsRemembered = 5000
	// podEventsPage is how many Events a list brings at once: no more of the cluster's are in memory.
	podEventsPage = 500
	// podEventsRetry and podEventsRetryMax are between two attempts to read the Events of a namespace.
	podEventsRetry, podEventsRetryMax = time.Second, time.Minute
)

// podEvents are Events on their way from the API server to the database. Those of other Pods, which may be many more, are
// dismissed by name and UID. All of it may be lost: the next list brings what the API server still has, and what is kept
// already counts once.
type podEvents struct {
	// live finds a Pod that the cache has.
	live func(types.UID) (store.Pod, bool)
	// noted is told of each Event of a Pod of this controller's.
	noted func(store.Pod, *store.PodEvent)
	// due is told when a batch is full.
	due chan struct{}

	mu sync.Mutex
	// recent and older are the Pods that are gone, or were before this term. When recent is full it becomes older.
	recent, older map[types.UID]store.Pod
	// waiting is what to write, by its text, in the order in which it came.
	waiting map[store.PodEvent]store.PodEvent
	order   []store.PodEvent
	held    []heldEvent
}

// heldEvent is an Event of a Pod that is not known.
type heldEvent struct {
	pod   types.UID
	event store.PodEvent
	until time.Time
}

func newPodEvents(live func(types.UID) (store.Pod, bool), noted func(store.Pod, *store.PodEvent)) *podEvents {
	return &podEvents{live: live, noted: noted, due: make(chan struct{}, 1), recent: map[types.UID]store.Pod{}, waiting: map[store.PodEvent]store.PodEvent{}}
}

// remember keeps a Pod in mind that is gone.
func (p *podEvents) remember(pods ...store.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pod := range pods {
		if len(p.recent) >= podsRemembered {
			p.recent, p.older = map[types.UID]store.Pod{}, p.recent
		}
		p.recent[types.UID(pod.UID)] = pod
	}
}

// pod finds the Pod with this UID, if it is one of this controller's.
func (p *podEvents) pod(uid types.UID) (store.Pod, bool) {
	if pod, ok := p.live(uid); ok {
		return pod, true
	}
	if pod, ok := p.recent[uid]; ok {
		return pod, true
	}
	pod, ok := p.older[uid]
	return pod, ok
}

// see takes in an Event. false: there is no room, it must be shown again.
func (p *podEvents) see(e *corev1.Event, now time.Time) bool {
	about := &e.InvolvedObject
	if about.UID == "" || !names.IsDerived(about.Name) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pod, known := p.pod(about.UID)
	if !known {
		if len(p.held) == podEventsHeld {
			p.held = p.held[1:]
		}
		p.held = append(p.held, heldEvent{pod: about.UID, event: podEvent(e), until: now.Add(podEventsHold)})
		return true
	}
	if p.full() {
		return false
	}
	event := podEvent(e)
	event.Pod = pod
	p.noted(pod, &event)
	p.add(event)
	return true
}

func (p *podEvents) full() bool { return len(p.order) >= podEventsWaiting }

// add puts an Event with those that say the same.
func (p *podEvents) add(e store.PodEvent) {
	text := e
	text.Count, text.FirstAt, text.LastAt = 0, time.Time{}, time.Time{}
	if other, ok := p.waiting[text]; ok {
		e.Count, e.FirstAt = max(e.Count, other.Count), earlier(e.FirstAt, other.FirstAt)
		if other.LastAt.After(e.LastAt) {
			e.LastAt = other.LastAt
		}
	} else {
		p.order = append(p.order, text)
	}
	p.waiting[text] = e
	if len(p.order) >= podEventsBatch {
		select {
		case p.due <- struct{}{}:
		default:
		}
	}
}

// settle takes in the held Events whose Pod is known by now, and dismisses those that were held for long.
func (p *podEvents) settle(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held []heldEvent
	for _, h := range p.held {
		pod, known := p.pod(h.pod)
		switch {
		case known && !p.full():
			h.event.Pod = pod
			p.noted(pod, &h.event)
			p.add(h.event)
		case known || now.Before(h.until):
			held = append(held, h)
		}
	}
	p.held = held
}

// take takes the longest waiting Events, at most a batch.
func (p *podEvents) take() []store.PodEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.order), podEventsBatch)
	batch := make([]store.PodEvent, n)
	for i, text := range p.order[:n] {
		batch[i] = p.waiting[text]
		delete(p.waiting, text)
	}
	p.order = append([]store.PodEvent(nil), p.order[n:]...)
	return batch
}

// restore gives back what could not be written: a batch more than otherwise may wait.
func (p *podEvents) restore(batch []store.PodEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range batch {
		p.add(e)
	}
}

// podEvent is what an Event says, but for whose Pod it is. Its two forms count and tell the time differently.
func podEvent(e *corev1.Event) store.PodEvent {
	kept := store.PodEvent{
		Type: text.Clean(e.Type), Reason: text.Clean(e.Reason), Message: text.Clean(e.Message), Source: text.Clean(e.Source.Component),
		Count: max(1, e.Count), FirstAt: sane(e.FirstTimestamp), LastAt: sane(e.LastTimestamp),
	}
	if kept.Source == "" {
		kept.Source = text.Clean(e.ReportingController)
	}
	if _, field, ok := strings.Cut(e.InvolvedObject.FieldPath, "ontainers{"); ok {
		kept.Container = text.Clean(strings.TrimSuffix(field, "}"))
	}
	kept.FirstAt = earlier(kept.FirstAt, sane(metav1.Time(e.EventTime)))
	if kept.FirstAt.IsZero() {
		kept.FirstAt = earlier(sane(e.CreationTimestamp), kept.LastAt)
	}
	if series := e.Series; series != nil {
		kept.Count = max(kept.Count, series.Count)
		if last := sane(metav1.Time(series.LastObservedTime)); last.After(kept.LastAt) {
			kept.LastAt = last
		}
	}
	if kept.LastAt.Before(kept.FirstAt) {
		kept.LastAt = kept.FirstAt
	}
	return kept
}

// sane is a time that anybody may have written; zero where PostgreSQL or a reader may not take it.
func sane(t metav1.Time) time.Time {
	if t.Year() > 9999 {
		return time.Time{}
	}
	return kube.UTC(t)
}

// livePod finds a Pod of this controller in the cache.
func (c *Controller) livePod(uid types.UID) (store.Pod, bool) {
	for _, pod := range c.podSource.By(byUID, string(uid)) {
		return c.attemptPod(pod)
	}
	return store.Pod{}, false
}

// attemptPod names a Pod that this controller made.
func (c *Controller) attemptPod(p *corev1.Pod) (store.Pod, bool) {
	run, ok := pod.RunUID(p)
	return store.Pod{UID: string(p.UID), RunUID: run, Name: p.Name}, ok && pod.BelongsTo(p, c.ID, run)
}

// keepPodEvents brings the Events of this term's Pods to the database until ctx ends. The Pods of the newest attempts are
// known from the start: a Pod may have gone between its last Event and the write of that, as after a crash.
func (t *term) keepPodEvents(ctx context.Context) {
	pods, err := t.db.RecentPods(ctx, podsRemembered)
	for ; err != nil; pods, err = t.db.RecentPods(ctx, podsRemembered) {
		if !t.podEventsFailed(ctx, err) {
			return
		}
	}
	t.podEvents.remember(pods...)
	var readers sync.WaitGroup
	defer readers.Wait()
	for _, namespace := range t.namespaces() {
		readers.Go(func() { t.readPodEvents(ctx, namespace) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.podEvents.due:
		case <-time.After(podEventsEvery):
		}
		t.podEvents.settle(t.now())
		for t.writePodEvents(ctx) {
		}
	}
}

// writePodEvents writes one batch; more reports that another one is full.
func (t *term) writePodEvents(ctx context.Context) (more bool) {
	batch := t.podEvents.take()
	if len(batch) == 0 {
		return false
	}
	fault.Point("pod-events-keep")
	kept, err := t.db.KeepPodEvents(ctx, batch)
	switch {
	case err == nil:
		fault.Point("pod-events-kept")
		t.Metrics.PodEvents("kept", kept)
		return len(batch) == podEventsBatch
	case errors.Is(err, store.ErrRejected):
		t.Metrics.PodEvents("dropped", len(batch))
	default:
		t.podEvents.restore(batch)
	}
	t.podEventsFailed(ctx, err)
	return false
}

// podEventsFailed tells of an error, unless others do, as of a database that is away, and waits before the next try; false:
// the term ends.
func (t *term) podEventsFailed(ctx context.Context, err error) bool {
	switch {
	case errors.Is(err, store.ErrFenced):
		t.fail(err)
	case ctx.Err() == nil && !store.IsUnavailable(err):
		t.Log.Warn("keeping Events of Pods: tried again", "error", err)
	}
	return wait.For(ctx, podEventsRetry)
}

// readPodEvents reads the Events of a namespace's Pods until ctx ends: those that are there, then each that comes. When the
// watch breaks, or what it shows has no room, it begins anew.
func (t *term) readPodEvents(ctx context.Context, namespace string) {
	for retry := podEventsRetry; ; retry = min(2*retry, podEventsRetryMax) {
		began := time.Now()
		version, err := t.listPodEvents(ctx, namespace)
		for err == nil {
			version, err = t.watchPodEvents(ctx, namespace, version)
		}
		if time.Since(began) > podEventsRetryMax {
			retry = podEventsRetry
		}
		if ctx.Err() == nil && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) && !errors.Is(err, errNoRoom) {
			t.Log.Warn("reading Events of Pods: tried again", "namespace", namespace, "error", err, "in", retry)
		}
		if !wait.For(ctx, retry) {
			return
		}
	}
}

var errNoRoom = errors.New("the database takes no Events")

// ofPods selects the Events of Pods.
const ofPods = "involvedObject.kind=Pod"

// listPodEvents shows page by page what there is, and returns from where to watch. It waits for the database.
func (t *term) listPodEvents(ctx context.Context, namespace string) (version string, err error) {
	options := metav1.ListOptions{FieldSelector: ofPods, Limit: podEventsPage}
	for {
		page, err := t.Kube.CoreV1().Events(namespace).List(ctx, options)
		if err != nil {
			return "", fmt.Errorf("listing Events: %w", err)
		}
		for i := range page.Items {
			for !t.podEvents.see(&page.Items[i], t.now()) {
				if !wait.For(ctx, podEventsEvery) {
					return "", ctx.Err()
				}
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return page.ResourceVersion, nil
		}
	}
}

// watchPodEvents shows what comes after a version until the API server ends the watch, and returns the version to go on
// from.
func (t *term) watchPodEvents(ctx context.Context, namespace, version string) (string, error) {
	seconds := 300 + rand.Int64N(300)
	w, err := t.Kube.CoreV1().Events(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: ofPods, ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return "", fmt.Errorf("watching Events: %w", err)
	}
	defer w.Stop()
	for change := range w.ResultChan() {
		event, ok := change.Object.(*corev1.Event)
		if !ok {
			return "", fmt.Errorf("watching Events: %w", apierrors.FromObject(change.Object))
		}
		if (change.Type == watch.Added || change.Type == watch.Modified) && !t.podEvents.see(event, t.now()) {
			return "", errNoRoom
		}
		version = event.ResourceVersion
	}
	if !wait.For(ctx, podEventsRetry) {
		return "", ctx.Err()
	}
	return version, nil
}
