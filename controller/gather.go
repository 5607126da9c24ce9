package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/names"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/store"
)

const (
	// descendantsPerSync bounds how far one sync follows failures through the graph.
	descendantsPerSync = 500
	// requestsAtOnce bounds the live reads and the creates that one sync has under way.
	requestsAtOnce = 16
)

// facts is what one sync gathered.
type facts struct {
	graph *dag.Graph
	slice engine.Slice
	// strangers are Pods that changed and belong to no live attempt: the reaper looks at them.
	strangers []string
	// unlabelled are Pods of ours whose labels somebody took.
	unlabelled []*corev1.Pod
	nextDue    time.Time
	// uncreated counts the Decided attempts that are not blocked. The slice has the first hundred.
	uncreated int
	// slots are the creates that the sync may send.
	slots *queue.Grant
	// more: there was more than one sync takes.
	more bool
}

// gather reads the rows and the Pods that one decision is about.
func (t *term) gather(ctx context.Context, row store.Run, graph *dag.Graph, change *change, now time.Time) (*facts, error) {
	maps.Copy(change.pods, t.workspaces.due(queue.RunKey(row.UID), now))
	rows, err := t.db.Gather(ctx, row.ID, store.Want{
		Pods: podNames(change), All: change.full, Now: now, Attempts: outcomesPerSync, Ready: startsPerSync, Cascade: outcomesPerSync,
	})
	if err != nil {
		return nil, fmt.Errorf("gathering run %s/%s: %w", row.Namespace, row.Name, err)
	}
	f := &facts{graph: graph, nextDue: rows.NextDue}
	f.more = !change.full && dueAttempts(rows.Attempts, now) >= outcomesPerSync
	if len(rows.Attempts) > outcomesPerSync+store.DecidedLimit {
		for _, a := range rows.Attempts[outcomesPerSync:] {
			t.dirty.pod(queue.RunKey(row.UID), a.PodName)
		}
		rows.Attempts, f.more = rows.Attempts[:outcomesPerSync], true
	}
	f.slice = engine.Slice{
		Graph: graph, Run: engineRun(row), Refusals: change.refusals, StartGrace: t.StartGrace,
		Starts: max(0, startsPerSync-rows.Decided), Pods: map[string]*engine.Pod{},
		PodName: func(task string, index, number int) string {
			return names.Pod(t.ID, row.UID, row.Name, task, index, number)
		},
	}
	closed := ""
	for _, gates := range t.gatesOf(row, graph) {
		closed = cmp.Or(gates.Reason(row.Namespace), closed)
	}
	if closed != "" {
		// One attempt waits for its turn to probe.
		f.slice.Starts, f.slice.StartsHeld = max(0, 1-rows.Decided), closed
	}
	f.uncreated = rows.Decided
	positions := map[int64]int{}
	for _, task := range rows.Tasks {
		positions[task.ID] = task.Position
		f.slice.Tasks = append(f.slice.Tasks, engineTask(task))
	}
	for _, a := range rows.Attempts {
		f.slice.Attempts = append(f.slice.Attempts, engineAttempt(a, positions[a.TaskID], change))
	}
	if err := t.gatherPods(ctx, row, f, change, now); err != nil {
		return nil, err
	}
	t.gatherBlocked(row, f)
	t.explainWorkspace(ctx, row, f, now)
	return f, t.gatherChildren(ctx, row, f, now)
}

// wanted is how many Pods a sync could create.
func (f *facts) wanted(row store.Run) int {
	return min(startsPerSync, f.uncreated+row.Counts.Waiting+row.Counts.Ready)
}

// dueAttempts counts those that are due: as many as were asked for say that there may be more.
func dueAttempts(attempts []store.Attempt, now time.Time) int {
	due := 0
	for _, a := range attempts {
		if !a.DueAt.IsZero() && !a.DueAt.After(now) {
			due++
		}
	}
	return due
}

