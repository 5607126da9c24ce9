package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"kontroler/controller/engine"
)

// gathered is the input of one sync.
type gathered struct {
	snapshot  engine.Snapshot
	unmatched []string
	nextDue   time.Time
	more      bool
	// maxDecided is how many attempts may be Decided after the sync.
	maxDecided int
}

// gather makes the snapshot of a sync within the limits.
func (w *world) gather(c change) (*gathered, error) {
	g := &gathered{snapshot: engine.Snapshot{
		Graph: w.graph, Run: w.rows.run, Pods: map[string]*engine.Pod{}, Refusals: c.refusals,
		Intent:      engine.Intent{CancelRequested: w.cancel, DagRunDeleted: w.deleted},
		StartLimits: engine.StartLimits{Slots: w.slots(), StartGrace: startGrace},
		PodName:     podName,
	}}
	have := map[int]bool{}
	add := func(position int) {
		if !have[position] {
			have[position] = true
			g.snapshot.Tasks = append(g.snapshot.Tasks, w.rows.tasks[position].Task)
		}
	}
	w.gatherAttempts(g, c)
	for _, a := range g.snapshot.Attempts {
		add(a.Task)
	}
	w.gatherTasks(g, add)
	for _, a := range g.snapshot.Attempts {
		if err := w.askPod(g, c, a); err != nil {
			return nil, err
		}
	}
	for _, position := range g.snapshot.Missing(w.now, w.limits.descendants) {
		add(int(position))
	}
	return g, nil
}

func podName(task string, _, number int) string { return fmt.Sprintf("%s-%d", task, number) }

// gatherAttempts adds the live attempts that changed, are due, or have no Pod yet.
func (w *world) gatherAttempts(g *gathered, c change) {
	due, decided := 0, 0
	byDue := ordered(w.rows.live)
	slices.SortStableFunc(byDue, func(a, b *attemptRow) int { return a.Due.Compare(b.Due) })
	take := map[int64]bool{}
	for _, a := range byDue {
		isDue := !a.Due.IsZero() && !a.Due.After(w.now)
		switch {
		case c.full || c.pods[a.PodName]:
			take[a.ID] = true
		case isDue && due < w.limits.outcomes:
			take[a.ID] = true
			due++
		case isDue:
			g.more = true
		}
		if a.Due.After(w.now) {
			g.nextDue = earlier(g.nextDue, a.Due)
		}
	}
	for _, a := range ordered(w.rows.live) {
		if a.Phase == engine.AttemptDecided {
			if decided++; decided <= w.limits.decided {
				take[a.ID] = true
			}
		}
		switch {
		case !take[a.ID]:
		case len(g.snapshot.Attempts) >= w.limits.outcomes+w.limits.decided:
			w.dirty[a.PodName], g.more = true, true
		default:
			attempt := a.Attempt
			attempt.PodUID = cmp.Or(attempt.PodUID, w.created[a.PodName])
			g.snapshot.Attempts = append(g.snapshot.Attempts, attempt)
		}
	}
	for name := range c.pods {
		if a := w.rows.byName[name]; a == nil || a.hasEnded {
			g.unmatched = append(g.unmatched, name)
		}
	}
	slices.Sort(g.unmatched)
	g.maxDecided = w.limits.starts
	if w.now.Before(w.quotaAt) {
		g.maxDecided, g.snapshot.StartHold = 1, engine.ReasonQuotaExceeded
	}
	g.snapshot.MaxStarts = max(0, g.maxDecided-decided)
}

// gatherTasks adds Ready tasks that are due, longest due first, and tasks with ChildrenPending.
func (w *world) gatherTasks(g *gathered, add func(int)) {
	var ready []*taskRow
	cascade := 0
	for _, t := range w.rows.tasks {
		switch {
		case t.Phase == engine.TaskReady && !t.Due.After(w.now):
			ready = append(ready, t)
		case t.Phase == engine.TaskReady:
			g.nextDue = earlier(g.nextDue, t.Due)
		case t.ChildrenPending && cascade < w.limits.cascade:
			cascade++
			add(t.Position)
		}
	}
	slices.SortStableFunc(ready, func(a, b *taskRow) int { return a.Due.Compare(b.Due) })
	for _, t := range ready[:min(len(ready), w.limits.starts)] {
		add(t.Position)
	}
}

