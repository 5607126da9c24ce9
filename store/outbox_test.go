package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/transition"
)

// endTask commits that the only task of a run has succeeded, with a notice.
func (f *fixture) endTask(run, task, attempt int64, event string) error {
	f.Helper()
	code := int32(0)
	return f.leader.Commit(f.Context(), run, []transition.Transition{
		transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", ExitCode: &code, FinishedAt: at(9)},
		transition.TaskSucceeded{Task: task, At: at(9)},
		transition.RunEnded{Phase: "Succeeded", At: at(9)},
	}, []store.Notice{{Task: task, Event: event, At: at(9)}, {Event: "RunSucceeded", At: at(9)}})
}

// claim claims notifications for ten seconds and returns the event and the try of each.
func (f *fixture) claim(now time.Time, underWay ...store.Notification) ([]store.Notification, time.Time) {
	f.Helper()
	claimed, next, err := f.leader.Outbox.Claim(f.Context(), store.NotificationClaim{
		Now: now, Until: now.Add(10 * time.Second), Limit: 5, PerDAG: 2, Claimed: underWay})
	if err != nil {
		f.Fatal(err)
	}
	return claimed, next
}

func (f *fixture) note(n store.Notification, d store.Delivery, retry time.Time) {
	f.Helper()
	if err := f.leader.Outbox.RecordDelivery(f.Context(), n, d, retry); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) notifications() string {
	f.Helper()
	return f.text(`SELECT coalesce(string_agg(concat_ws(' ', event, state, tries, extract(epoch FROM due_at - $1)::int,
nullif(error, '')), ', ' ORDER BY id), '') FROM kontroler_v1.notifications`, t0)
}

// TestNotificationWritten checks that a notification is committed or rolled back with its ending, and that a claimed
// one has the values of the rows.
func TestNotificationWritten(t *testing.T) {
	f := newFixture(t)
	run, task, attempt := f.attempt("Running")
	if err := f.endTask(run, task, attempt, "Nonsense"); !errors.Is(err, store.ErrRejected) {
		t.Errorf("an unknown event: %v", err)
	}
	f.exec(`UPDATE kontroler.runs SET waiting = 1, total = 2 WHERE id = $1`, run)
	if err := f.endTask(run, task, attempt, "TaskSucceeded"); err == nil {
		t.Error("a run ended with an open task")
	}
	if got := f.notifications() + f.text(`SELECT phase FROM kontroler.tasks WHERE id = $1`, task); got != "Active" {
		t.Errorf("a rollback has left %s", got)
	}
	f.exec(`UPDATE kontroler.runs SET waiting = 0, total = 1 WHERE id = $1`, run)
	if err := f.endTask(run, task, attempt, "TaskSucceeded"); err != nil {
		t.Fatal(err)
	}
	if got, want := f.notifications(), "TaskSucceeded Pending 0 9, RunSucceeded Pending 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	claimed, _ := f.claim(at(9))
	if len(claimed) != 1 {
		t.Fatalf("claimed %+v", claimed)
	}
	zero := int32(0)
	want := &store.NotifiedTask{
		ID: task, Attempts: 1, Name: "a", Phase: "Succeeded", ExitCode: &zero, FinishedAt: at(9),
	}
	if diff := cmp.Diff(want, claimed[0].Task); diff != "" {
		t.Errorf("the task (-want +got):\n%s", diff)
	}
	if r := claimed[0].Run; r.ID != run || r.Phase != "Succeeded" || r.VersionID != f.version.ID ||
		r.Counts.Succeeded != 1 || r.DAGID != f.version.DAGID {
		t.Errorf("the run: %+v", r)
	}
	err := f.leader.Commit(t.Context(), run, []transition.Transition{transition.TaskSucceeded{Task: task, At: at(10)}},
		[]store.Notice{{Task: task, Event: "TaskSucceeded", At: at(10)}})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("ended twice: %v", err)
	}
	if got := f.text(`SELECT count(*) FROM kontroler.notifications`); got != "2" {
		t.Errorf("%s notifications, want 2", got)
	}
}

