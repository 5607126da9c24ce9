package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/informer/informertest"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

const (
	mine   = "c1"
	dagUID = types.UID("d0000000-0000-0000-0000-000000000000")
)

// now is the time of the clock in each test.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a Cleaner with caches, an API server and a database around it.
type world struct {
	*Cleaner
	api     *apiServer
	history *history
	counted map[string]int // by the metrics
	failed  []string       // errors
	log     strings.Builder
}

// newWorld makes a Cleaner whose caches hold these objects.
func newWorld(t *testing.T, dags []*v1alpha1.DAG, runs []*v1alpha1.DagRun, pods []*corev1.Pod) *world {
	t.Helper()
	w := &world{api: &apiServer{}, history: &history{}, counted: map[string]int{}}
	server := httptest.NewServer(w.api)
	t.Cleanup(server.Close)
	var dagList v1alpha1.DAGList
	for _, d := range dags {
		dagList.Items = append(dagList.Items, *d)
	}
	var runList v1alpha1.DagRunList
	for _, run := range runs {
		runList.Items = append(runList.Items, *run)
	}
	var podList corev1.PodList
	for _, p := range pods {
		podList.Items = append(podList.Items, *p)
	}
	w.Cleaner = New(Config{
		Client:  versioned.NewForConfigOrDie(&rest.Config{Host: server.URL, QPS: -1}),
		History: w.history,
		DAGs:    fill[*v1alpha1.DAG](t, &dagList, cache.Indexers{}),
		DagRuns: fill[*v1alpha1.DagRun](t, &runList, cache.Indexers{
			informer.ByUID: informer.IndexUID,
			informer.ByDAG: by(func(run *v1alpha1.DagRun) string { return run.Namespace + "/" + run.Spec.DagName }),
			informer.BySchedule: by(func(run *v1alpha1.DagRun) string {
				if owner := run.ScheduleOwner(); owner != nil {
					return string(owner.UID)
				}
				return ""
			}),
		}),
		Pods: fill[*corev1.Pod](t, &podList, cache.Indexers{
			informer.ByRun: by(func(p *corev1.Pod) string { return p.Labels[v1alpha1.LabelRun] }),
		}),
		ControllerID: mine, HistoryRetention: time.Hour, Metrics: w,
		Now:    func() time.Time { return now },
		Failed: func(err error) { w.failed = append(w.failed, err.Error()) },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	t.Cleanup(w.ShutDown)
	return w
}

// SyncDone implements Metrics.
func (w *world) SyncDone(string, time.Duration, error) {}

// QueueDepth implements Metrics.
func (w *world) QueueDepth(string, int) {}

// DagRunDeleted implements Metrics.
func (w *world) DagRunDeleted(by string) { w.counted["deleted by "+by]++ }

// HistoryRemoved implements Metrics.
func (w *world) HistoryRemoved(kind string, n int) { w.counted[kind] += n }

// by makes an index of objects by one value. An empty value indexes nothing.
func by[T any](value func(T) string) cache.IndexFunc {
	return func(obj any) ([]string, error) {
		if v := value(obj.(T)); v != "" {
			return []string{v}, nil
		}
		return nil, nil
	}
}

// fill makes a cache that holds the objects of a list.
func fill[T informer.Object, L runtime.Object](t *testing.T, list L, indexers cache.Indexers) *informer.Set[T] {
	t.Helper()
	set := &informer.Set[T]{}
	informer.AddTo(set, informertest.Client(list), "", func(obj any) (any, error) { return obj, nil }, indexers)
	informertest.Run(t, set)
	return set
}

// apiServer takes deletions of DagRuns.
type apiServer struct {
	mu      sync.Mutex
	status  int      // of the answers; 0 means 200
	denied  string   // the name of a DagRun whose deletion is forbidden
	deleted []string // "namespace/name UID propagation"
	seen    chan struct{}
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var options metav1.DeleteOptions
	if err := json.NewDecoder(r.Body).Decode(&options); err != nil || r.Method != http.MethodDelete {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	namespace, name := path.Base(path.Dir(path.Dir(r.URL.Path))), path.Base(r.URL.Path)
	s.deleted = append(s.deleted, fmt.Sprintf("%s/%s %s %s",
		namespace, name, *options.Preconditions.UID, *options.PropagationPolicy))
	if s.seen != nil {
		close(s.seen)
		s.seen = nil
	}
	reasons := map[int]metav1.StatusReason{
		http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonConflict,
		http.StatusForbidden: metav1.StatusReasonForbidden,
	}
	code := s.status
	if name == s.denied {
		code = http.StatusForbidden
	}
	answer := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}
	if code != 0 {
		answer.Status, answer.Code, answer.Reason = metav1.StatusFailure, int32(code), reasons[code]
		answer.Message = "no"
	}
	w.Header().Set("Content-Type", "application/json")
	if code != 0 {
		w.WriteHeader(code)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// history is a History in memory.
type history struct {
	isNeeded  bool // by the database
	err       error
	failsOnce bool            // with err, which is of all calls otherwise
	calls     []string        // of Trim and TrimChanges
	removed   []store.Removed // by the batches of each call
	spared    []string        // UIDs that were asked for
	sparing   map[string]bool
}

func (h *history) IsRunOver(context.Context, string, string, string) (bool, error) {
	return !h.isNeeded, h.err
}

func (h *history) Trim(_ context.Context, r store.Retention) error { return h.trim("history", r) }

func (h *history) TrimChanges(_ context.Context, r store.Retention) error {
	return h.trim("changes", r)
}

func (h *history) trim(what string, r store.Retention) error {
	if machine := time.Now(); machine.Sub(r.Now).Abs() > time.Minute {
		return fmt.Errorf("the time is %s, want that of the machine, %s", r.Now, machine)
	}
	h.calls = append(h.calls, fmt.Sprintf("%s older than %s", what, r.Keep))
	for _, uid := range h.spared {
		if h.sparing == nil {
			h.sparing = map[string]bool{}
		}
		h.sparing[uid] = r.Retain(uid)
	}
	for _, removed := range h.removed {
		if err := r.AfterBatch(removed, time.Second); err != nil {
			return err
		}
	}
	err := h.err
	if h.failsOnce {
		h.err = nil
	}
	return err
}

// newDAG makes DAG "nightly" of namespace "team".
func newDAG(change func(*v1alpha1.DAGSpec)) *v1alpha1.DAG {
	d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "nightly", UID: dagUID, Generation: 1}}
	if change != nil {
		change(&d.Spec)
	}
	return d
}

// uidOf is the UID of a DagRun of these tests.
func uidOf(run string) types.UID { return types.UID("uid-of-" + run) }

// newRun makes a DagRun of DAG "nightly" that succeeded a minute ago.
func newRun(name string, changes ...func(*v1alpha1.DagRun)) *v1alpha1.DagRun {
	completed := metav1.NewTime(now.Add(-time.Minute))
	run := &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: uidOf(name)},
		Spec:       v1alpha1.DagRunSpec{DagName: "nightly"},
		Status: v1alpha1.DagRunStatus{
			Phase: v1alpha1.RunSucceeded, Controller: mine, RunID: 1, CompletionTime: &completed,
		},
	}
	for _, change := range changes {
		change(run)
	}
	return run
}

// scheduled makes the schedule of DAG "nightly" the owner of a DagRun, which was due at a minute.
func scheduled(minute int) func(*v1alpha1.DagRun) {
	return func(run *v1alpha1.DagRun) {
		run.OwnerReferences = controlledBy("DAG", "nightly", dagUID)
		run.Labels = map[string]string{v1alpha1.LabelScheduled: "true"}
		run.Annotations = map[string]string{
			v1alpha1.AnnotationScheduledAt: now.Add(time.Duration(minute) * time.Minute).Format(time.RFC3339),
		}
	}
}

func phase(p v1alpha1.RunPhase) func(*v1alpha1.DagRun) {
	return func(run *v1alpha1.DagRun) { run.Status.Phase = p }
}

// newPod makes a Pod with the label of a run. isOwned says that the run also owns it.
func newPod(run string, isOwned bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "pod-of-" + run, Labels: map[string]string{v1alpha1.LabelRun: string(uidOf(run))},
	}}
	if isOwned {
		p.OwnerReferences = controlledBy("DagRun", run, uidOf(run))
	}
	return p
}

func controlledBy(kind, name string, uid types.UID) []metav1.OwnerReference {
	isController := true
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: kind, Name: name, UID: uid, Controller: &isController,
	}}
}
