package engine_test

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"kontroler/apis/dag"
	"kontroler/controller/engine"
)

// event is an action at a time.
type event struct {
	at  time.Time
	seq int
	do  func()
}

type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// containerPlan is how long containers run and how they exit.
type containerPlan struct {
	failPercent, longest int
}

func (p containerPlan) duration(c *cluster) time.Duration { return c.seconds(0, p.longest) }

func (p containerPlan) exitCode(c *cluster) int32 {
	if !c.chance(p.failPercent) {
		return 0
	}
	return []int32{1, 2, 137}[c.w.rng.IntN(3)]
}

// limits are those of one sync. Small limits make partial snapshots.
type limits struct{ outcomes, decided, starts, cascade, descendants int }

// seenPod is a Pod in the cache.
type seenPod struct {
	facts   engine.Pod
	version int
	gone    bool
}

// world is one run, its rows, its cluster, and a controller. The controller syncs only if something changed, a sync
// requested another one, or a requeue is due. A world is deterministic in its seed.
type world struct {
	rng    *rand.Rand
	now    time.Time
	graph  *dag.Graph
	rows   *rows
	plan   containerPlan
	limits limits
	agenda agenda
	seq    int
	err    error
	*cluster
	// skew is how far the clocks of the nodes are ahead.
	skew time.Duration
	// level is the chaos in percent. It ends at calm.
	level int
	calm  time.Time

	cancel, deleted   bool
	maxPods, others   int
	syncs, idle, cost int

	// The memory of the controller, which a crash loses.
	life     int
	queued   bool
	wakeAt   time.Time
	full     bool
	dirty    map[string]bool
	created  map[string]string
	refusals map[string]engine.Refusal
	cache    map[string]seenPod
	quotaAt  time.Time
	quotaGap time.Duration
}

func newWorld(seed uint64, g *dag.Graph) *world {
	w := &world{
		rng:     rand.New(rand.NewPCG(seed, 1)),
		now:     t0,
		graph:   g,
		rows:    newRows(g, t0),
		calm:    t0.Add(2 * time.Hour),
		maxPods: 1 << 20,
	}
	w.cluster = &cluster{w: w, pods: map[string]*simPod{}, all: map[string]*simPod{}}
	w.skew = []time.Duration{0, 10 * time.Minute, -10 * time.Minute}[seed%3]
	w.limits = limits{outcomes: 500, decided: 100, starts: 100, cascade: 500, descendants: 500}
	w.plan = containerPlan{failPercent: 15, longest: 60}
	w.restart()
	return w
}

func (w *world) chaotic() bool { return w.now.Before(w.calm) }

func (w *world) at(t time.Time, do func()) {
	w.seq++
	heap.Push(&w.agenda, event{t, w.seq, do})
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v, sync %d: %w", w.now.Sub(t0), w.syncs, fmt.Errorf(format, args...))
	}
}

// restart begins a new leader with the rows and a fresh list.
func (w *world) restart() {
	w.life++
	w.queued, w.wakeAt, w.full, w.quotaAt, w.quotaGap = true, time.Time{}, true, time.Time{}, 0
	w.dirty, w.created, w.refusals = map[string]bool{}, map[string]string{}, map[string]engine.Refusal{}
	w.relist()
	for _, p := range ordered(w.pods) {
		if row := w.rows.byName[p.name]; row != nil && row.hasEnded {
			w.reapLater(p.name)
		}
	}
}

func (w *world) relist() {
	w.cache = map[string]seenPod{}
	for _, p := range ordered(w.pods) {
		w.cache[p.name] = seenPod{facts: p.facts, version: p.version}
	}
	w.full, w.queued = true, true
}

