package logs_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/logs"
	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

// start is when containers start, finish when their attempts end.
var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	finish = start.Add(5 * time.Second)
)

// line is a line of a log as a kubelet serves it, written so many seconds and a half after the start.
func line(second int, text string) string {
	return fmt.Sprintf("2026-03-01T12:00:%02d.5Z %s\n", second, text)
}

// answer is what the kubelet answers to one request for a log.
type answer struct {
	status int // 0: 200
	body   string
	breaks bool // the connection breaks after the body
	hangs  bool // the answer goes on until the client ends it
	// meanwhile changes the cached Pod before the answer ends.
	meanwhile func(*corev1.Pod)
}

// What an answer may change meanwhile.
func terminate(p *corev1.Pod) {
	ended := &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(start), FinishedAt: metav1.NewTime(finish)}
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: ended}
}

func markDeleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: start} }

func terminateDeleted(p *corev1.Pod) {
	terminate(p)
	markDeleted(p)
}

// pods is a cache of Pods.
type pods struct {
	onGet func()

	mu     sync.Mutex
	then   func() // is called once, between a lookup and its answer
	byName map[cache.ObjectName]*corev1.Pod
}

func newPods() *pods { return &pods{byName: map[cache.ObjectName]*corev1.Pod{}} }

func (c *pods) Get(name cache.ObjectName) (*corev1.Pod, bool) {
	if c.onGet != nil {
		c.onGet()
	}
	c.mu.Lock()
	p, ok := c.byName[name]
	then := c.then
	c.then = nil
	c.mu.Unlock()
	if then != nil {
		then()
	}
	return p, ok
}

// afterNextGet calls then after the next lookup, before it answers.
func (c *pods) afterNextGet(then func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.then = then
}

func (c *pods) remove(p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byName, cache.MetaObjectToName(p))
}

func (c *pods) set(p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName[cache.MetaObjectToName(p)] = p
}

// metrics records what a Keeper counts.
type metrics struct {
	kept    atomic.Pointer[string]
	streams atomic.Int64
}

func (m *metrics) LogKept(state string, _ int) { m.kept.Store(&state) }
func (m *metrics) LogStreams(n int)            { m.streams.Store(int64(n)) }

// database is a database with a leader.
type database struct {
	leader  *store.Leader
	views   *view.DB
	version store.Version
	runs    atomic.Int64
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	url := storetest.URL(t)
	views, err := view.Open(view.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { views.Close() })
	d := &database{leader: storetest.Lead(t, storetest.Open(t, url)), views: views}
	dag, spec := store.DAG{Namespace: "default", Name: "d", UID: uid(0), CreatedAt: start}, []byte(`{"task": []}`)
	if d.version, err = d.leader.DAGs.SaveVersion(t.Context(), dag, spec, [32]byte{1}, 1, start); err != nil {
		t.Fatal(err)
	}
	return d
}

func uid(n int64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// clock is the time of a world. It moves on by the delays that the Keeper asks for.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	delay time.Duration // what the Pod was enqueued after, since the clock moved on last
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) enqueueAfter(_ cache.ObjectName, delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = delay
}

// moveOn moves the clock on by the delay, and returns it.
func (c *clock) moveOn() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	delay := c.delay
	c.now, c.delay = c.now.Add(delay), 0
	return delay
}

// kubelet answers requests for logs from a script. The last answer is repeated.
type kubelet struct {
	pods      *pods
	answering chan struct{} // has an element for each request

	mu       sync.Mutex
	script   []answer
	requests []*http.Request
}

func (k *kubelet) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	k.mu.Lock()
	answer := k.script[min(len(k.requests), len(k.script)-1)]
	k.requests = append(k.requests, request)
	k.mu.Unlock()
	if answer.status != 0 {
		response.WriteHeader(answer.status)
	}
	_, _ = io.WriteString(response, answer.body)
	if answer.hangs || answer.breaks {
		_ = http.NewResponseController(response).Flush()
	}
	k.answering <- struct{}{}
	if answer.meanwhile != nil {
		cached, _ := k.pods.Get(cache.NewObjectName("default", "p"))
		changed := cached.DeepCopy()
		answer.meanwhile(changed)
		k.pods.set(changed)
	}
	if answer.hangs {
		<-request.Context().Done()
	}
	if answer.breaks {
		panic(http.ErrAbortHandler)
	}
}

// since returns the sinceTime of each request.
func (k *kubelet) since() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var since []string
	for _, request := range k.requests {
		since = append(since, request.URL.Query().Get("sinceTime"))
	}
	return since
}

// world is a Keeper, a run of one attempt in a database, and a kubelet.
type world struct {
	*testing.T
	*database
	*kubelet
	clock
	keeper    *logs.Keeper
	policy    v1alpha1.LogPolicy
	policyErr error
	onPolicy  func()
	attempt   store.Attempt
	metrics   *metrics
	enqueued  chan cache.ObjectName
	failures  chan error
}

