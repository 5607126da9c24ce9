package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
	"kontroler/store/storetest"
)

// Whatever users edit, whatever the API server answers and wherever leaders die, every due time is in the ledger once,
// and each that ran has one DagRun. The clock may go back.
func TestLedgerHasEveryDueTimeOnce(t *testing.T) {
	db := storetest.New(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
			w := newWorld(t, db, seed)
			for range 50 {
				w.passTime()
				w.act()
				w.look(15)
			}
			w.settle()
			w.check()
		})
	}
}

// world is a schedule in a real database, with a clock, a cluster, users and leaders that are made up.
type world struct {
	*fixture
	r   *rand.Rand
	db  *store.DB
	dag *v1alpha1.DAG
	// breaks is how many of a hundred requests have no answer, or a refusal.
	breaks int
	// stretches are the times in which one schedule applied, in order.
	stretches []stretch
	// accounted is the latest time up to which the ledger was complete.
	accounted time.Time
}

type stretch struct {
	expression string
	from, to   time.Time // zero: it still applies
}

var errNoAnswer = errors.New("no answer")

func newWorld(t *testing.T, db *store.DB, seed uint64) *world {
	t.Helper()
	w := &world{r: rand.New(rand.NewPCG(seed, 2)), db: db}
	w.fixture = newFixture(t, storetest.Lead(t, db), newDAG(t.Name(), ""))
	w.api.uids = int(seed+1) << 20
	w.now = w.now.Add(time.Duration(seed) * time.Hour)
	w.api.fail = func(request string) error {
		switch {
		case w.chance(w.breaks):
			return errNoAnswer
		case strings.HasPrefix(request, "create") && w.chance(w.breaks):
			return apierrors.NewForbidden(schema.GroupResource{Resource: "dagruns"}, "", errors.New("a quota is full"))
		}
		return nil
	}
	w.api.lose = func(string) error {
		if w.chance(w.breaks) {
			return errNoAnswer
		}
		return nil
	}
	w.api.created = func(run *v1alpha1.DagRun) {
		if w.chance(50) {
			w.admitAndEnd(run)
		}
	}
	w.createDAG()
	return w
}

func (w *world) chance(percent int) bool { return w.r.IntN(100) < percent }

func (w *world) name() cache.ObjectName { return cache.MetaObjectToName(w.dag) }

// row reads the schedule's row.
func (w *world) row() store.Schedule {
	w.Helper()
	row, found, err := w.leader.Schedules.Read(w.Context(), namespace, w.dag.Name)
	if err != nil || !found {
		w.Fatal(found, err)
	}
	return row
}

// passTime moves the clock, in rare cases back.
func (w *world) passTime() {
	step := []time.Duration{time.Second, time.Minute, 5 * time.Minute, time.Hour}[w.r.IntN(4)]
	w.now = w.now.Add(time.Duration(w.r.Int64N(int64(step)*2)) - step/3).Truncate(time.Second)
}

// act is what users, other controllers and runs do at a time.
func (w *world) act() {
	w.Helper()
	switch {
	case w.chance(25):
		w.edit()
	case w.chance(10):
		w.loseAndClaim()
	case w.chance(10):
		for _, run := range w.api.runs {
			run.Status.Phase = v1alpha1.RunSucceeded
		}
	case w.chance(4):
		w.settle() // what was decided and not created when a DAG is deleted is never created
		w.createDAG()
	}
}

// createDAG creates the DAG, again if there was one.
func (w *world) createDAG() {
	w.Helper()
	spec := v1alpha1.DAGSpec{Schedule: "@every 90s"}
	if w.dag != nil {
		spec = w.dag.Spec
	}
	w.dag = newDAG(w.Name(), "")
	w.api.uids++
	w.dag.UID, w.dag.CreationTimestamp, w.dag.Spec = types.UID(testUID(w.api.uids)), metav1.NewTime(w.now), spec
	w.dags[w.name()] = w.dag
	w.save(w.dag)
}

