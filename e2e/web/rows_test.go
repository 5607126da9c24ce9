package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
	"kontroler/store/view"
)

// hostile is a text that would be markup, a bidirectional trick or an escape sequence if anything let it.
const hostile = "<img src=x onerror=alert(1)>\u202e\"'&amp;\x1b[31m</script><script>alert(2)</script>"

// longName is a name of 63 characters.
const longName = "warehouse-stock-reconciliation-with-carrier-feeds-eu-central-01"

// rows are what a controller wrote: DAGs with a history in a namespace.
type rows struct {
	testing.TB
	leader    *store.Leader
	views     *view.DB
	namespace string
	now       time.Time
	runs      int
	known     map[string]any
	followed  struct {
		run           store.Run
		task, attempt int64
	}
}

// task is a task of a DAG of these tests. Seconds is how long it runs.
type task struct {
	name    string
	after   []string
	seconds int
}

// pipeline has the tasks of the DAG that most tests look at.
var pipeline = []task{
	{"extract-orders", nil, 68}, {"fx-rates", nil, 27},
	{"import-de", []string{"extract-orders"}, 183}, {"import-fr", []string{"extract-orders"}, 151},
	{"import-it", []string{"extract-orders"}, 134}, {"import-es", []string{"extract-orders"}, 222},
	{"import-pl", []string{"extract-orders"}, 95}, {"import-nl", []string{"extract-orders"}, 120},
	{"join-orders", []string{"import-de", "import-fr", "import-it", "import-es", "import-pl", "import-nl"}, 31},
	{"check-totals", []string{"join-orders"}, 20}, {"build-report", []string{"join-orders"}, 44},
	{"publish", []string{"fx-rates", "check-totals", "build-report"}, 9},
}

