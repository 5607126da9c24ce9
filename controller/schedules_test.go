package controller

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/schedule"
	"kontroler/store"
	"kontroler/store/storetest"
)

// scheduleWorld is a schedule in a real database, with a clock, a cluster and leaders that are all made up: what
// account does, one step at a time, so that a leader may end between any two.
type scheduleWorld struct {
	*testing.T
	r       *rand.Rand
	db      *store.DB
	leader  *store.Leader
	dag     *v1alpha1.DAG
	now     time.Time
	objects map[string]string // the DagRuns in the cluster: UIDs by name
	uids    int
	// stretches are the times that a schedule governed, one after the other.
	stretches []governed
	looked    time.Time // the latest time that was accounted for
}

type governed struct {
	expression string
	from, to   time.Time // to zero: still
}

func (w *scheduleWorld) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *scheduleWorld) uid() string {
	w.uids++
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", w.uids)
}

func (w *scheduleWorld) chance(percent int) bool { return w.r.IntN(100) < percent }

// make makes the DAG, anew where there was one.
func (w *scheduleWorld) make() {
	w.Helper()
	spec := v1alpha1.DAGSpec{Schedule: "@every 90s"}
	if w.dag != nil {
		spec = w.dag.Spec
	}
	w.dag = &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: w.Name(), UID: types.UID(w.uid()), Generation: 1, CreationTimestamp: metav1.NewTime(w.now)}, Spec: spec}
	_, err := w.leader.SaveVersion(w.Context(), store.DAG{Namespace: "default", Name: w.dag.Name, UID: string(w.dag.UID), CreatedAt: w.now}, []byte(`{}`), [32]byte{1}, 1, w.now)
	w.must(err)
}

// edit changes the DAG as a user might.
func (w *scheduleWorld) edit() {
	w.dag.Generation++
	switch spec := &w.dag.Spec; w.r.IntN(6) {
	case 0:
		spec.Schedule = []string{"@every 7s", "@every 90s", "*/2 * * * *", "0 * * * *", ""}[w.r.IntN(5)]
	case 1:
		spec.Suspended = !spec.Suspended
	case 2:
		spec.ConcurrencyPolicy = []v1alpha1.ConcurrencyPolicy{v1alpha1.AllowConcurrent, v1alpha1.ForbidConcurrent, v1alpha1.ReplaceConcurrent}[w.r.IntN(3)]
	case 3:
		spec.CatchUp = []v1alpha1.CatchUpPolicy{v1alpha1.CatchUpNone, v1alpha1.CatchUpLatest, v1alpha1.CatchUpAll}[w.r.IntN(3)]
	case 4:
		spec.StartingDeadlineSeconds = new(int64(w.r.IntN(300)))
	case 5:
		valid := []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse}[w.r.IntN(2)]
		meta.SetStatusCondition(&w.dag.Status.Conditions, metav1.Condition{Type: v1alpha1.DAGValid, Status: valid, Reason: "Test"})
	}
}

// gather reads the schedule and its runs.
func (w *scheduleWorld) gather(leader *store.Leader) *schedulePlan {
	w.Helper()
	was, found, err := leader.Schedule(w.Context(), "default", w.dag.Name)
	if err != nil || !found {
		w.Fatal(found, err)
	}
	all, err := leader.ScheduledRuns(w.Context(), was.DAGID, string(w.dag.UID))
	w.must(err)
	var live []store.ScheduledRun
	var settled []time.Time
	for _, run := range all {
		if run.UID != "" && v1alpha1.RunPhase(run.Phase).Ended() {
			settled = append(settled, run.DueAt)
			continue
		}
		live = append(live, run)
	}
	return planSchedule(w.dag, was, live, settled, time.Time{}, w.now)
}

// rewind takes back what was decided and not made, as the next look does first; it reports whether there was any.
func (w *scheduleWorld) rewind() bool {
	w.Helper()
	was, found, err := w.leader.Schedule(w.Context(), "default", w.dag.Name)
	if err != nil || !found {
		w.Fatal(found, err)
	}
	all, err := w.leader.ScheduledRuns(w.Context(), was.DAGID, string(w.dag.UID))
	w.must(err)
	var unmade []time.Time
	for _, run := range all {
		uid := run.RowUID
		if uid == "" {
			uid = w.objects[run.Name]
		}
		switch {
		case run.UID != "":
		case uid != "":
			w.must(w.leader.ScheduledRunCreated(w.Context(), was.DAGID, run.DueAt, uid))
		default:
			unmade = append(unmade, run.DueAt)
		}
	}
	if len(unmade) == 0 {
		return false
	}
	w.must(rewind(w.Context(), w.leader, was, unmade))
	return true
}