// TestNotificationOrder checks that the notifications of a run are delivered one after the other. A failed one delays
// the next until it is delivered or parked. A claim ends by itself.
func TestNotificationOrder(t *testing.T) {
	f := newFixture(t)
	run, task, attempt := f.attempt("Running")
	if err := f.endTask(run, task, attempt, "TaskSucceeded"); err != nil {
		t.Fatal(err)
	}
	first, next := f.claim(at(10))
	if len(first) != 1 || first[0].Try != 1 || next != at(20) {
		t.Fatalf("claimed %+v, next %s", first, next)
	}
	if again, _ := f.claim(at(19)); len(again) != 0 {
		t.Errorf("claimed twice: %+v", again)
	}
	if again, _ := f.claim(at(20), first...); len(again) != 0 {
		t.Errorf("claimed while it is under way: %+v", again)
	}
	f.note(first[0], store.Delivery{At: at(11), Status: 500, Error: "no\x00", Response: "busy",
		Duration: 7 * time.Millisecond}, at(30))
	f.note(first[0], store.Delivery{At: at(11), Error: "again"}, at(40)) // its commit's answer was lost
	if got, want := f.notifications(), "TaskSucceeded Pending 1 30 no\uFFFD, RunSucceeded Pending 0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if early, next := f.claim(at(29)); len(early) != 0 || next != at(30) {
		t.Errorf("claimed %+v, next %s", early, next)
	}
	second, _ := f.claim(at(30)) // its leader dies
	third, _ := f.claim(at(40))
	if len(second) != 1 || len(third) != 1 || third[0].Try != 3 {
		t.Fatalf("claimed %+v, then %+v", second, third)
	}
	f.note(second[0], store.Delivery{At: at(41)}, time.Time{}) // too late: it is another's
	f.note(third[0], store.Delivery{At: at(42), Error: "no"}, time.Time{})
	if got, want := f.notifications(), "TaskSucceeded Parked 3 no, RunSucceeded Pending 0 42"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	last, _ := f.claim(at(43))
	if len(last) != 1 || last[0].Event != "RunSucceeded" || last[0].Task != nil {
		t.Fatalf("claimed %+v", last)
	}
	f.note(last[0], store.Delivery{At: at(44), Status: 204}, time.Time{})
	if rest, next := f.claim(at(1000)); len(rest) != 0 || !next.IsZero() {
		t.Errorf("claimed %+v, next %s", rest, next)
	}
	want := "1 500 no\uFFFD busy 7, 3 NULL no  0, 1 204   0"
	if got := f.text(`SELECT string_agg(
    concat_ws(' ', try, coalesce(status::text, 'NULL'), error, response, duration_ms), ', ' ORDER BY at)
FROM kontroler_v1.deliveries`); got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

// refuse makes a run that is refused n seconds after t0, and whose notification is due then. It returns its id.
func (f *fixture) refuse(n int) int64 {
	f.Helper()
	r := f.newRun()
	r.AdmittedAt, r.NotifyFailed = at(n), true
	run, err := f.leader.Refuse(f.Context(), r, "InvalidParameters", "m")
	if err != nil {
		f.Fatal(err)
	}
	return run.ID
}

// claimOneByOne claims one notification after the other while the earlier ones are under way, and checks that they are
// those of the runs.
func (f *fixture) claimOneByOne(runs ...int64) {
	f.Helper()
	var underWay []store.Notification
	for _, want := range runs {
		claimed, _, err := f.leader.Outbox.Claim(f.Context(), store.NotificationClaim{
			Now: at(20), Until: at(30), Limit: 1, PerDAG: 4, Claimed: underWay,
		})
		if err != nil || len(claimed) != 1 || claimed[0].Run.ID != want {
			f.Fatalf("with %d under way: %+v, %v, want the run %d", len(underWay), claimed, err, want)
		}
		underWay = append(underWay, claimed...)
	}
}

// toAnotherDAG makes a run that of a new DAG.
func (f *fixture) toAnotherDAG(run int64, namespace, name string) {
	f.Helper()
	f.exec(`INSERT INTO kontroler.dags (namespace, name, uid, created_at) VALUES ($1, $2, $3, now())`,
		namespace, name, uid(2))
	for table, key := range map[string]string{"runs": "id", "notifications": "run_id"} {
		f.exec(`UPDATE kontroler.`+table+` SET dag_id = (
    SELECT id FROM kontroler.dags WHERE namespace = $2 AND name = $3) WHERE `+key+` = $1`, run, namespace, name)
	}
}