// askPod adds the facts about an attempt's Pod, from the cache or, if the cache may be stale, from a live read.
func (w *world) askPod(g *gathered, c change, a engine.Attempt) error {
	cached, ok := w.cache[a.PodName]
	var facts engine.Pod
	switch {
	case ok && !cached.gone && (a.PodUID == "" || a.PodUID == cached.facts.UID) && w.pods[a.PodName] != nil:
		facts = cached.facts
	case a.Phase == engine.AttemptDecided && a.PodUID != "" && !c.pods[a.PodName]:
		facts = engine.Pod{UID: a.PodUID, Phase: "Pending"}
	case a.PodUID == "" && a.Phase != engine.AttemptStopping:
		return nil
	case w.chaos(2):
		return errAPI
	case w.pods[a.PodName] == nil:
		facts = engine.Pod{Gone: true}
	default:
		facts = w.pods[a.PodName].facts
	}
	if !facts.Gone && facts.Node != "" && !facts.Deletion.IsZero() &&
		!w.now.Before(facts.Deletion.Add(engine.NodeLostAfter)) {
		facts.NodeLost = w.all[facts.UID].nodeDown
	}
	g.snapshot.Pods[a.PodName] = &facts
	return nil
}

// commit applies the transitions and checks the ends of attempts against the cluster.
func (w *world) commit(c *changes, g *gathered) error {
	live, decided, slots := len(w.rows.live), countDecided(w.rows.live), w.slots()
	if err := c.commit(); err != nil {
		return err
	}
	for _, a := range c.ended {
		a.inStop, a.endedAt = w.rows.run.Stop != "", w.now
		if err := w.checkEnd(a); err != nil {
			return fmt.Errorf("attempt %s ended as %s %s: %w", a.PodName, a.end.Phase, a.end.Reason, err)
		}
		if err := w.checkTask(w.rows.tasks[a.Task]); err != nil {
			return err
		}
	}
	if more := len(w.rows.live) - live + len(c.ended); more > slots {
		return fmt.Errorf("%d attempts decided, %d slots", more, slots)
	}
	if after := countDecided(w.rows.live); after > max(decided, g.maxDecided) {
		return fmt.Errorf("%d attempts are Decided, %d before, want at most %d", after, decided, g.maxDecided)
	}
	if limit := w.graph.Spec().MaxParallel; limit != nil && w.rows.run.Active > int(*limit) {
		return fmt.Errorf("%d active tasks, maxParallel %d", w.rows.run.Active, *limit)
	}
	return nil
}

// checkEnd compares the end of an attempt with how its container really ended.
func (w *world) checkEnd(a *attemptRow) error {
	p, e := w.all[a.PodUID], a.end
	switch a.stopBefore {
	case "":
	case engine.ReasonTimeout, engine.ReasonStartFailed:
		if e.Phase != engine.AttemptFailed || e.Reason != a.stopBefore {
			return fmt.Errorf("it was stopped for %s", a.stopBefore)
		}
		return nil
	default:
		if e.Phase != engine.AttemptCancelled || e.Reason != a.stopBefore {
			return fmt.Errorf("it was stopped for %s", a.stopBefore)
		}
		return nil
	}
	if p == nil {
		if e.Phase != engine.AttemptFailed || e.Reason != engine.ReasonStartFailed {
			return errors.New("it had no Pod")
		}
		return nil
	}
	t := p.facts.Terminated
	own := p.cause == "own" || p.cause == "deadline" || p.cause == "storage" || p.cause == "start"
	asked := !p.facts.DeletionAsked.IsZero() && (t == nil || !p.facts.DeletionAsked.After(t.Finished))
	switch e.Phase {
	case engine.AttemptSucceeded:
		if t == nil || t.ExitCode != 0 {
			return errors.New("its container did not exit 0")
		}
	case engine.AttemptFailed:
		if !own || t != nil && (e.ExitCode == nil || *e.ExitCode != t.ExitCode) {
			return fmt.Errorf("the cause is %q, the container's end %+v: not the task's own", p.cause, t)
		}
	case engine.AttemptLost:
		if own && !p.removed && !asked && !p.facts.Disrupted {
			return fmt.Errorf("the cause is %q: the task's own: %+v, ended %+v", p.cause, p.facts, t)
		}
		if over := p.facts.Deletion.Add(time.Minute); e.Reason == engine.ReasonNodeLost && t == nil &&
			a.endedAt.Before(over) {
			return fmt.Errorf("its node was lost, but has until %v", over.Sub(t0))
		}
		if p.cause == "" && !p.removed && !p.nodeDown && (p.facts.Node != "" || p.facts.Deletion.IsZero()) {
			return errors.New("its container may still run")
		}
	default:
		return errors.New("nobody stopped it")
	}
	return nil
}