func newRows(t testing.TB, database string, cluster *objects) *rows {
	t.Helper()
	views, err := view.Open(view.Config{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { views.Close() })
	r := &rows{
		TB: t, leader: storetest.Lead(t, storetest.Open(t, database)), views: views, namespace: cluster.namespace,
		now: time.Now().UTC().Truncate(time.Second), known: map[string]any{},
	}
	// What is older than the rest comes first.
	maps.Copy(r.known, fillMany(t, r.leader, database, cluster.manyNamespace))
	r.few(cluster.fewNamespace)
	version := r.save("orders-hourly", pipeline)
	for i := 22; i > 0; i-- {
		r.play(version, pipeline, r.now.Add(-time.Duration(i)*time.Hour), i)
	}
	r.live(version)
	feed := []task{
		{"fetch-feed", nil, 12}, {"parse-feed", []string{"fetch-feed"}, 4}, {"load-feed", []string{"parse-feed"}, 3},
	}
	r.play(r.save("price-feed-import", feed), feed, r.now.Add(-12*time.Minute), 9)
	long := []task{{"a", nil, 600}, {"b", []string{"a"}, 300}}
	r.play(r.save(longName, long), long, r.now.Add(-3*time.Hour), 1)
	r.wide(1000)
	r.missTicks(version)
	return r
}

// facts are what the browser tests need to know.
func (r *rows) facts() map[string]any {
	r.known["namespace"], r.known["longName"], r.known["hostile"] = r.namespace, longName, hostile
	return r.known
}

func (r *rows) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// saved is a DAG with its newest version.
type saved struct {
	name    string
	version store.Version
}

func (r *rows) save(name string, tasks []task) saved {
	r.Helper()
	dag := store.DAG{
		Namespace: r.namespace, Name: name, UID: r.uid(9_000_000 + len(r.known)),
		CreatedAt: r.now.Add(-72 * time.Hour),
	}
	var version store.Version
	for number, image := range []string{"registry.internal/import:5.1", "registry.internal/import:5.2"} {
		specs := []map[string]any{}
		for _, each := range tasks {
			specs = append(specs, map[string]any{"name": each.name, "runAfter": each.after, "image": image,
				"command": []string{"import", "--market"}, "backoff": map[string]any{"limit": 3}})
		}
		spec, err := json.Marshal(map[string]any{"task": specs})
		r.must(err)
		version, err = r.leader.DAGs.SaveVersion(r.Context(), dag, spec, [32]byte{byte(number), byte(len(r.known))},
			len(tasks), r.now.Add(-time.Duration(60-number*20)*time.Hour))
		r.must(err)
	}
	r.known["dag:"+name] = name
	return saved{name, version}
}

func (r *rows) uid(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012d", n, n) }

// admit admits a run with its tasks.
func (r *rows) admit(dag saved, tasks []task, at time.Time, origin store.Origin) store.Run {
	r.Helper()
	r.runs++
	parameters, err := json.Marshal([]map[string]string{
		{"name": "MARKET", "value": "es"}, {"name": "NOTE", "value": hostile},
		{"name": "TOKEN", "secret": "market-es", "key": "token"},
	})
	r.must(err)
	made := []store.NewTask{}
	for position, each := range tasks {
		parents := []int32{}
		for _, name := range each.after {
			for parent := range tasks {
				if tasks[parent].name == name {
					parents = append(parents, int32(parent))
				}
			}
		}
		made = append(made, store.NewTask{Position: position, Name: each.name, Parents: parents})
	}
	run, err := r.leader.Admit(r.Context(), store.NewRun{
		UID: r.uid(r.runs), Namespace: r.namespace, Name: fmt.Sprintf("%.50s-%04d", dag.name, r.runs),
		DAGName: dag.name, DAGID: dag.version.DAGID, VersionID: dag.version.ID,
		CreatedAt: at, AdmittedAt: at, Parameters: parameters, Origin: origin,
	}, made)
	r.must(err)
	r.commit(run, transition.RunStarted{At: at})
	return run
}

func (r *rows) commit(run store.Run, transitions ...transition.Transition) {
	r.Helper()
	r.must(r.leader.Commit(r.Context(), run.ID, transitions, nil))
}

// id returns the id of a task of a run.
func (r *rows) id(run store.Run, position int) int64 {
	r.Helper()
	tasks, err := r.leader.TasksAt(r.Context(), run.ID, []int32{int32(position)})
	r.must(err)
	return tasks[0].ID
}

// begin makes an attempt of a Ready task, with a Pod that runs from a time.
func (r *rows) begin(
	run store.Run, position, number int, at, started time.Time, before ...transition.Transition,
) (task, attempt int64) {
	r.Helper()
	task = r.id(run, position)
	r.commit(run, append(before, transition.TaskActive{Task: task, At: at}, transition.AttemptDecided{
		Task: task, Number: number, PodName: fmt.Sprintf("%s-%d-%d", run.Name, position, number), At: at})...)
	attempts, err := r.views.Attempts(r.Context(), task, 0, 1)
	r.must(err)
	attempt = attempts[0].ID
	if !started.IsZero() {
		r.commit(run, transition.AttemptRunning{
			Attempt: attempt, PodUID: r.uid(int(attempt) + 500_000), Node: "worker-7",
			StartedAt: started, Due: r.now.Add(time.Hour),
		})
	}
	return task, attempt
}

// play runs all tasks of a run, one after the other's parents. Some runs fail at a task, some retry one.
func (r *rows) play(dag saved, tasks []task, at time.Time, number int) {
	r.Helper()
	run := r.admit(dag, tasks, at, store.Origin{Trigger: "Schedule", DueAt: at})
	ends, failed := map[string]time.Time{}, map[string]bool{}
	skipped := map[string]bool{}
	last, why := at, ""
	for position, each := range tasks {
		ready := at
		for _, parent := range each.after {
			if ends[parent].After(ready) {
				ready = ends[parent]
			}
			skipped[each.name] = skipped[each.name] || failed[parent] || skipped[parent]
		}
		switch id := r.id(run, position); {
		case skipped[each.name]:
			r.commit(run, transition.TaskSkipped{Task: id, Message: "a parent failed", At: last})
			continue
		case len(each.after) > 0:
			r.commit(run, transition.TaskReady{Task: id, At: ready})
		}
		started := ready.Add(time.Duration(1+position%3) * time.Second)
		length := time.Duration(each.seconds*(90+(number*7+position*13)%25)) * time.Second / 100
		ends[each.name] = started.Add(length)
		task, attempt := r.begin(run, position, 1, ready, started)
		if number%9 == 0 && position == len(tasks)-2 {
			code := int32(2)
			why = fmt.Sprintf("%s failed: exit code 2: column %s is missing", each.name, hostile)
			r.commit(run, transition.AttemptEnded{
				Attempt: attempt, Phase: "Failed", Reason: "ExitCode", Message: why, ExitCode: &code,
				FinishedAt: ends[each.name],
			}, transition.TaskFailed{Task: task, Reason: "RetriesSpent", Message: why, At: ends[each.name]})
			failed[each.name] = true
			r.log(run, attempt, ends[each.name], 200)
			r.known["failed:"+dag.name] = run.UID
		} else {
			r.commit(run, transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", FinishedAt: ends[each.name]},
				transition.TaskSucceeded{Task: task, At: ends[each.name]})
		}
		if ends[each.name].After(last) {
			last = ends[each.name]
		}
	}
	phase, reason := "Succeeded", ""
	if len(failed) > 0 {
		phase, reason = "Failed", "TaskFailed"
	}
	r.commit(run, transition.RunEnded{Phase: phase, Reason: reason, Message: why, At: last})
}

// live is the run of the mock-up: some tasks succeeded, one is tried again, one is not scheduled.
func (r *rows) live(dag saved) {
	r.Helper()
	at := r.now.Add(-8 * time.Minute)
	run := r.admit(dag, pipeline, at, store.Origin{Trigger: "API", RequestedBy: "otto"})
	r.known["live"], r.known["liveName"] = run.UID, run.Name
	finish := func(position int, from time.Time, seconds int, ready bool) time.Time {
		if ready {
			r.commit(run, transition.TaskReady{Task: r.id(run, position), At: from})
		}
		end := from.Add(time.Duration(seconds) * time.Second)
		task, attempt := r.begin(run, position, 1, from, from.Add(2*time.Second))
		r.commit(run, transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", FinishedAt: end},
			transition.TaskSucceeded{Task: task, At: end})
		return end
	}
	extracted := finish(0, at, 68, false)
	finish(1, at, 27, false)
	finish(2, extracted, 183, true)
	finish(3, extracted, 151, true)
	for _, position := range []int{4, 5, 6, 7} {
		r.commit(run, transition.TaskReady{Task: r.id(run, position), At: extracted})
	}
	// import-it: lost once, runs again.
	task, attempt := r.begin(run, 4, 1, extracted, extracted.Add(3*time.Second))
	lostAt := extracted.Add(134 * time.Second)
	r.commit(run, transition.AttemptEnded{
		Attempt: attempt, Phase: "Lost", Reason: "Disrupted", Message: "its Pod was disrupted (drain)",
		FinishedAt: lostAt,
	}, transition.TaskBackedOff{
		Task: task, Reason: "BackingOff", Message: "restart 1: Disrupted", Due: lostAt, Restarts: 1,
	})
	r.begin(run, 4, 2, lostAt.Add(20*time.Second), lostAt.Add(24*time.Second))
	// import-es: failed twice, waits for its next attempt.
	code := int32(75)
	from := extracted
	for number := 1; number <= 2; number++ {
		task, attempt = r.begin(run, 5, number, from, from.Add(4*time.Second))
		end := from.Add(95 * time.Second)
		due := end.Add(35 * time.Second)
		if number == 2 {
			due = r.now.Add(20 * time.Minute)
		}
		r.commit(run, transition.AttemptEnded{
			Attempt: attempt, Phase: "Failed", Reason: "ExitCode",
			Message: "exit code 75: upstream answered 503 " + hostile, ExitCode: &code, FinishedAt: end,
		}, transition.TaskBackedOff{
			Task: task, Reason: "BackingOff", Message: "exit code 75: upstream answered 503",
			Due: due, Retries: number,
		})
		r.log(run, attempt, end, 5000)
		from = due
	}
	// import-pl: no node has the memory.
	_, attempt = r.begin(run, 6, 1, extracted, time.Time{})
	pod := r.uid(700_001)
	r.commit(run, transition.AttemptPending{Attempt: attempt, PodUID: pod, At: extracted, Due: r.now.Add(time.Hour)})
	r.commit(run, transition.AttemptWaits{Attempt: attempt, Reason: "Unschedulable",
		Message: "0/12 nodes are available: 12 Insufficient memory.", At: extracted, Due: r.now.Add(time.Hour)})
	_, err := r.leader.PodEvents.Save(r.Context(), []store.PodEvent{{
		Pod:  store.Pod{UID: pod, RunUID: run.UID, Name: fmt.Sprintf("%s-6-1", run.Name)},
		Type: "Warning", Reason: "FailedScheduling", Message: "0/12 nodes are available " + hostile,
		Source: "default-scheduler", Count: 7, FirstAt: extracted, LastAt: r.now.Add(-time.Minute),
	}})
	r.must(err)
	// import-nl runs.
	r.begin(run, 7, 1, extracted, extracted.Add(38*time.Second))
}

// wide is a run in which many tasks lie between the first and the last.
func (r *rows) wide(count int) {
	r.Helper()
	tasks := []task{{"begin", nil, 1}}
	names := []string{}
	for i := range count {
		names = append(names, fmt.Sprintf("part-%04d", i))
		tasks = append(tasks, task{names[i], []string{"begin"}, 1})
	}
	tasks = append(tasks, task{"end", names, 1})
	at := r.now.Add(-2 * time.Minute)
	run := r.admit(r.save("feature-store-backfill", tasks), tasks, at, store.Origin{Trigger: "Manual"})
	task, attempt := r.begin(run, 0, 1, at, at)
	ended := []transition.Transition{
		transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", FinishedAt: at.Add(time.Second)},
		transition.TaskSucceeded{Task: task, At: at.Add(time.Second)}, transition.RunHeld{Reason: "MaxParallel"},
	}
	for position := 1; position <= count; position++ {
		ended = append(ended, transition.TaskReady{Task: r.id(run, position), At: at.Add(time.Second)})
	}
	r.commit(run, ended...)
	for position := 1; position <= 20; position++ {
		r.begin(run, position, 1, at.Add(time.Second), at.Add(3*time.Second))
	}
	r.known["wide"] = run.UID
}

func (r *rows) missTicks(dag saved) {
	r.Helper()
	before, _, err := r.leader.Schedules.Read(r.Context(), r.namespace, dag.name)
	r.must(err)
	after := before
	after.DAGUID, after.Expression, after.Cursor = r.uid(9_000_000), "0 * * * *", r.now.Add(-time.Hour)
	_, err = r.leader.Schedules.Advance(r.Context(), store.ScheduleUpdate{
		Before: before, After: after, Now: r.now, Ticks: []store.Tick{
			{From: r.now.Add(-20 * time.Hour), To: r.now.Add(-17 * time.Hour), Count: 4, Outcome: "Missed"},
			{
				From: r.now.Add(-time.Hour), To: r.now.Add(-time.Hour), Count: 1, Outcome: "Ran",
				RunName: "orders-hourly-0022",
			},
		},
	})
	r.must(err)
}

// log stores a log with colours, markup and a long line.
func (r *rows) log(run store.Run, attempt int64, at time.Time, lines int) {
	r.Helper()
	var text strings.Builder
	for i := range lines {
		switch {
		case i == lines-3:
			fmt.Fprintf(&text, "\x1b[1;31mERROR\x1b[0m order 88120417: no tax code for %s\n", hostile)
		case i%97 == 6:
			text.WriteString("10 %\r50 %\rall of it\r\n")
		case i%50 == 7:
			fmt.Fprintf(&text, "\x1b[33mWARN\x1b[0m  page %d: upstream answered 503, trying again in 1 s\n", i)
		case i%97 == 5:
			fmt.Fprintf(&text, "DEBUG %s\n", strings.Repeat("a long line that wraps ", 20))
		default:
			fmt.Fprintf(&text, "\x1b[36mINFO\x1b[0m  GET /orders?page=%d  \x1b[32m200\x1b[0m in %d ms, 250 orders\n",
				i, 100+i%30)
		}
	}
	storeLog(r.TB, r.leader, run.ID, attempt, at, text.String())
}

// few is a namespace with three runs. The tasks of the last one run, so that their logs can be followed.
func (r *rows) few(namespace string) {
	r.Helper()
	few := *r
	few.namespace = namespace
	tasks := []task{{"extract", nil, 20}, {"load", nil, 40}, {"report", nil, 30}}
	few.play(few.save("etl-0003", tasks), tasks, r.now.Add(-96*time.Hour), 1)
	few.play(few.save("etl-0002", tasks), tasks, r.now.Add(-95*time.Hour), 2)
	at := r.now.Add(-94 * time.Hour)
	few.followed.run = few.admit(few.save("etl-0001", tasks), tasks, at, store.Origin{Trigger: "Manual"})
	for position := range tasks {
		few.followed.task, few.followed.attempt = few.begin(few.followed.run, position, 1, at, at.Add(time.Second))
	}
	r.runs, r.followed = few.runs, few.followed
	r.known["few"], r.known["followed"] = namespace, r.followed.run.UID
}

// endFollowed ends the last task of the run that is followed, whose log is stored before.
func (r *rows) endFollowed() {
	r.Helper()
	at := time.Now().UTC().Truncate(time.Second)
	r.log(r.followed.run, r.followed.attempt, at, 300)
	r.commit(r.followed.run, transition.AttemptEnded{Attempt: r.followed.attempt, Phase: "Succeeded", FinishedAt: at},
		transition.TaskSucceeded{Task: r.followed.task, At: at})
}

// storeLog stores the log of an attempt that ended at a time.
func storeLog(t testing.TB, leader *store.Leader, run, attempt int64, at time.Time, text string) {
	t.Helper()
	const chunk = 1 << 20
	log := store.Log{
		AttemptID: attempt, At: at, State: store.LogCaptured, Bytes: int64(len(text)), OmittedAt: int64(len(text)),
		BeginsAt: at.Add(-time.Minute), EndsAt: at, CapturedAt: at,
	}
	var chunks []store.LogChunk
	for part := range slices.Chunk([]byte(text), chunk) {
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		_, err := writer.Write(part)
		if err == nil {
			err = writer.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, store.LogChunk{Size: len(part), Gzip: packed.Bytes()})
	}
	if err := leader.Logs.Save(t.Context(), run, log, chunks); err != nil {
		t.Fatal(err)
	}
}
