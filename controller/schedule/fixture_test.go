package schedule

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
	"kontroler/store/storetest"
)

const (
	ourID     = "ours"
	namespace = "default"
)

// newDAG returns a DAG of this controller as its own sync leaves it: observed and valid.
func newDAG(name, schedule string) *v1alpha1.DAG {
	return &v1alpha1.DAG{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(testUID(1)), Generation: 1},
		Spec:       v1alpha1.DAGSpec{Schedule: schedule},
		Status:     v1alpha1.DAGStatus{Controller: ourID, ObservedGeneration: 1},
	}
}

// setValid sets the condition Valid of a DAG.
func setValid(d *v1alpha1.DAG, isValid bool) {
	status := metav1.ConditionFalse
	if isValid {
		status = metav1.ConditionTrue
	}
	valid := metav1.Condition{Type: v1alpha1.DAGValid, Status: status, Reason: "Test"}
	meta.SetStatusCondition(&d.Status.Conditions, valid)
}

func testUID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// fixture is a scheduler with an API server and caches that are made up. It records what the scheduler tells the
// controller.
type fixture struct {
	*testing.T
	*Scheduler
	api    *fakeAPI
	leader *store.Leader
	now    time.Time
	dags   map[cache.ObjectName]*v1alpha1.DAG
	cached map[queue.RunKey]*v1alpha1.DagRun
	events *record.FakeRecorder

	condition *metav1.Condition // as it was set last
	setError  error             // of setting it
	retired   []string          // UIDs
	delayed   *delayed
}

// delayed is a queue that records the delays after which keys are to be added, and adds none of them.
type delayed struct {
	workqueue.TypedRateLimitingInterface[cache.ObjectName]
	delays []time.Duration
}

func (q *delayed) AddAfter(_ cache.ObjectName, delay time.Duration) {
	q.delays = append(q.delays, delay)
}

// newFixture makes a fixture with one DAG. db may be nil if the test does not reach the database.
func newFixture(t *testing.T, db *store.Leader, d *v1alpha1.DAG) *fixture {
	f := &fixture{
		T: t, api: newFakeAPI(), now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), events: record.NewFakeRecorder(100),
		dags:   map[cache.ObjectName]*v1alpha1.DAG{cache.MetaObjectToName(d): d},
		cached: map[queue.RunKey]*v1alpha1.DagRun{},
	}
	f.lead(db)
	return f
}