// edit changes the DAG as a user might.
func (w *world) edit() {
	w.dag.Generation++
	w.dag.Status.ObservedGeneration = w.dag.Generation
	switch spec := &w.dag.Spec; w.r.IntN(6) {
	case 0:
		spec.Schedule = []string{"@every 7s", "@every 90s", "*/2 * * * *", "0 * * * *", ""}[w.r.IntN(5)]
	case 1:
		spec.Suspended = !spec.Suspended
	case 2:
		spec.ConcurrencyPolicy = []v1alpha1.ConcurrencyPolicy{"Allow", "Forbid", "Replace"}[w.r.IntN(3)]
	case 3:
		spec.CatchUp = []v1alpha1.CatchUpPolicy{"none", "latest", "all"}[w.r.IntN(3)]
	case 4:
		spec.StartingDeadlineSeconds = new(int64(w.r.IntN(300)))
	case 5:
		setValid(w.dag, w.chance(50))
	}
}

// admitAndEnd gives a DagRun a row that has ended, before the scheduler notes that it exists.
func (w *world) admitAndEnd(run *v1alpha1.DagRun) {
	_, err := w.leader.Refuse(w.Context(), store.NewRun{
		UID: string(run.UID), Namespace: namespace, Name: run.Name, DAGName: w.dag.Name, DAGID: w.row().DAGID,
		CreatedAt: w.now, AdmittedAt: w.now,
	}, "Test", "")
	w.must(err)
}

// loseAndClaim gives the DAG to another controller for a while, and claims it again.
func (w *world) loseAndClaim() {
	w.Helper()
	for w.takeBackUncreated() {
	}
	w.timers.drop(w.name())
	before := w.row()
	w.must(w.PassOver(w.Context(), w.dag))
	w.observe(before)
	w.accounted = later(w.accounted, w.now)
}

// takeBackUncreated takes back what was decided and not created. It reports whether there was any.
func (w *world) takeBackUncreated() bool {
	w.Helper()
	row := w.row()
	live, _, err := w.scheduledRuns(w.Context(), w.dag, row)
	w.must(err)
	uncreated, err := w.findUncreated(w.Context(), w.dag, row.DAGID, live)
	w.must(err)
	if len(uncreated) > 0 {
		w.must(w.takeBack(w.Context(), row, uncreated))
	}
	return len(uncreated) > 0
}

// settle looks until everything is accounted for and created. The clock of the API server, by which a DAG is created,
// does not go back.
func (w *world) settle() {
	w.Helper()
	w.now = later(w.now, w.accounted).Add(maxRetry)
	w.timers.drop(w.name()) // a schedule that is held has a timer that is never due
	w.look(0)
}

// look syncs the schedule until nothing is left to do. The leader may die meanwhile, or have a predecessor.
func (w *world) look(breaks int) {
	w.Helper()
	w.breaks = breaks
	defer func() { w.breaks = 0 }()
	for hasMore := true; hasMore; {
		if w.chance(breaks) {
			w.lead(w.leader) // it died and came back
			return
		}
		before, stale := w.row(), w.stalePlan()
		if w.chance(breaks) {
			old := w.leader
			w.lead(storetest.Lead(w.T, w.db))
			if _, err := old.Schedules.Advance(w.Context(), stale.ScheduleUpdate); !errors.Is(err, store.ErrFenced) {
				w.Fatalf("a leader whose term has passed accounts: %v", err)
			}
		}
		err := w.sync(w.Context(), w.name())
		if after := w.observe(before); after.Cursor.After(before.Cursor) {
			if _, err := w.leader.Schedules.Advance(
				w.Context(), stale.ScheduleUpdate,
			); !errors.Is(err, store.ErrConflict) {
				w.Fatalf("the same due times are accounted for again: %v", err)
			}
		}
		if err != nil && !errors.Is(err, errNoAnswer) {
			w.Fatal(err)
		}
		if err != nil {
			return
		}
		hasMore = len(w.waiting()) > 0
		if current, isSet := w.timers.get(w.name()); isSet && !current.nextDue.IsZero() {
			w.accounted = later(w.accounted, w.now)
		}
	}
}

