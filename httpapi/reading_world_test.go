package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"kontroler/httpapi"
	"kontroler/httpapi/quarters"
	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
	"kontroler/store/view"
)

// readingRoutes are the routes that read rows and live objects.
var readingRoutes = []string{
	"GET /api/v1/runs",
	"GET /api/v1/runs/{uid}",
	"GET /api/v1/runs/{uid}/graph",
	"GET /api/v1/runs/{uid}/attempts",
	"GET /api/v1/runs/{uid}/tasks",
	"GET /api/v1/runs/{uid}/tasks/{task}",
	"GET /api/v1/runs/{uid}/tasks/{task}/attempts",
	"GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}",
	"GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}/events",
	"GET /api/v1/namespaces/{ns}/runs",
	"GET /api/v1/namespaces/{ns}/runs/{name}",
	"GET /api/v1/pending",
	"GET /api/v1/namespaces/{ns}/pending",
	"GET /api/v1/namespaces",
	"GET /api/v1/dags",
	"GET /api/v1/namespaces/{ns}/dags",
	"GET /api/v1/namespaces/{ns}/dags/{name}",
	"GET /api/v1/dagtasks",
	"GET /api/v1/namespaces/{ns}/dagtasks",
	"GET /api/v1/namespaces/{ns}/dagtasks/{name}",
	"GET /api/v1/namespaces/{ns}/dagtasks/{name}/users",
	"GET /api/v1/namespaces/{ns}/dags/{name}/versions",
	"GET /api/v1/namespaces/{ns}/dags/{name}/versions/{version}",
	"GET /api/v1/namespaces/{ns}/dags/{name}/diff",
	"GET /api/v1/namespaces/{ns}/dags/{name}/ticks",
	"GET /api/v1/namespaces/{ns}/dags/{name}/grid",
	"GET /api/v1/namespaces/{ns}/dags/{name}/statistics",
	"GET /api/v1/statistics",
	"GET /api/v1/namespaces/{ns}/statistics",
	"GET /api/v1/upcoming",
	"GET /api/v1/namespaces/{ns}/upcoming",
	"GET /api/v1/attention",
	"GET /api/v1/namespaces/{ns}/attention",
}

// history is a server over the rows that a controller wrote in two namespaces. The texts of a namespace contain its
// color, so that a trace of it is found.
type history struct {
	*replica
	leader *store.Leader
	views  *view.DB
	counts *quarters.Counts // runs until the test ends
	// colors are the namespaces. Each has a viewer.
	colors []*color
}

// color is a namespace with a DAG.
type color struct {
	namespace, name, token string
	version                store.Version
	runs                   int
	// live is the UID of the run whose first task waits for its image.
	live string
}

func (c *color) dag() string { return "etl-" + c.name }

func (c *color) run() string { return fmt.Sprintf("%s-%d", c.dag(), c.runs) }

// uid returns the UUID of a number in the namespace.
func (c *color) uid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012d", c.namespace[0], n) }

// newHistory fills a database through a leader. The server reads it as a role of --reader-roles.
func newHistory(t *testing.T) *history {
	t.Helper()
	colors := []*color{{namespace: "a", name: "amber"}, {namespace: "c", name: "cobalt"}}
	return newHistoryIn(t, colors, func(*httpapi.Config) {})
}

// newHistoryIn fills two namespaces.
func newHistoryIn(t *testing.T, colors []*color, change func(*httpapi.Config)) *history {
	t.Helper()
	w := newWorld(t)
	owner := storetest.Open(t, w.url)
	role, asRole := storetest.NewRole(t, w.url)
	if err := owner.GrantReaders(t.Context(), []string{role}); err != nil {
		t.Fatal(err)
	}
	views, err := view.Open(view.Config{URL: asRole})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { views.Close() })
	counts := quarters.New(views, time.Now, slog.New(slog.NewJSONHandler(w.log, nil)))
	h := &history{
		replica: w.replica(func(c *httpapi.Config) { c.Views, c.Quarters = views, counts }, change),
		leader:  storetest.Lead(t, owner), views: views, counts: counts, colors: colors,
	}
	for i, c := range h.colors {
		c.token = h.viewerOf(c)
		h.saveVersions(c)
		h.missTicks(c)
		for range 2 + i {
			h.succeed(h.admit(c), c)
		}
		h.refuse(c)
		h.wait(c)
	}
	h.run()
	return h
}

