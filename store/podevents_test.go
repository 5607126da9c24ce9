package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

// podEvent returns an Event of the fixture's attempt, n seconds after t0, with a count.
func podEvent(run string, reason string, n int, count int32) store.PodEvent {
	return store.PodEvent{
		Pod: store.Pod{UID: uid(7), RunUID: run, Name: "p"}, Type: "Normal", Reason: reason, Message: "m",
		Source: "kubelet", Count: count, FirstAt: at(n), LastAt: at(n + int(count) - 1),
	}
}

func (f *fixture) keep(want int, events ...store.PodEvent) {
	f.Helper()
	kept, err := f.leader.PodEvents.Save(f.Context(), events)
	if err != nil {
		f.Fatal(err)
	}
	if kept != want {
		f.Errorf("%d of %d Events were kept, want %d", kept, len(events), want)
	}
}

// podEvents reads the rows of an attempt from the view.
func (f *fixture) podEvents(attempt int64) string {
	f.Helper()
	return f.text(`SELECT coalesce(string_agg(concat_ws(' ', reason, count, extract(epoch FROM first_at - $2)::int,
extract(epoch FROM last_at - $2)::int), ', ' ORDER BY first_at, reason), '')
FROM kontroler_v1.pod_events WHERE attempt_id = $1`, attempt, t0)
}

// runUID returns the UID of a run's DagRun.
func (f *fixture) runUID(run int64) string {
	f.Helper()
	return f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, run)
}

// TestSavePodEvents checks that a repeated Event counts once, in any order, and that only new Events are changes.
func TestSavePodEvents(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Pending")
	of := f.runUID(run)
	changes := func() string { return f.text(`SELECT count(*) FROM kontroler_v1.changes WHERE run_id = $1`, run) }
	before := changes()
	later := podEvent(of, "BackOff", 5, 4)
	for _, want := range []int{2, 0, 0} {
		f.keep(want, podEvent(of, "Scheduled", 1, 1), later)
		f.keep(0, podEvent(of, "BackOff", 5, 2))
	}
	if want := "Scheduled 1 1 1, BackOff 4 5 8"; f.podEvents(attempt) != want {
		t.Errorf("rows %q, want %q", f.podEvents(attempt), want)
	}
	if got := before + " then " + changes(); got != "1 then 2" {
		t.Errorf("recorded changes: %s", got)
	}
	container, other := later, later
	container.Container, other.Message = "task", "another"
	f.keep(3, podEvent(of, "BackOff", 3, 7), container, other)
	if want := "Scheduled 1 1 1, BackOff 7 3 9, BackOff 4 5 8, BackOff 4 5 8"; f.podEvents(attempt) != want {
		t.Errorf("rows %q, want %q", f.podEvents(attempt), want)
	}
	if n := f.text(`SELECT count(*) FROM kontroler_v1.pod_events WHERE run_id = $1`, run); n != "4" {
		t.Errorf("the run has %s rows", n)
	}
}

// TestSavePodEventsOfOthers checks that Events of Pods without an attempt are ignored, and that an attempt without a
// Pod UID accepts the Events of the Pod with its name.
func TestSavePodEventsOfOthers(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Pending")
	decidedRun, _, decided := f.attempt("Decided")
	mine := podEvent(f.runUID(run), "Scheduled", 1, 1)
	early := podEvent(f.runUID(decidedRun), "Scheduled", 1, 1)
	var others []store.PodEvent
	for _, change := range []func(*store.PodEvent){
		func(e *store.PodEvent) { e.Pod.UID = uid(8) },
		func(e *store.PodEvent) { e.Pod.Name = "q" },
		func(e *store.PodEvent) { e.Pod.RunUID = uid(999) },
	} {
		other := mine
		change(&other)
		others = append(others, other)
	}
	f.keep(0, others...)
	f.keep(0)
	f.keep(2, append(others, mine, early)...)
	for _, id := range []int64{attempt, decided} {
		if want := "Scheduled 1 1 1"; f.podEvents(id) != want {
			t.Errorf("rows %q, want %q", f.podEvents(id), want)
		}
	}
	odd := mine
	odd.Message = "NUL \x00 and \xff"
	f.keep(1, odd)
}