// stalePlan is the plan of a leader that may be too late to commit it.
func (w *world) stalePlan() *plan {
	w.Helper()
	breaks := w.breaks
	w.breaks = 0
	defer func() { w.breaks = breaks }()
	row := w.row()
	live, settled, err := w.scheduledRuns(w.Context(), w.dag, row)
	w.must(err)
	return makePlan(facts{dag: w.dag, row: row, live: live, settled: settled, now: w.now})
}

// observe compares the row with the row before a sync, and notes which schedule applies since when.
func (w *world) observe(was store.Schedule) store.Schedule {
	w.Helper()
	is, created := w.row(), w.dag.CreationTimestamp.UTC()
	switch {
	case was.DAGUID == is.DAGUID:
	case was.DAGUID == "" && w.dag.Generation == 1 && created.Before(w.now):
		w.apply(created, created, is.Expression)
	case was.DAGUID == "":
		w.apply(w.now, w.now, is.Expression)
	default:
		w.apply(was.Cursor, later(was.Cursor, created), was.Expression)
	}
	if was.DAGUID != "" && was.Expression != is.Expression {
		w.apply(is.Cursor, is.Cursor, is.Expression)
	}
	w.accounted = later(w.accounted, is.Cursor)
	return is
}

// apply ends the last stretch and begins another one.
func (w *world) apply(to, from time.Time, expression string) {
	if n := len(w.stretches); n > 0 {
		w.stretches[n-1].to = to
	}
	w.stretches = append(w.stretches, stretch{expression: expression, from: from})
	w.accounted = w.now // also if the clock was set back: due times that it has not reached again are not due yet
}

// check compares the ledger with the stretches and the cluster.
func (w *world) check() {
	w.Helper()
	due, counted, runs := w.dueTimes(), 0, map[string]string{}
	for _, row := range ledger(w.T, w.db, w.dag.Name) {
		last := counted + row.Count - 1
		if last >= len(due) || !due[counted].Equal(row.From) || !due[last].Equal(row.To) {
			next := due[min(counted, len(due)):min(last+2, len(due))]
			w.Fatalf("the ledger has %+v after %d due times; due are %v …", row, counted, next)
		}
		counted += row.Count
		if (row.Outcome == outcomeRan) != (row.RunName != "") {
			w.Fatalf("a tick with outcome %s names run %q", row.Outcome, row.RunName)
		}
		if _, isTwice := runs[row.RunName]; isTwice {
			w.Fatalf("two ticks name run %s", row.RunName)
		}
		if row.RunName != "" {
			runs[row.RunName] = row.RunUID
		}
	}
	if counted != len(due) {
		w.Errorf("%d due times are in the ledger, %d were due", counted, len(due))
	}
	for name, run := range w.api.runs {
		if runs[name] != string(run.UID) {
			w.Errorf("DagRun %s has UID %s, its tick has %q", name, run.UID, runs[name])
		}
	}
	if len(runs) != len(w.api.runs) {
		w.Errorf("%d due times ran, there are %d DagRuns", len(runs), len(w.api.runs))
	}
}

// dueTimes are the due times of all stretches.
func (w *world) dueTimes() (due []time.Time) {
	for i, s := range w.stretches {
		if s.expression == "" {
			continue
		}
		schedule, to := parsed(w.T, s.expression, ""), s.to
		if i == len(w.stretches)-1 {
			to = w.accounted
		}
		for at := schedule.Next(s.from); !at.After(to); at = schedule.Next(at) {
			due = append(due, at.UTC())
		}
	}
	return due
}