// lead begins a term: what the scheduler had in memory is lost.
func (f *fixture) lead(db *store.Leader) {
	f.leader = db
	var schedules *store.Schedules
	if db != nil {
		schedules = db.Schedules
	}
	if f.Scheduler != nil {
		f.ShutDown()
	}
	client, err := versioned.NewForConfig(&rest.Config{Host: "http://fake", Transport: f.api, QPS: -1})
	f.must(err)
	f.Scheduler = New(Config{
		Schedules: schedules, Client: client, ControllerID: ourID, StatusWorkers: 1,
		Now: func() time.Time { return f.now },
		Log: slog.New(slog.DiscardHandler), Events: f.events, Metrics: noMetrics{},
		CachedDAG: func(name cache.ObjectName) (*v1alpha1.DAG, bool) { d, ok := f.dags[name]; return d, ok },
		CachedRun: func(uid queue.RunKey) *v1alpha1.DagRun { return f.cached[uid] },
		SetCondition: func(_ context.Context, _ cache.ObjectName, kind string, condition *metav1.Condition) error {
			if kind != v1alpha1.DAGScheduled {
				f.Errorf("condition %s is set", kind)
			}
			if f.setError == nil {
				f.condition = condition
			}
			return f.setError
		},
		Synced: func(context.Context, cache.ObjectName, error) {}, Failed: func(error) {},
		Retire: func(uid queue.RunKey) { f.retired = append(f.retired, string(uid)) },
	})
	f.delayed = &delayed{TypedRateLimitingInterface: f.schedules.TypedRateLimitingInterface}
	f.schedules.TypedRateLimitingInterface = f.delayed
	f.Cleanup(f.ShutDown)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// save stores the row of a DAG, without which it has no schedule.
func (f *fixture) save(d *v1alpha1.DAG) {
	f.Helper()
	row := store.DAG{Namespace: d.Namespace, Name: d.Name, UID: string(d.UID), CreatedAt: f.now}
	_, err := f.leader.DAGs.SaveVersion(f.Context(), row, []byte(`{}`), [32]byte{1}, 1, f.now)
	f.must(err)
}

// syncAll syncs a schedule until it does not ask for another sync.
func (f *fixture) syncAll(d *v1alpha1.DAG) error {
	name := cache.MetaObjectToName(d)
	for {
		if err := f.sync(f.Context(), name); err != nil {
			return err
		}
		if f.schedules.Len() == 0 {
			return nil
		}
		key, _ := f.schedules.Get()
		f.schedules.Done(key)
	}
}

// waiting returns the DAGs whose schedules are enqueued.
func (f *fixture) waiting() (names []string) {
	for f.schedules.Len() > 0 {
		key, _ := f.schedules.Get()
		names = append(names, key.Name)
		f.schedules.Done(key)
	}
	return names
}

// ledgerRow is a tick with the UID of its DagRun.
type ledgerRow struct {
	store.Tick
	RunUID string
}

// ledger reads the ledger of a DAG.
func ledger(t *testing.T, db *store.DB, dag string) (ledger []ledgerRow) {
	t.Helper()
	const query = `
SELECT t.due_from, t.due_to, t.count, t.outcome, coalesce(t.run_name, ''), coalesce(t.run_uid::text, '')
FROM kontroler.ticks t JOIN kontroler.dags d ON d.id = t.dag_id WHERE d.name = $1 ORDER BY t.due_from`
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(t.Context(), query, dag)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var row ledgerRow
			if err := rows.Scan(&row.From, &row.To, &row.Count, &row.Outcome, &row.RunName, &row.RunUID); err != nil {
				return err
			}
			row.From, row.To = row.From.UTC(), row.To.UTC()
			ledger = append(ledger, row)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// outcomes are the outcomes of a ledger's rows, each with how many due times it is of.
func outcomes(t *testing.T, db *store.DB, dag string) (texts []string) {
	t.Helper()
	for _, row := range ledger(t, db, dag) {
		texts = append(texts, fmt.Sprint(row.Count, " ", row.Outcome))
	}
	return texts
}

type noMetrics struct{}

func (noMetrics) SyncDone(string, time.Duration, error) {}
func (noMetrics) QueueDepth(string, int)                {}

// fakeAPI is an API server with DagRuns. It answers patches of DAGs and keeps them.
type fakeAPI struct {
	mu   sync.Mutex
	runs map[string]*v1alpha1.DagRun // by name
	uids int
	// fail is asked before each request, lose after it had its effect. An error is the answer.
	fail, lose func(request string) error
	// created is called with each new DagRun.
	created  func(*v1alpha1.DagRun)
	requests []string // of writes: "create dagrun a", "patch dag a {…}"
}

func newFakeAPI() *fakeAPI {
	pass := func(string) error { return nil }
	return &fakeAPI{
		runs: map[string]*v1alpha1.DagRun{}, uids: 1 << 16, fail: pass, lose: pass, created: func(*v1alpha1.DagRun) {},
	}
}

// RoundTrip serves a request.
func (a *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	answer, err := a.serve(r.Method, strings.TrimSuffix(r.URL.Path, "/status"), body)
	code := http.StatusOK
	if err != nil {
		refused, ok := errors.AsType[*apierrors.StatusError](err)
		if !ok {
			return nil, err
		}
		status := refused.ErrStatus
		status.Kind, status.APIVersion = "Status", "v1"
		answer, code = status, int(status.Code)
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(bytes.NewReader(encoded))}, nil
}

func (a *fakeAPI) serve(method, url string, body []byte) (answer any, err error) {
	verb := map[string]string{http.MethodPost: "create", http.MethodGet: "get", http.MethodPatch: "patch"}[method]
	kind, name := path.Base(path.Dir(url)), path.Base(url)
	var sent v1alpha1.DagRun
	if verb == "create" {
		if err := json.Unmarshal(body, &sent); err != nil {
			return nil, err
		}
		kind, name = path.Base(url), sent.Name
	}
	request := fmt.Sprintf("%s %s %s", verb, strings.TrimSuffix(kind, "s"), name)
	if err := a.fail(request); err != nil {
		return nil, err
	}
	switch {
	case verb == "patch":
		a.requests = append(a.requests, request+" "+string(body))
	case verb == "create":
		a.requests = append(a.requests, request)
	}
	if kind == "dags" {
		answer = &v1alpha1.DAG{}
	} else if answer, err = a.serveRun(verb, name, &sent, body); err != nil {
		return nil, err
	}
	return answer, a.lose(request)
}

// serveRun serves a request for a DagRun.
func (a *fakeAPI) serveRun(verb, name string, sent *v1alpha1.DagRun, body []byte) (*v1alpha1.DagRun, error) {
	resource := schema.GroupResource{Group: v1alpha1.GroupName, Resource: "dagruns"}
	run, exists := a.runs[name]
	switch {
	case verb == "create" && exists:
		return nil, apierrors.NewAlreadyExists(resource, name)
	case verb == "create":
		a.uids++
		sent.UID = types.UID(testUID(a.uids))
		a.runs[name] = sent
		a.created(sent)
		return sent, nil
	case !exists:
		return nil, apierrors.NewNotFound(resource, name)
	case verb == "patch":
		return run, json.Unmarshal(body, run)
	}
	return run, nil
}

// names returns the names of the DagRuns, sorted.
func (a *fakeAPI) names() (names []string) {
	for name := range a.runs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// newLeader makes a database and leads it.
func newLeader(t *testing.T) (*store.DB, *store.Leader) {
	t.Helper()
	db := storetest.New(t)
	return db, storetest.Lead(t, db)
}