func podNames(c *change) []string {
	names := make([]string, 0, len(c.pods))
	for name := range c.pods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func engineRun(r store.Run) engine.Run {
	return engine.Run{Phase: r.Phase, Stop: r.Stop, Hold: r.Hold, Total: r.Counts.Total, Waiting: r.Counts.Waiting, Ready: r.Counts.Ready, Active: r.Counts.Active,
		Succeeded: r.Counts.Succeeded, Failed: r.Counts.Failed, Skipped: r.Counts.Skipped, Cancelled: r.Counts.Cancelled, Deadline: r.DeadlineAt}
}

func engineTask(t store.Task) engine.Task {
	return engine.Task{ID: t.ID, Position: t.Position, Phase: t.Phase, Unmet: t.Unmet, Attempts: t.Attempts, Retries: t.Retries,
		Restarts: t.Restarts, Cascade: t.Cascade, Due: t.DueAt}
}

// engineAttempt is the attempt's row; a Pod that this term created counts as seen.
func engineAttempt(a store.Attempt, position int, change *change) engine.Attempt {
	uid := a.PodUID
	if uid == "" {
		uid = string(change.created[a.PodName])
	}
	return engine.Attempt{ID: a.ID, Task: position, Number: a.Number, Phase: a.Phase, Reason: a.Reason, Message: a.Message, Stop: a.Stop,
		PodName: a.PodName, PodUID: uid, ReasonAt: a.ReasonAt, MessageAt: a.MessageAt, Due: a.DueAt, Started: a.StartedAt, Seen: a.CreatedAt}
}

// gatherPods finds the Pod of each attempt: in the cache, or by a live read where the cache cannot be believed.
func (t *term) gatherPods(ctx context.Context, row store.Run, f *facts, change *change, now time.Time) error {
	known := make(map[string]bool, len(f.slice.Attempts))
	var ask []engine.Attempt
	for _, a := range f.slice.Attempts {
		known[a.PodName] = true
		_, changed := change.pods[a.PodName]
		p, cached := t.podSource.Get(cache.NewObjectName(row.Namespace, a.PodName))
		switch {
		case cached && t.podOf(p, row, a):
			facts := pod.Facts(p, t.starts.newest(p.UID))
			facts.Deletion = t.deletions.graceOver(p, now)
			f.slice.Pods[a.PodName] = facts
			if p.Labels[v1alpha1.LabelRun] != row.UID {
				f.unlabelled = append(f.unlabelled, p)
			}
		case a.Phase == engine.AttemptDecided && a.PodUID != "" && !changed:
			f.slice.Pods[a.PodName] = &engine.Pod{UID: a.PodUID, Phase: string(corev1.PodPending)}
		case a.PodUID != "", a.Phase == engine.AttemptStopping:
			ask = append(ask, a)
		}
	}
	for name := range change.pods {
		if !known[name] {
			f.strangers = append(f.strangers, name)
		}
	}
	if err := t.askPods(ctx, row, f, ask); err != nil {
		return err
	}
	return t.askNodes(ctx, f, now)
}

// gatesOf returns the gates that the Pods of a run must pass: that of its claim, if it needs one, and that of Pods,
// whose word counts more.
func (t *term) gatesOf(row store.Run, graph *dag.Graph) []*queue.Gates {
	if row.WorkspaceUID == "" && t.lacksWorkspace(row, graph) {
		return []*queue.Gates{t.storage, t.gates}
	}
	return []*queue.Gates{t.gates}
}

// gatherBlocked finds the attempts whose Pods must not be created before the run's turn to probe the namespace.
func (t *term) gatherBlocked(row store.Run, f *facts) {
	var tasks []int
	for _, a := range f.slice.Attempts {
		if a.Phase == engine.AttemptDecided && a.PodUID == "" && f.slice.Pods[a.PodName] == nil {
			tasks = append(tasks, a.Task)
		}
	}
	f.slice.Blocked = map[int]engine.Refusal{}
	for _, gates := range t.gatesOf(row, f.graph) {
		maps.Copy(f.slice.Blocked, gates.Blocked(row.Namespace, queue.RunKey(row.UID), row.VersionID, tasks))
	}
	f.uncreated -= len(f.slice.Blocked)
}

// podOf reports whether a Pod is that of the attempt: by label, owner and, once seen, UID.
func (t *term) podOf(p *corev1.Pod, row store.Run, a engine.Attempt) bool {
	if a.PodUID != "" {
		return a.PodUID == string(p.UID)
	}
	return pod.BelongsTo(p, t.ID, row.UID)
}

// askPods reads Pods past the cache: absence is believed only from there.
func (t *term) askPods(ctx context.Context, row store.Run, f *facts, ask []engine.Attempt) error {
	var mu sync.Mutex
	return parallel(len(ask), func(i int) error {
		a := ask[i]
		ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
		defer cancel()
		p, err := t.Kube.CoreV1().Pods(row.Namespace).Get(ctx, a.PodName, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading pod %q: %w", a.PodName, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || !t.podOf(p, row, a) {
			f.slice.Pods[a.PodName] = &engine.Pod{Gone: true}
			return nil
		}
		facts := pod.Facts(p, t.starts.newest(p.UID))
		facts.Deletion = latestGrace(p) // an uncached Pod has no first sighting
		f.slice.Pods[a.PodName] = facts
		if !pod.IsOurs(p, t.ID, row.UID) {
			f.unlabelled = append(f.unlabelled, p)
		}
		return nil
	})
}

// askNodes reads the nodes of Pods that should have been gone for a minute.
func (t *term) askNodes(ctx context.Context, f *facts, now time.Time) error {
	asked := map[string]bool{} // many Pods are on one node
	for _, p := range f.slice.Pods {
		if p.Gone || p.Deletion.IsZero() || p.Node == "" || now.Before(p.Deletion.Add(engine.NodeLostAfter)) {
			continue
		}
		lost, known := asked[p.Node]
		if !known {
			var err error
			if lost, err = t.nodeLost(ctx, p.Node); err != nil {
				return err
			}
			asked[p.Node] = lost
		}
		p.NodeLost = lost
	}
	return nil
}

func (t *term) nodeLost(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	node, err := t.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if apierrors.IsForbidden(err) {
		t.Log.Warn("a node cannot be judged lost without permission to get nodes", "node", name)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading node %q: %w", name, err)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status != corev1.ConditionTrue, nil
		}
	}
	return true, nil
}