// checkTask computes the state of a task from the ends of its attempts, and compares.
func (w *world) checkTask(t *taskRow) error {
	want := engine.Task{
		ID:              t.ID,
		Position:        t.Position,
		Phase:           engine.TaskReady,
		Attempts:        len(t.attempts),
		ChildrenPending: t.ChildrenPending,
	}
	spec := w.graph.Task(t.Position)
	limit := 0
	if spec.Backoff != nil {
		limit = int(*spec.Backoff.Limit)
	}
	for i, a := range t.attempts {
		if want.Phase != engine.TaskReady || a.Number != i+1 || !a.hasEnded && i+1 < len(t.attempts) {
			return fmt.Errorf("task %d is %s and has attempt %d after it", t.Position, want.Phase, a.Number)
		}
		want.Due = time.Time{}
		ran := time.Duration(0)
		if p := w.cluster.all[a.PodUID]; a.end.Started.IsZero() {
		} else if p != nil && p.facts.Terminated != nil && p.facts.Terminated.Finished.Equal(a.end.Finished) {
			ran = a.end.Finished.Sub(a.end.Started)
		} else {
			ran = a.end.Finished.Sub(a.FirstSeen)
		}
		if ran >= 10*time.Minute {
			want.Restarts = 0
		}
		retryable := spec.Conditional == nil || !*spec.Conditional.Enabled ||
			a.end.ExitCode != nil && slices.Contains(spec.Conditional.RetryCodes, int64(*a.end.ExitCode))
		switch {
		case !a.hasEnded:
			want.Phase = engine.TaskActive
		case a.end.Phase == engine.AttemptSucceeded:
			want.Phase = engine.TaskSucceeded
		case a.inStop:
			want.Phase = engine.TaskCancelled
		case a.end.Phase == engine.AttemptLost && want.Restarts == 10,
			a.end.Phase == engine.AttemptFailed && (want.Retries == limit || !retryable):
			want.Phase = engine.TaskFailed
		case a.end.Phase == engine.AttemptLost:
			want.Restarts++
			want.Due = a.endedAt.Add(min(time.Second<<(want.Restarts-1), 5*time.Minute))
		default:
			want.Retries++
			want.Due = a.endedAt.Add(min(10*time.Second<<(want.Retries-1), 5*time.Minute))
		}
	}
	got := t.Task
	if want.Phase == engine.TaskFailed || want.Phase == engine.TaskCancelled || want.Phase == engine.TaskSucceeded {
		want.Retries, want.Restarts, want.Due = got.Retries, got.Restarts, got.Due
	}
	if w.rows.run.Stop != "" && want.Phase == engine.TaskReady {
		want.Phase, want.Due = engine.TaskCancelled, time.Time{}
	}
	if got != want {
		return fmt.Errorf("task %d after %d attempts: want %+v, got %+v", t.Position, len(t.attempts), want, got)
	}
	return nil
}

// checkCreate checks the invariants of a create.
func (w *world) checkCreate(c engine.Create) {
	row := w.rows.byName[c.PodName]
	switch {
	case row == nil:
		w.fail("pod %s is created before its attempt is committed", c.PodName)
	case row.Phase != engine.AttemptDecided || row.PodUID != "":
		w.fail("pod %s is created again: its attempt is %s, its Pod was seen: %q", c.PodName, row.Phase, row.PodUID)
	case w.created[c.PodName] != "":
		w.fail("pod %s is created again, though its create was answered", c.PodName)
	case row.Task != c.Task || row.Number != c.Number:
		w.fail("pod %s is created for attempt %d of task %d", c.PodName, c.Number, c.Task)
	}
}

// checkStart checks the invariants of a start of a container.
func (w *world) checkStart(p *simPod) {
	if row := w.rows.byName[p.name]; row == nil || row.hasEnded {
		w.fail("the container of %s starts without a live attempt", p.name)
	}
	for _, parent := range w.graph.Parents(p.task) {
		if phase := w.rows.tasks[parent].Phase; phase != engine.TaskSucceeded {
			w.fail("task %d starts while its parent %d is %s", p.task, parent, phase)
		}
	}
	for _, a := range w.rows.tasks[p.task].attempts {
		if other := w.all[a.PodUID]; other != nil && other != p && other.running && !other.nodeDown {
			w.fail("task %d runs in %s and in %s", p.task, other.name, p.name)
		}
	}
}

