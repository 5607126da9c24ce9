package podevents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

const (
	controllerID = "c1"
	runUID       = "01234567-89ab-cdef-0123-456789abcdef"
	podName      = "run-task-abcdefghi7"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// eventOf is an Event of a Pod, at a number of seconds past noon.
func eventOf(podUID types.UID, message string, second int) *corev1.Event {
	at := metav1.NewTime(noon.Add(time.Duration(second) * time.Second))
	return &corev1.Event{
		InvolvedObject: corev1.ObjectReference{Name: podName, UID: podUID},
		Type:           "Normal", Reason: "R", Message: message, Count: 1, FirstTimestamp: at, LastTimestamp: at,
	}
}

// waitingPod is a Pod of the controller whose container has not started.
func waitingPod(uid types.UID) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: podName, UID: uid,
			Labels: map[string]string{v1alpha1.LabelController: controllerID, v1alpha1.LabelRun: runUID},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DagRun", UID: runUID, Controller: new(true),
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

// runningPod is a Pod of the controller whose container has started.
func runningPod(uid types.UID) *corev1.Pod {
	p := waitingPod(uid)
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: v1alpha1.TaskContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}
	return p
}

// fixture is a Keeper with everything it talks to.
type fixture struct {
	*Keeper
	api      *fakeAPI
	cached   map[types.UID]*corev1.Pod
	enqueued []string
	fenced   int
	failed   []string // the other errors of the database
	endTerm  func()
	dropped  int
	log      recorder
}

func newFixture(api *fakeAPI, database *fakeDatabase, cached ...*corev1.Pod) *fixture {
	f := &fixture{api: api, cached: map[types.UID]*corev1.Pod{}}
	f.log.Handler = slog.DiscardHandler
	for _, p := range cached {
		f.cached[p.UID] = p
	}
	f.Keeper = New(Config{
		Events: api, Database: database, ControllerID: controllerID, Namespaces: []string{"n"}, Metrics: f,
		CachedPod: func(uid types.UID) (*corev1.Pod, bool) { p, ok := f.cached[uid]; return p, ok },
		Enqueue:   func(runUID, podName string) { f.enqueued = append(f.enqueued, runUID+" "+podName) },
		Failed: func(err error) {
			if errors.Is(err, store.ErrFenced) {
				f.fenced++
				f.endTerm()
				return
			}
			f.failed = append(f.failed, err.Error())
		},
		Now: time.Now,
		Log: slog.New(&f.log),
	})
	return f
}

// recorder records the messages of a log.
type recorder struct {
	slog.Handler
	messages []string
}

// Enabled reports that every level is recorded.
func (*recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle records a message.
func (r *recorder) Handle(_ context.Context, line slog.Record) error {
	r.messages = append(r.messages, line.Message)
	return nil
}

func (f *fixture) PodEvents(result string, n int) {
	if result == "dropped" {
		f.dropped += n
	}
}

// fakeDatabase fails as often as there are errors.
type fakeDatabase struct {
	recent                    []store.Pod
	recentErrors, storeErrors []error
	stored                    []string // the messages
	largestBatch, attempts    int
}

func (d *fakeDatabase) RecentPods(context.Context, int) ([]store.Pod, error) {
	return d.recent, next(&d.recentErrors)
}

func (d *fakeDatabase) Save(_ context.Context, events []store.PodEvent) (int, error) {
	d.attempts++
	if err := next(&d.storeErrors); err != nil {
		return 0, err
	}
	for _, e := range events {
		d.stored = append(d.stored, e.Message)
	}
	d.largestBatch = max(d.largestBatch, len(events))
	return len(events), nil
}

// next removes and returns the first of some values; none is left: zero.
func next[T any](values *[]T) T {
	var first T
	if len(*values) > 0 {
		first, *values = (*values)[0], (*values)[1:]
	}
	return first
}

// answer is what the API server says to a list or a watch.
type answer struct {
	err error
	// Of a list: its Events, and the token of the next page.
	items              []corev1.Event
	version, pageAfter string
	// Of a watch, which then ends.
	changes []watch.Event
}

// fakeAPI is an API server. When it has given its answers, a list is empty and a watch stays open.
type fakeAPI struct {
	corev1client.EventInterface
	answers []answer

	mu       sync.Mutex
	began    time.Time
	requests []string // each with the time since the first one
}

func (a *fakeAPI) Events(string) corev1client.EventInterface { return a }

// request records a request and returns its answer; known is false when there is none.
func (a *fakeAPI) request(format string, args ...any) (_ answer, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = time.Now()
	}
	a.requests = append(a.requests, fmt.Sprintf("%s "+format, append([]any{time.Since(a.began)}, args...)...))
	known = len(a.answers) > 0
	return next(&a.answers), known
}

func (a *fakeAPI) List(_ context.Context, options metav1.ListOptions) (*corev1.EventList, error) {
	page, _ := a.request("list %q", options.Continue)
	return &corev1.EventList{
		ListMeta: metav1.ListMeta{ResourceVersion: page.version, Continue: page.pageAfter}, Items: page.items,
	}, page.err
}

func (a *fakeAPI) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	answer, known := a.request("watch %q", options.ResourceVersion)
	w := watch.NewFakeWithChanSize(len(answer.changes), false)
	for _, change := range answer.changes {
		w.Action(change.Type, change.Object)
	}
	if known {
		w.Stop()
	} else {
		context.AfterFunc(ctx, w.Stop)
	}
	return w, answer.err
}

// messagesOf are the messages of Events.
func messagesOf(events []store.PodEvent) []string {
	var messages []string
	for _, e := range events {
		messages = append(messages, e.Message)
	}
	return messages
}

// drain takes everything that waits.
func (b *backlog) drain() []store.PodEvent {
	var all []store.PodEvent
	for batch := b.take(); len(batch) > 0; batch = b.take() {
		all = append(all, batch...)
	}
	return all
}