// newWorld makes a Keeper whose streams run until the test ends.
func newWorld(t *testing.T, d *database, limit int64, script ...answer) *world {
	t.Helper()
	n := d.runs.Add(1)
	w := &world{
		T: t, database: d, clock: clock{now: start}, metrics: &metrics{}, enqueued: make(chan cache.ObjectName, 100),
		failures: make(chan error, 100),
		kubelet:  &kubelet{pods: newPods(), answering: make(chan struct{}, 100), script: script},
		attempt:  store.Attempt{ID: n, StartedAt: start, FinishedAt: finish},
	}
	_, err := d.leader.Admit(t.Context(), store.NewRun{
		UID: w.runUID(), Namespace: "default", Name: fmt.Sprint("r", n), CreatedAt: start, AdmittedAt: start,
		DAGName: "d", DAGID: d.version.DAGID, VersionID: d.version.ID,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.kubelet)
	t.Cleanup(server.Close)
	kube := kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL, QPS: -1})
	w.keeper = logs.New(logs.Config{
		Kube: kube.CoreV1(), Logs: d.leader.Logs, CachedPod: w.pods.Get, Limit: limit,
		Policy: func(context.Context, int64) (v1alpha1.LogPolicy, error) {
			if w.onPolicy != nil {
				w.onPolicy()
			}
			return w.policy, w.policyErr
		},
		Enqueue: func(pod cache.ObjectName) { w.enqueued <- pod }, EnqueueAfter: w.enqueueAfter,
		Failed: func(err error) { w.failures <- err },
		Now:    w.Now, Metrics: w.metrics, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.keeper.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		for len(w.failures) > 0 {
			t.Error(<-w.failures)
		}
	})
	return w
}

// runUID is the UID of the run.
func (w *world) runUID() string { return uid(w.attempt.ID) }

// pod is the Pod of the attempt, whose container runs.
func (w *world) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: types.UID(w.runUID())}}
	p.Spec.NodeName = "n"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.TaskContainer, State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(start)},
	}}}
	return p
}

// endedPod is the Pod of the attempt, whose container has ended.
func (w *world) endedPod() *corev1.Pod {
	p := w.pod()
	terminate(p)
	return p
}

// awaitRequest waits until the kubelet answers a request.
func (w *world) awaitRequest() {
	w.Helper()
	select {
	case <-w.answering:
	case <-time.After(time.Minute):
		w.Fatal("the kubelet got no request in a minute")
	}
}

// awaitStream waits until a stream is done.
func (w *world) awaitStream() {
	w.Helper()
	select {
	case <-w.enqueued:
	case <-time.After(time.Minute):
		w.Fatal("no stream is done after a minute")
	}
}

// keep keeps the log of the Pod until nothing is left to do. Each time that the Pod is enqueued again, the clock moves
// on by the delay. keep returns the sum of the delays.
func (w *world) keep(p *corev1.Pod) (waited time.Duration) {
	w.Helper()
	for {
		done, err := w.keeper.Keep(w.Context(), p, w.runUID(), w.attempt)
		if err != nil {
			w.Fatal(err)
		}
		if done {
			return waited
		}
		delay := w.moveOn()
		if delay <= 0 {
			w.Fatal("the log is not stored, and its Pod is not enqueued again")
		}
		waited += delay
	}
}

// storedLog is what is stored of a log.
type storedLog struct {
	State, Message, Content string
	Rotated, Incomplete     bool
}

// stored reads the log of the attempt. It is zero if there is none.
func (w *world) stored() storedLog {
	w.Helper()
	row, found, err := w.views.Log(w.Context(), view.Attempt{ID: w.attempt.ID, FinishedAt: w.attempt.FinishedAt})
	if err != nil {
		w.Fatal(err)
	}
	if !found {
		return storedLog{}
	}
	var packed bytes.Buffer
	for n := range row.Chunks {
		chunk, err := w.views.LogChunk(w.Context(), row, n)
		if err != nil {
			w.Fatal(err)
		}
		packed.Write(chunk)
	}
	var content []byte
	if packed.Len() > 0 {
		unpacked, err := gzip.NewReader(&packed)
		if err != nil {
			w.Fatal(err)
		}
		if content, err = io.ReadAll(unpacked); err != nil {
			w.Fatal(err)
		}
	}
	if kept := w.metrics.kept.Load(); kept == nil || *kept != row.State {
		w.Errorf("a log that is %s was counted as %v", row.State, kept)
	}
	return storedLog{
		State: row.State, Message: row.Message, Content: string(content),
		Rotated: row.IsRotated, Incomplete: row.IsIncomplete,
	}
}

// follow opens the stream of a Pod whose DAG has its logs followed.
func (w *world) follow(p *corev1.Pod) {
	w.pods.set(p)
	w.keeper.Follow(v1alpha1.LogsFollow, p.Namespace, slices.Values([]string{p.Name}))
}