// checkReminders fails the test if something is due and no sync is scheduled for it.
func (w *world) checkReminders(g *gathered) {
	isScheduled := func(at time.Time) bool {
		return !w.wakeAt.IsZero() && !w.wakeAt.After(later(at, w.now.Add(time.Second)))
	}
	for _, a := range ordered(w.rows.live) {
		if a.Phase == engine.AttemptDecided && w.created[a.PodName] != "" {
			continue // the watch will show its Pod
		}
		if !a.Due.IsZero() && !isScheduled(a.Due) {
			w.fail("attempt %s (%s) is due at %v, and no sync is scheduled", a.PodName, a.Phase, a.Due.Sub(t0))
		}
		if a.Phase == engine.AttemptDecided && w.pods[a.PodName] == nil && a.PodUID == "" && w.wakeAt.IsZero() &&
			w.pendingEvents() == 0 {
			w.fail("attempt %s has no Pod, and no sync is scheduled", a.PodName)
		}
	}
	for _, t := range w.rows.tasks {
		switch {
		case t.ChildrenPending && w.rows.run.Stop == "":
			w.fail("children of task %d are pending, and no sync is scheduled", t.Position)
		case t.Phase != engine.TaskReady:
		case t.Due.After(w.now):
			if !isScheduled(t.Due) {
				w.fail("task %d is due at %v, and no sync is scheduled", t.Position, t.Due.Sub(t0))
			}
		case w.rows.run.Hold == "" && g.snapshot.MaxStarts > 0:
			w.fail("task %d is Ready and not held, and no sync is scheduled", t.Position)
		case g.snapshot.StartHold != "" && w.rows.run.Active == 0:
			w.fail("task %d is Ready and held, and no attempt waits for the namespace", t.Position)
		}
	}
	if r := w.rows.run; r.Stop == "" && !r.Deadline.IsZero() && !isScheduled(r.Deadline) {
		w.fail("no sync is scheduled for the deadline")
	}
}

// pendingEvents counts the events that may still cause a sync.
func (w *world) pendingEvents() int { return len(w.agenda) }

// checkFinal computes the final state of the run and of each task from the outcomes of the tasks, and compares.
func (w *world) checkFinal() error {
	var n struct{ failed, cancelled int }
	want := map[int32]string{}
	run := w.rows.run
	for _, position := range w.graph.Order() {
		t := w.rows.tasks[position]
		phase := ""
		if k := len(t.attempts); k > 0 && (t.Phase == engine.TaskSucceeded || t.Phase == engine.TaskFailed) {
			phase = t.Phase
		} else if k > 0 && run.Stop != "" {
			phase = engine.TaskCancelled
		}
		if phase == "" && run.Stop != "" {
			phase = engine.TaskCancelled
		}
		for _, parent := range w.graph.Parents(int(position)) {
			if want[parent] == engine.TaskFailed || want[parent] == engine.TaskSkipped {
				if run.Stop == "" || t.Phase == engine.TaskSkipped {
					phase = engine.TaskSkipped
				}
			}
		}
		if want[position] = phase; phase != t.Phase {
			return fmt.Errorf("task %d is %s, not %q", position, t.Phase, phase)
		}
		switch phase {
		case engine.TaskFailed:
			n.failed++
		case engine.TaskCancelled:
			n.cancelled++
		}
		if err := w.checkTask(t); err != nil && len(t.attempts) > 0 {
			return err
		}
	}
	phase, reason := engine.RunSucceeded, ""
	switch {
	case run.Stop == engine.ReasonDeadlineExceeded && n.failed+n.cancelled > 0:
		phase, reason = engine.RunFailed, run.Stop
	case n.cancelled > 0:
		phase, reason = engine.RunCancelled, run.Stop
	case n.failed > 0:
		phase, reason = engine.RunFailed, engine.ReasonTaskFailed
	}
	if run.Phase != phase || w.rows.reason != reason {
		return fmt.Errorf("run is %s %s, not %s %s", run.Phase, w.rows.reason, phase, reason)
	}
	return nil
}

// countDecided counts the attempts that have no Pod yet.
func countDecided(live map[int64]*attemptRow) int {
	n := 0
	for _, a := range live {
		if a.Phase == engine.AttemptDecided {
			n++
		}
	}
	return n
}