// run counts the runs until the test ends, and waits until all are counted.
func (h *history) run() {
	h.Helper()
	ctx, cancel := context.WithCancel(h.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = h.counts.Run(ctx) })
	h.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		_, err := h.counts.Read(view.AllNamespaces(), h.ago(time.Hour), h.ago(0))
		if err == nil {
			return
		}
		if !errors.Is(err, quarters.ErrCounting) || time.Now().After(end) {
			h.Fatal(err)
		}
	}
}

// ago returns a time before now, without less than microseconds.
func (h *history) ago(d time.Duration) time.Time { return h.clock.now().Add(-d) }

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) saveVersions(c *color) {
	h.Helper()
	dag := store.DAG{Namespace: c.namespace, Name: c.dag(), UID: c.uid(0), CreatedAt: h.ago(48 * time.Hour)}
	for i, image := range []string{"one", "two"} {
		spec := fmt.Sprintf(`{"task": [{"name": "load-%[1]s", "image": "%[2]s"},
			{"name": "report-%[1]s", "runAfter": ["load-%[1]s"]}]}`, c.name, image)
		var err error
		c.version, err = h.leader.DAGs.SaveVersion(
			h.Context(), dag, []byte(spec), [32]byte{c.namespace[0], byte(i)}, 2, h.ago(40*time.Hour))
		h.must(err)
	}
}

func (h *history) missTicks(c *color) {
	h.Helper()
	before, _, err := h.leader.Schedules.Read(h.Context(), c.namespace, c.dag())
	h.must(err)
	after := before
	after.DAGUID, after.Expression, after.Cursor = c.uid(0), "@every 1h", h.ago(time.Hour)
	_, err = h.leader.Schedules.Advance(h.Context(), store.ScheduleUpdate{
		Before: before, After: after, Now: h.ago(time.Hour), Ticks: []store.Tick{
			{From: h.ago(30 * time.Hour), To: h.ago(20 * time.Hour), Count: 11, Outcome: "Missed"},
			{From: h.ago(time.Hour), To: h.ago(time.Hour), Count: 1, Outcome: "Ran", RunName: c.dag() + "-9"},
		},
	})
	h.must(err)
}

func (h *history) newRun(c *color) store.NewRun {
	c.runs++
	return store.NewRun{
		UID: c.uid(c.runs), Namespace: c.namespace, Name: c.run(), DAGName: c.dag(), DAGID: c.version.DAGID,
		VersionID: c.version.ID, CreatedAt: h.ago(time.Hour),
		AdmittedAt: h.ago(time.Hour - time.Duration(c.runs)*time.Minute),
		Parameters: fmt.Appendf(nil, `[{"name": "color", "value": %q}]`, c.name),
		Origin:     store.Origin{Trigger: "API", RequestedBy: "fan-of-" + c.name},
	}
}

func (h *history) admit(c *color) store.Run {
	h.Helper()
	run, err := h.leader.Admit(h.Context(), h.newRun(c), []store.NewTask{
		{Position: 0, Name: "load-" + c.name}, {Position: 1, Name: "report-" + c.name, Parents: []int32{0}},
	})
	h.must(err)
	return run
}