// rewindAll rewinds until nothing is left that was not made.
func (w *scheduleWorld) rewindAll() {
	w.Helper()
	for w.rewind() {
	}
}

// passOver is what a claim does first: the DAG was another controller's.
func (w *scheduleWorld) passOver() {
	w.Helper()
	w.must(passOver(w.Context(), w.leader, w.dag, time.Time{}, w.now))
	if w.now.After(w.looked) {
		w.looked = w.now
	}
}

// commit commits a plan and notes what it means for the stretches.
func (w *scheduleWorld) commit(p *schedulePlan) {
	w.Helper()
	if !p.changed() {
		return
	}
	_, err := w.leader.Account(w.Context(), p.Accounting)
	w.must(err)
	was, is, created := p.Was, p.Is, w.dag.CreationTimestamp.UTC()
	switch {
	case was.DAGUID == "" && w.dag.Generation == 1:
		w.govern(created, created, is.Expression)
	case was.DAGUID == "":
		w.govern(w.now, w.now, is.Expression)
	case was.DAGUID != is.DAGUID:
		from := was.Cursor
		if from.Before(created) {
			from = created
		}
		w.govern(was.Cursor, from, was.Expression)
	}
	if was.DAGUID != "" && was.Expression != is.Expression {
		w.govern(is.Cursor, is.Cursor, is.Expression)
	}
}

// govern ends the last stretch and begins another one.
func (w *scheduleWorld) govern(to, from time.Time, expression string) {
	if n := len(w.stretches); n > 0 {
		w.stretches[n-1].to = to
	}
	w.stretches = append(w.stretches, governed{expression: expression, from: from})
	w.looked = w.now // also where the clock went back: what it has not reached again is not due yet
}

// follow makes the DagRuns of a plan. It may break off anywhere.
func (w *scheduleWorld) follow(p *schedulePlan, breaks int) {
	w.Helper()
	for _, run := range p.runs {
		if run.UID != "" {
			continue
		}
		uid := run.RowUID
		if uid == "" {
			if w.chance(breaks) {
				return
			}
			if uid = w.objects[run.Name]; uid == "" {
				uid = w.uid()
				w.objects[run.Name] = uid
			}
			if w.chance(50) { // it is admitted and ends before its maker notes it
				_, err := w.leader.Refuse(w.Context(), store.NewRun{UID: uid, Namespace: "default", Name: run.Name, DAGName: w.dag.Name, DAGID: p.Is.DAGID, CreatedAt: w.now, AdmittedAt: w.now}, "Test", "")
				w.must(err)
			}
			if w.chance(breaks) {
				return
			}
		}
		w.must(w.leader.ScheduledRunCreated(w.Context(), p.Is.DAGID, run.DueAt, uid))
	}
}

// look is a look at the schedule until there is no more to account for; a leader may end in it, or be another's successor.
func (w *scheduleWorld) look(breaks int) {
	w.Helper()
	for more := true; more; {
		if w.chance(breaks) {
			return
		}
		if w.rewind() {
			continue
		}
		stale := w.gather(w.leader)
		if w.chance(breaks) {
			old := w.leader
			w.leader = storetest.Lead(w.T, w.db)
			if _, err := old.Account(w.Context(), stale.Accounting); !errors.Is(err, store.ErrFenced) {
				w.Fatalf("a leader whose term has passed accounts: %v", err)
			}
		}
		p := w.gather(w.leader)
		w.commit(p)
		if len(p.Ticks) > 0 {
			if _, err := w.leader.Account(w.Context(), stale.Accounting); !errors.Is(err, store.ErrConflict) {
				w.Fatalf("the same due times are accounted for again: %v", err)
			}
		}
		if w.now.After(w.looked) && !p.more {
			w.looked = w.now
		}
		if w.chance(breaks) {
			return
		}
		w.follow(p, breaks)
		more = p.more
	}
}