// TestSavePodEventsOfTwoPodsOfOneName checks that two Pods that claim to be the same attempt are rejected together, so
// that the caller divides the Events, and are stored one after the other.
func TestSavePodEventsOfTwoPodsOfOneName(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Decided")
	one := podEvent(f.runUID(run), "Scheduled", 1, 1)
	two := one
	two.Pod.UID = uid(8)
	if _, err := f.leader.PodEvents.Save(t.Context(), []store.PodEvent{one, two}); !errors.Is(err, store.ErrRejected) {
		t.Errorf("both together: %v, want ErrRejected", err)
	}
	f.keep(1, one)
	f.keep(0, two)
	if want := "Scheduled 1 1 1"; f.podEvents(attempt) != want {
		t.Errorf("rows %q, want %q", f.podEvents(attempt), want)
	}
}

// TestPodEventsAreBounded checks that an attempt keeps the first and the newest of 1,000 Events, also when they are
// repeated in another order, and that another attempt keeps its own.
func TestPodEventsAreBounded(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Running")
	otherRun, _, other := f.attempt("Running")
	f.keep(1, podEvent(f.runUID(otherRun), "Scheduled", 500, 1))
	var events []store.PodEvent
	for n := range 1000 {
		events = append(events, podEvent(f.runUID(run), fmt.Sprintf("R%03d", n), n, 1))
	}
	want := ""
	for n := range 1000 {
		if n < 10 || n >= 980 {
			want += fmt.Sprintf(", R%03d 1 %d %d", n, n, n)
		}
	}
	for round := range 3 {
		for batch := range slices.Chunk(events, 300) {
			if _, err := f.leader.PodEvents.Save(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want[2:], f.podEvents(attempt)); diff != "" {
			t.Errorf("rows of round %d (-want +got):\n%s", round, diff)
		}
		slices.Reverse(events)
	}
	if want := "Scheduled 1 500 500"; f.podEvents(other) != want {
		t.Errorf("rows of the other attempt: %q, want %q", f.podEvents(other), want)
	}
}

// TestPodEventsPartition checks that the rows of an attempt are in the partition of its decision.
func TestPodEventsPartition(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Running")
	of, now := f.runUID(run), time.Now().UTC()
	f.exec(`UPDATE kontroler.attempts SET decided_at = $1 WHERE id = $2`, now, attempt)
	f.keep(1, podEvent(of, "Scheduled", 1, 1))
	if err := f.leader.History.Maintain(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	f.keep(1, podEvent(of, "Scheduled", 1, 1), podEvent(of, "Started", 2, 1))
	partition := "pod_events_" + now.Format("2006_01")
	if n := f.text(`SELECT count(*) FROM kontroler.` + partition); n != "2" {
		t.Errorf("%s rows are in %s", n, partition)
	}
	f.exec(`DROP TABLE kontroler.` + partition) // as a retention does
	f.keep(1, podEvent(of, "Killing", 3, 1))
}

func TestRecentPods(t *testing.T) {
	f := newFixture(t)
	f.attempt("Decided")
	var want []store.Pod
	for range 3 {
		run, _, _ := f.attempt("Succeeded")
		want = append(want, store.Pod{UID: uid(7), RunUID: f.runUID(run), Name: "p"})
	}
	for limit, want := range map[int][]store.Pod{2: want[1:], 10: want} {
		got, err := f.leader.PodEvents.RecentPods(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b store.Pod) int { return strings.Compare(a.RunUID, b.RunUID) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the newest %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestFencedPodEvents(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Running")
	f.exec(`UPDATE kontroler.epochs SET epoch = epoch + 1`)
	if _, err := f.leader.PodEvents.Save(t.Context(),
		[]store.PodEvent{podEvent(f.runUID(run), "Scheduled", 1, 1)}); err == nil || f.podEvents(attempt) != "" {
		t.Errorf("a leader whose epoch has passed kept %q, %v", f.podEvents(attempt), err)
	}
}