// decide makes a task active, and returns its attempt.
func (h *history) decide(run store.Run, c *color, position int32, more ...transition.Transition) (task, attempt int64) {
	h.Helper()
	tasks, err := h.leader.TasksAt(h.Context(), run.ID, []int32{position})
	h.must(err)
	task = tasks[0].ID
	h.must(h.leader.Commit(h.Context(), run.ID, append(more, transition.TaskActive{Task: task, At: run.AdmittedAt},
		transition.AttemptDecided{
			Task: task, Number: 1, PodName: fmt.Sprint(run.Name, "-", position), At: run.AdmittedAt,
		}), nil))
	attempts, err := h.views.Attempts(h.Context(), task, 0, 1)
	h.must(err)
	return task, attempts[0].ID
}

// succeed runs both tasks of a run, half a minute each.
func (h *history) succeed(run store.Run, c *color) {
	h.Helper()
	end := run.AdmittedAt.Add(time.Minute)
	load, first := h.decide(run, c, 0, transition.RunStarted{At: run.AdmittedAt})
	tasks, err := h.leader.TasksAt(h.Context(), run.ID, []int32{1})
	h.must(err)
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.AttemptEnded{Attempt: first, Phase: "Succeeded", StartedAt: run.AdmittedAt, FinishedAt: end},
		transition.TaskSucceeded{Task: load, At: end}, transition.TaskReady{Task: tasks[0].ID, At: end},
	}, nil))
	report, second := h.decide(run, c, 1)
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.AttemptEnded{Attempt: second, Phase: "Succeeded", StartedAt: end, FinishedAt: end},
		transition.TaskSucceeded{Task: report, At: end}, transition.RunEnded{Phase: "Succeeded", At: end},
	}, nil))
}

// fail fails the first task of a run, half a minute ago. The second is skipped.
func (h *history) fail(run store.Run, c *color) {
	h.Helper()
	load, attempt := h.decide(run, c, 0, transition.RunStarted{At: run.AdmittedAt})
	tasks, err := h.leader.TasksAt(h.Context(), run.ID, []int32{1})
	h.must(err)
	at := h.ago(30 * time.Second)
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.AttemptEnded{Attempt: attempt, Phase: "Failed", StartedAt: run.AdmittedAt, FinishedAt: at},
		transition.TaskFailed{Task: load, Reason: "RetriesSpent", Message: "exit code 2", At: at},
		transition.TaskSkipped{Task: tasks[0].ID, At: at},
		transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at},
	}, nil))
}

// refuse writes a run that has failed.
func (h *history) refuse(c *color) {
	h.Helper()
	_, err := h.leader.Refuse(h.Context(), h.newRun(c), "InvalidParameters", "no "+c.name)
	h.must(err)
}

// wait writes a run whose first task waits for its image.
func (h *history) wait(c *color) {
	h.Helper()
	run := h.admit(c)
	c.live = run.UID
	_, attempt := h.decide(run, c, 0, transition.RunStarted{At: run.AdmittedAt})
	pod := c.uid(1000)
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{
		transition.AttemptPending{
			Attempt: attempt, PodUID: pod, Node: "node-" + c.name, At: run.AdmittedAt, Due: h.ago(0),
		},
	}, nil))
	h.must(h.leader.Commit(h.Context(), run.ID, []transition.Transition{transition.AttemptWaits{
		Attempt: attempt, Reason: "ImagePullBackOff", Message: "no image " + c.name, At: run.AdmittedAt, Due: h.ago(0),
	}}, nil))
	_, err := h.leader.PodEvents.Save(context.Background(), []store.PodEvent{{
		Pod: store.Pod{UID: pod, RunUID: run.UID, Name: run.Name + "-0"}, Type: "Warning", Reason: "Failed",
		Message: "pulling " + c.name, Source: "kubelet", Count: 3, FirstAt: run.AdmittedAt, LastAt: run.AdmittedAt,
	}})
	h.must(err)
}

// unprivileged returns the URL of a role without grants.
func unprivileged(t *testing.T, database string) string {
	t.Helper()
	_, url := storetest.NewRole(t, database)
	return url
}