// check compares the ledger with the stretches.
func (w *scheduleWorld) check() {
	w.Helper()
	var due []time.Time
	for i, s := range w.stretches {
		parsed, _, err := dag.ParseSchedule(s.expression, nil)
		if s.expression == "" || err != nil {
			continue
		}
		to := s.to
		if i == len(w.stretches)-1 {
			to = w.looked
		}
		for at := parsed.Next(s.from); !at.After(to); at = parsed.Next(at) {
			due = append(due, at.UTC())
		}
	}
	var counted int
	ran := map[string]bool{}
	w.must(w.db.InTx(w.Context(), func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(w.Context(), `SELECT t.due_from, t.due_to, t.count, t.outcome, coalesce(t.run_name, ''), coalesce(t.run_uid::text, '')
FROM kontroler.ticks t JOIN kontroler.dags d ON d.id = t.dag_id WHERE d.name = $1 ORDER BY t.due_from`, w.dag.Name)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var from, to time.Time
			var count int
			var outcome, name, uid string
			if err := rows.Scan(&from, &to, &count, &outcome, &name, &uid); err != nil {
				return err
			}
			if counted+count > len(due) || !due[counted].Equal(from) || !due[counted+count-1].Equal(to) {
				w.Fatalf("the ledger has %s to %s, %d %s, as number %d; due are %v", from, to, count, outcome, counted, due[min(counted, len(due)):min(counted+count, len(due))])
			}
			counted += count
			if (outcome == schedule.Ran) != (name != "") || ran[name] && name != "" || name != "" && w.objects[name] != uid {
				w.Fatalf("%s %s: run %q with UID %q, in the cluster %q", from, outcome, name, uid, w.objects[name])
			}
			ran[name] = true
		}
		return rows.Err()
	}))
	delete(ran, "")
	if counted != len(due) || len(ran) != len(w.objects) {
		w.Fatalf("%d due times in the ledger, %d were due; %d ran, %d DagRuns", counted, len(due), len(ran), len(w.objects))
	}
}

// Whatever is edited, and wherever leaders end: every due time is in the ledger once, and each that ran has one DagRun.
// The clock may go back.
func TestScheduleAccountsForEveryDueTimeOnce(t *testing.T) {
	db := storetest.New(t)
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
			w := &scheduleWorld{T: t, r: rand.New(rand.NewPCG(seed, 2)), db: db, leader: storetest.Lead(t, db), objects: map[string]string{},
				uids: int(seed+1) << 20, now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(seed) * time.Hour)}
			w.make()
			for range 50 {
				step := []time.Duration{time.Second, time.Minute, 5 * time.Minute, time.Hour}[w.r.IntN(4)]
				w.now = w.now.Add(time.Duration(w.r.Int64N(int64(step)*2)) - step/3).Truncate(time.Second)
				switch {
				case w.chance(25):
					w.edit()
				case w.chance(10):
					w.rewindAll()
					w.passOver()
				case w.chance(4):
					if w.now.Before(w.looked) {
						w.now = w.looked // the clock of the API server, which says when it was made, does not go back
					}
					w.look(0) // what is decided and not made when a DAG is deleted is not made any more
					w.make()
				}
				w.look(15)
			}
			w.look(0)
			w.check()
		})
	}
}

// TestScheduleOlderThanItsController: a DAG that is older than the controller's database was somebody else's to run, as one of
// the existing Kontroler was. Its schedule begins when it is first seen, and nothing is caught up on.
func TestScheduleOlderThanItsController(t *testing.T) {
	now := time.Date(2026, 3, 2, 15, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		since time.Time
		want  time.Time // where the schedule begins
	}{
		"the DAG is newer": {now.Add(-72 * time.Hour), now.Add(-48 * time.Hour)},
		"the DAG is older": {now.Add(-24 * time.Hour), now},
	} {
		t.Run(name, func(t *testing.T) {
			d := &v1alpha1.DAG{
				ObjectMeta: metav1.ObjectMeta{Name: "daily", UID: "u", Generation: 1, CreationTimestamp: metav1.NewTime(now.Add(-48 * time.Hour))},
				Spec:       v1alpha1.DAGSpec{Schedule: "CRON_TZ=UTC 0 2 * * *"},
			}
			is, state := scheduleState(d, store.Schedule{}, c.since, now)
			if !is.Cursor.Equal(c.want) || is.Expression != "0 2 * * *" || is.TimeZone != "UTC" || state.Schedule == nil {
				t.Errorf("begins at %s with %q in %q, want %s", is.Cursor, is.Expression, is.TimeZone, c.want)
			}
			if ran := len(planSchedule(d, store.Schedule{}, nil, nil, c.since, now).runs); (ran > 0) != c.want.Before(now) {
				t.Errorf("%d runs are due at once", ran)
			}
		})
	}
}