// watch delivers the current state of a Pod later, perhaps twice. If it is never delivered, a relist follows.
func (w *world) watch(p *simPod) {
	if w.chaos(2) {
		life := w.life
		w.at(w.now.Add(w.seconds(10, 300)), func() {
			if w.life == life {
				w.relist()
			}
		})
		return
	}
	shown, name := seenPod{p.facts, p.version, p.removed}, p.name
	deliver := func() {
		if old, ok := w.cache[name]; ok && old.facts.UID == shown.facts.UID &&
			old.version >= shown.version && !w.chance(50) {
			return
		} else if !ok || old.facts.UID != shown.facts.UID || old.version < shown.version {
			w.cache[name] = shown
		}
		delete(w.created, name)
		w.dirty[name], w.queued = true, true
	}
	w.at(w.now.Add(w.seconds(0, 2)), deliver)
	if w.chaos(10) {
		w.at(w.now.Add(w.seconds(0, 4)), deliver)
	}
}

// addAfter is AddAfter of a workqueue: the earliest time counts.
func (w *world) addAfter(t time.Time) {
	if t.IsZero() {
		return
	}
	if w.wakeAt.IsZero() || t.Before(w.wakeAt) {
		w.wakeAt = t
	}
}

// step runs one sync or event. It reports whether nothing is left to run.
func (w *world) step() (stuck bool) {
	if w.queued && (len(w.agenda) == 0 || w.rng.IntN(3) > 0) {
		w.queued = false
		w.sync()
		w.now = w.now.Add(time.Duration(w.rng.IntN(5)) * time.Millisecond)
		return false
	}
	woken := !w.queued && !w.wakeAt.IsZero() && (len(w.agenda) == 0 || w.wakeAt.Before(w.agenda[0].at))
	switch {
	case woken:
		w.now = later(w.now, w.wakeAt)
		w.queued, w.wakeAt = true, time.Time{}
	case len(w.agenda) > 0:
		next := heap.Pop(&w.agenda).(event)
		w.now = later(w.now, next.at)
		if !w.wakeAt.IsZero() && !w.wakeAt.After(w.now) {
			w.queued, w.wakeAt = true, time.Time{}
		}
		next.do()
		w.idle = 0
	default:
		return !w.queued
	}
	return false
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

var errAPI = errors.New("the API server did not answer")

// change is what a sync takes from memory and returns if it fails.
type change struct {
	full     bool
	pods     map[string]bool
	refusals map[string]engine.Refusal
}

func (w *world) take() (c change, more bool) {
	c = change{full: w.full, pods: map[string]bool{}, refusals: w.refusals}
	w.full, w.refusals = false, map[string]engine.Refusal{}
	for _, name := range slices.Sorted(maps.Keys(w.dirty)) {
		if len(c.pods) == w.limits.outcomes {
			return c, true
		}
		c.pods[name] = true
		delete(w.dirty, name)
	}
	return c, false
}

func (w *world) restore(c change) {
	w.full = w.full || c.full
	maps.Copy(w.dirty, c.pods)
	maps.Copy(w.refusals, c.refusals)
	w.addAfter(w.now.Add(time.Second))
}

// sync gathers, decides, commits and acts. A crash or failure may come between any two steps.
func (w *world) sync() {
	if w.rows.run.Phase != engine.RunPending && w.rows.run.Phase != engine.RunRunning {
		return
	}
	w.syncs++
	c, more := w.take()
	w.queued = w.queued || more
	g, err := w.gather(c)
	if err != nil {
		w.restore(c)
		return
	}
	changes := &changes{rows: w.rows}
	next, err := engine.Decide(g.snapshot, w.now)
	if err != nil {
		w.fail("deciding: %w", err)
		return
	}
	changes.add(next.Transitions)
	w.cost = changes.calls
	switch {
	case w.chaos(2): // the commit fails
		c.full = true
		w.restore(c)
		return
	case w.chaos(1):
		w.restart()
		return
	}
	w.checkProgress(changes, next)
	if err := w.commit(changes, g); err != nil {
		w.fail("%w", err)
		return
	}
	switch {
	case w.chaos(2): // the commit succeeds and its answer is lost: nothing is acted on
		c.full = true
		w.restore(c)
		return
	case w.chaos(2):
		w.restart()
		return
	}
	w.act(g, next)
}

// checkProgress fails the test if syncs requeue one another without writing anything.
func (w *world) checkProgress(c *changes, next engine.Decision) {
	if w.idle++; c.calls > 0 || !next.Requeue && (next.RequeueAt.IsZero() || next.RequeueAt.After(w.now)) {
		w.idle = 0
	}
	if w.idle > 3 {
		w.fail("the syncs spin: requeue %v, after %v", next.Requeue, next.RequeueAt.Sub(w.now))
	}
}

// act applies a committed decision to the cluster.
func (w *world) act(g *gathered, next engine.Decision) {
	for _, name := range append(next.Reap, g.unmatched...) {
		w.reapLater(name)
	}
	if next.IsLast {
		return
	}
	failed := false
	for _, d := range next.Delete {
		if w.chaos(2) {
			w.restart()
			return
		}
		failed = w.chaos(5) || failed
		if !failed {
			w.stopPod(d)
		}
	}
	for _, c := range next.Create {
		if w.chaos(1) {
			w.restart()
			return
		}
		failed = w.createPod(c) != nil || failed
	}
	if failed {
		w.restore(change{})
	}
	if next.Requeue || g.more {
		w.queued = true
	}
	w.addAfter(earlier(next.RequeueAt, g.nextDue))
	w.throttled()
	if !w.queued && w.rows.isCheckDue() {
		w.checkReminders(g)
	}
}

// throttled requeues the run if it waits for slots and some are free.
func (w *world) throttled() {
	if w.rows.run.Hold == engine.HoldThrottled && w.slots() > 0 {
		w.queued = true
	}
}

// slots returns the slots that neither other runs nor live attempts use.
func (w *world) slots() int {
	used := w.others
	for _, a := range w.rows.live {
		if p := w.pods[a.PodName]; p != nil {
			used++
		}
	}
	return max(0, w.maxPods-used)
}

func (w *world) stopPod(d engine.Delete) {
	row := w.rows.byName[d.PodName]
	if row == nil || row.Phase != engine.AttemptStopping && !row.hasEnded {
		w.fail("pod %s is deleted, its attempt is neither Stopping nor ended", d.PodName)
	}
	p := w.pods[d.PodName]
	if p == nil || p.facts.UID != d.PodUID {
		w.dirty[d.PodName], w.queued = true, true
		return
	}
	w.remove(p, 30*time.Second)
}

// createPod sends a create. The API server may reject it, or create the Pod and not answer.
func (w *world) createPod(c engine.Create) error {
	w.checkCreate(c)
	if w.now.Before(w.quotaAt) {
		if c.Reason != engine.ReasonQuotaExceeded {
			w.refuseCreate(c, engine.ReasonQuotaExceeded, false)
		}
		w.addAfter(w.quotaAt)
		return nil
	}
	switch {
	case w.quotaClosed && w.pods[c.PodName] == nil:
		w.quotaGap = min(max(time.Second, 2*w.quotaGap), time.Minute)
		w.quotaAt = w.now.Add(w.quotaGap)
		w.addAfter(w.quotaAt)
		if c.Reason != engine.ReasonQuotaExceeded {
			w.refuseCreate(c, engine.ReasonQuotaExceeded, false)
		}
		return nil
	case w.pods[c.PodName] == nil && w.chaos(2):
		w.refuseCreate(c, engine.ReasonCreateRefused, w.chance(10))
		return nil
	case w.chaos(2):
		return errAPI
	}
	uid, taken := w.create(c.PodName, c.Task)
	w.quotaAt, w.quotaGap = time.Time{}, 0
	if !taken && w.chaos(5) {
		return errAPI
	}
	w.created[c.PodName] = uid
	return nil
}

func (w *world) refuseCreate(c engine.Create, reason string, isPermanent bool) {
	w.refusals[c.PodName] = engine.Refusal{Reason: reason, Message: "no", IsPermanent: isPermanent}
	w.queued = true
}

// reapLater is the reaper.
func (w *world) reapLater(name string) {
	life := w.life
	w.at(w.now.Add(w.seconds(0, 5)), func() {
		p, row := w.pods[name], w.rows.byName[name]
		if p == nil || w.life != life || row == nil || !row.hasEnded {
			return
		}
		w.gone(p)
	})
}