// gatherChildren adds the tasks that the ends of this slice may change: the children of each task whose attempt ended, and
// some of the descendants of those that may fail.
func (t *term) gatherChildren(ctx context.Context, row store.Run, f *facts, now time.Time) error {
	have := map[int32]bool{}
	for _, task := range f.slice.Tasks {
		have[int32(task.Position)] = true
	}
	var want, failed []int32
	add := func(position int32) {
		if !have[position] {
			have[position] = true
			want = append(want, position)
		}
	}
	for _, a := range f.slice.Attempts {
		end, ended := engine.HowEnded(a, f.slice.Pods[a.PodName], now)
		if _, refused := f.slice.Refusals[a.PodName]; !ended && !refused {
			continue
		}
		for _, child := range f.graph.Children(a.Task) {
			add(child)
		}
		if end.Phase != engine.AttemptSucceeded {
			failed = append(failed, int32(a.Task))
		}
	}
	for _, task := range f.slice.Tasks {
		if task.Cascade {
			for _, child := range f.graph.Children(task.Position) {
				add(child)
			}
			failed = append(failed, int32(task.Position))
		}
	}
	descend(f.graph, failed, add)
	if len(want) == 0 {
		return nil
	}
	tasks, err := t.db.TasksAt(ctx, row.ID, want)
	if err != nil {
		return fmt.Errorf("reading tasks of run %s/%s: %w", row.Namespace, row.Name, err)
	}
	for _, task := range tasks {
		f.slice.Tasks = append(f.slice.Tasks, engineTask(task))
	}
	return nil
}

// descend adds descendants, breadth first, at most descendantsPerSync of them.
func descend(graph *dag.Graph, from []int32, add func(int32)) {
	seen, budget := map[int32]bool{}, descendantsPerSync
	for len(from) > 0 && budget > 0 {
		position := from[0]
		from = from[1:]
		for _, child := range graph.Children(int(position)) {
			if seen[child] {
				continue
			}
			seen[child] = true
			add(child)
			from = append(from, child)
			if budget--; budget == 0 {
				return
			}
		}
	}
}

// parallel calls f for 0..n-1, a bounded number at once, and returns the first error.
func parallel(n int, f func(int) error) error {
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		slots = make(chan struct{}, requestsAtOnce)
	)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := queue.Guard(i, func() error { return f(i) }); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

// earlier returns the earlier of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