// TestNotificationsOfADAGWithOthersUnderWay checks that a DAG whose receiver hangs does not take the place of a DAG
// without deliveries, however long its notifications have been due.
func TestNotificationsOfADAGWithOthersUnderWay(t *testing.T) {
	f := newFixture(t)
	ids := make([]int64, 3)
	for i := range ids {
		ids[i] = f.refuse(i)
	}
	f.toAnotherDAG(ids[2], "default", "e")
	f.claimOneByOne(ids[0], ids[2], ids[1])
}

// TestNotificationsOfANamespaceWithManyDAGs checks that a namespace with many DAGs whose receivers hang does not take a
// place from one that has none under way, however long its notifications have been due.
func TestNotificationsOfANamespaceWithManyDAGs(t *testing.T) {
	f := newFixture(t)
	ids := make([]int64, 4)
	for i := range ids {
		ids[i] = f.refuse(i)
		f.toAnotherDAG(ids[i], []string{"loud", "loud", "loud", "quiet"}[i], fmt.Sprint("dag-", i))
	}
	f.claimOneByOne(ids[0], ids[3], ids[1], ids[2])
}

// TestNotificationClaimLocksWhatItClaims checks that the cost of a claim in locks does not grow with what is due.
func TestNotificationClaimLocksWhatItClaims(t *testing.T) {
	f := newFixture(t)
	for n := range 5 {
		f.toAnotherDAG(f.refuse(n), "default", fmt.Sprint("dag-", n))
	}
	claimed, _, err := f.leader.Outbox.Claim(t.Context(), store.NotificationClaim{
		Now: at(20), Until: at(30), Limit: 1, PerDAG: 4,
	})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %+v, %v", claimed, err)
	}
	// A lock stays in xmax.
	locked := `SELECT count(*) FROM kontroler.notifications WHERE xmax <> 0 AND id <> $1`
	if got := f.text(locked, claimed[0].ID); got != "0" {
		t.Errorf("%s notifications are locked that are not claimed", got)
	}
}

// TestNotificationShares checks that a DAG gets its share, that the longest due come first, and that a claim does
// not wait for rows that another transaction has locked.
func TestNotificationShares(t *testing.T) {
	f := newFixture(t)
	for n := range 4 {
		f.refuse(n)
	}
	f.toAnotherDAG(f.refuse(9), "default", "e")
	quiet := f.newRun() // has no webhook
	if _, err := f.leader.Refuse(t.Context(), quiet, "InvalidDag", "m"); err != nil {
		t.Fatal(err)
	}
	tx, err := f.raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SELECT FROM kontroler.notifications ORDER BY id LIMIT 1 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	claimed, _ := f.claim(at(20))
	due := []string{}
	for _, n := range claimed {
		due = append(due, fmt.Sprint(n.Run.FinishedAt.Sub(t0).Seconds()))
	}
	if diff := cmp.Diff([]string{"1", "9"}, due); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	more, _ := f.claim(at(21), claimed...)
	if len(more) != 1 || more[0].Run.FinishedAt != t0 {
		t.Errorf("then %+v", more)
	}
	claimed = append(claimed, more...)
	if more, _ := f.claim(at(22), claimed...); len(more) != 0 {
		t.Errorf("%d more of a DAG that has its share", len(more))
	}
	f.note(claimed[0], store.Delivery{At: at(23)}, time.Time{})
	if more, _ := f.claim(at(23), claimed[1:]...); len(more) != 1 || more[0].Run.FinishedAt != at(2) {
		t.Errorf("after a delivery %+v", more)
	}
	// A leader whose epoch has passed can neither claim nor record.
	if _, err := f.db.TakeEpoch(t.Context(), 0, "other", 0, false); err != nil {
		t.Fatal(err)
	}
	if err := f.leader.Outbox.RecordDelivery(t.Context(), claimed[1], store.Delivery{At: at(23)},
		time.Time{}); !errors.Is(err, store.ErrFenced) && !store.IsUnavailable(err) {
		t.Errorf("recorded by a former leader: %v", err)
	}
}
