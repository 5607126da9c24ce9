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
	"kontroler/controller/informer"
	"kontroler/controller/names"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/controller/versions"
	"kontroler/store"
)

// descendantsPerSync bounds how far one sync follows failures through the graph.
const descendantsPerSync = 500

// gatherer reads the facts that a decision needs.
type gatherer struct {
	*core
	gatekeeper *gatekeeper
	workspaces *workspaces
	graphs     *versions.Loader
	deletions  informer.Deletions
	// runVersions are the versions of the live runs that this term has synced: int64 by queue.RunKey.
	runVersions sync.Map
}

// facts is what one sync gathered.
type facts struct {
	graph    *dag.Graph
	snapshot engine.Snapshot
	// unmatched are the names of changed Pods that match no live attempt. They have finished, or are not ours.
	unmatched []string
	// unlabelled are our Pods whose labels somebody removed.
	unlabelled []*corev1.Pod
	// postponed are the names of changed Pods that are left to the next sync.
	postponed []string
	// hasMore reports that more attempts are due than one sync handles.
	hasMore bool
	// nextDue is when the next row outside the snapshot is due, or when the workspace's claim must be read again. Zero
	// means never.
	nextDue time.Time
	// uncreated counts the Decided attempts whose Pods may be created. The snapshot has the first hundred of them.
	uncreated int
}

// read reads the run of a key and the rows that a decision about changes needs. found reports whether the run exists.
// If the workspace's claim must be read again, read adds the Pods that wait for it to changes, so that they are not
// lost if the sync fails.
func (g *gatherer) read(
	ctx context.Context, key queue.RunKey, dagRun *v1alpha1.DagRun, changes *queue.Changes, now time.Time,
) (rows store.Snapshot, found bool, err error) {
	maps.Copy(changes.Pods, g.workspaces.due(key, now))
	rows, found, err = g.db.Gather(ctx, string(key), store.GatherRequest{
		Pods:               slices.Sorted(maps.Keys(changes.Pods)),
		Positions:          g.childrenOfEnded(key, dagRun, changes),
		All:                changes.IsFull,
		Now:                now,
		MaxAttempts:        outcomesPerSync,
		MaxReady:           startsPerSync,
		MaxChildrenPending: outcomesPerSync,
	})
	if err != nil {
		return store.Snapshot{}, false, fmt.Errorf("reading run %s: %w", key, err)
	}
	return rows, found, nil
}

// gather adds the Pods of a run and the remaining rows that the decision needs. It writes neither to the database nor
// to the cluster.
func (g *gatherer) gather(
	ctx context.Context, rows store.Snapshot, graph *dag.Graph, changes *queue.Changes, now time.Time,
) (*facts, error) {
	row := rows.Run
	g.runVersions.Store(queue.RunKey(row.UID), row.VersionID)
	f := &facts{graph: graph, nextDue: rows.NextDue, uncreated: rows.Decided}
	f.hasMore = !changes.IsFull && dueAttempts(rows.Attempts, now) >= outcomesPerSync
	if len(rows.Attempts) > outcomesPerSync+store.DecidedLimit {
		for _, a := range rows.Attempts[outcomesPerSync:] {
			f.postponed = append(f.postponed, a.PodName)
		}
		rows.Attempts, f.hasMore = rows.Attempts[:outcomesPerSync], true
	}
	f.snapshot = g.snapshotOf(row, graph, rows, changes)
	if err := g.gatherPods(ctx, row, f, changes, now); err != nil {
		return nil, err
	}
	g.gatherBlocked(row, f)
	g.workspaces.gatherClaim(ctx, row, f, now)
	return f, g.gatherMissing(ctx, row, f, now)
}

// childrenOfEnded returns the positions of tasks that the decision will probably need: the children of tasks whose Pods
// have ended. Reading them together with the run saves a round trip. gatherMissing reads any that are missing; in the
// first sync of a run in this term, that is all of them.
func (g *gatherer) childrenOfEnded(key queue.RunKey, dagRun *v1alpha1.DagRun, changes *queue.Changes) []int32 {
	version, isKnown := g.runVersions.Load(key)
	if dagRun == nil || !isKnown {
		return nil
	}
	graph, isLoaded := g.graphs.Cached(version.(int64))
	if !isLoaded {
		return nil
	}
	children := map[int32]struct{}{}
	for name := range changes.Pods {
		p, _ := g.cached.pods.Get(cache.NewObjectName(dagRun.Namespace, name))
		if p == nil || p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			continue
		}
		position, found := graph.Position(p.Labels[v1alpha1.LabelTask])
		if !found {
			continue // somebody changed the label
		}
		for _, child := range graph.Children(position) {
			children[child] = struct{}{}
		}
		if len(children) > descendantsPerSync {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(children))
}

// snapshotOf makes a snapshot of rows. It has no Pods yet.
func (g *gatherer) snapshotOf(
	row store.Run, graph *dag.Graph, rows store.Snapshot, changes *queue.Changes,
) engine.Snapshot {
	s := engine.Snapshot{
		Graph: graph, Run: engineRun(row), Refusals: changes.Refusals, Pods: map[string]*engine.Pod{},
		StartLimits: engine.StartLimits{MaxStarts: max(0, startsPerSync-rows.Decided), StartGrace: g.cfg.StartGrace},
		PodName: func(task string, index, number int) string {
			return names.Pod(g.cfg.ID, row.UID, row.Name, task, index, number)
		},
	}
	if closed := g.closedFor(row, graph); closed != "" {
		s.MaxStarts, s.StartHold = max(0, 1-rows.Decided), closed // one attempt is enough for a probe
	}
	positions := map[int64]int{}
	for _, task := range rows.Tasks {
		positions[task.ID] = task.Position
		s.Tasks = append(s.Tasks, engineTask(task))
	}
	for _, a := range rows.Attempts {
		s.Attempts = append(s.Attempts, engineAttempt(a, positions[a.TaskID], changes))
	}
	return s
}

// closedFor returns why the namespace of a run rejects Pods or claims that the run needs. The result is empty if it
// accepts them.
func (g *gatherer) closedFor(row store.Run, graph *dag.Graph) string {
	closed := ""
	for _, gates := range g.gatesOf(row, graph) {
		closed = cmp.Or(gates.Reason(row.Namespace), closed)
	}
	return closed
}

// creatable is how many Pods a sync could create.
func (f *facts) creatable(row store.Run) int {
	return min(startsPerSync, f.uncreated+row.Counts.Waiting+row.Counts.Ready)
}

// dueAttempts counts the attempts that are due. If the count equals the limit of the query, more may be due.
func dueAttempts(attempts []store.Attempt, now time.Time) int {
	due := 0
	for _, a := range attempts {
		if !a.DueAt.IsZero() && !a.DueAt.After(now) {
			due++
		}
	}
	return due
}

func engineRun(r store.Run) engine.Run {
	return engine.Run{
		Phase:     r.Phase,
		Stop:      r.Stop,
		Hold:      r.Hold,
		Total:     r.Counts.Total,
		Waiting:   r.Counts.Waiting,
		Ready:     r.Counts.Ready,
		Active:    r.Counts.Active,
		Succeeded: r.Counts.Succeeded,
		Failed:    r.Counts.Failed,
		Skipped:   r.Counts.Skipped,
		Cancelled: r.Counts.Cancelled,
		Deadline:  r.DeadlineAt,
	}
}

func engineTask(t store.Task) engine.Task {
	return engine.Task{
		ID:              t.ID,
		Position:        t.Position,
		Phase:           t.Phase,
		Unmet:           t.Unmet,
		Attempts:        t.Attempts,
		Retries:         t.Retries,
		Restarts:        t.Restarts,
		ChildrenPending: t.ChildrenPending,
		Due:             t.DueAt,
	}
}

// engineAttempt converts a row. If the row has no Pod UID yet, it takes that of the Pod that this term created.
func engineAttempt(a store.Attempt, position int, changes *queue.Changes) engine.Attempt {
	uid := a.PodUID
	if uid == "" {
		uid = string(changes.Created[a.PodName])
	}
	return engine.Attempt{
		ID:        a.ID,
		Task:      position,
		Number:    a.Number,
		Phase:     a.Phase,
		Reason:    a.Reason,
		Message:   a.Message,
		Stop:      a.Stop,
		PodName:   a.PodName,
		PodUID:    uid,
		ReasonAt:  a.ReasonAt,
		MessageAt: a.MessageAt,
		Due:       a.DueAt,
		Started:   a.StartedAt,
		FirstSeen: a.CreatedAt,
	}
}

// gatherPods finds the Pod of each attempt in the cache or, if the cache cannot tell, by a live read.
func (g *gatherer) gatherPods(
	ctx context.Context, row store.Run, f *facts, changes *queue.Changes, now time.Time,
) error {
	known := make(map[string]bool, len(f.snapshot.Attempts))
	var toRead []engine.Attempt
	for _, a := range f.snapshot.Attempts {
		known[a.PodName] = true
		_, changed := changes.Pods[a.PodName]
		p, cached := g.cached.pods.Get(cache.NewObjectName(row.Namespace, a.PodName))
		switch {
		case cached && g.isPodOf(p, row, a):
			facts := pod.Facts(p, g.podEvents.Newest(p.UID))
			facts.Deletion = g.deletions.GraceOver(p, now)
			f.snapshot.Pods[a.PodName] = facts
			if p.Labels[v1alpha1.LabelRun] != row.UID {
				f.unlabelled = append(f.unlabelled, p)
			}
		case a.Phase == engine.AttemptDecided && a.PodUID != "" && !changed:
			f.snapshot.Pods[a.PodName] = &engine.Pod{UID: a.PodUID, Phase: string(corev1.PodPending)}
		case a.PodUID != "", a.Phase == engine.AttemptStopping:
			toRead = append(toRead, a)
		}
	}
	for name := range changes.Pods {
		if !known[name] {
			f.unmatched = append(f.unmatched, name)
		}
	}
	if err := g.readPods(ctx, row, f, toRead); err != nil {
		return err
	}
	return g.readNodes(ctx, f, now)
}

// gatesOf returns the gates that the creates of a run must pass. If several are closed, the reason of the last one
// counts.
func (g *gatherer) gatesOf(row store.Run, graph *dag.Graph) []*queue.Gates {
	if row.WorkspaceUID == "" && g.workspaces.lacksWorkspace(row, graph) {
		return []*queue.Gates{g.gatekeeper.claims, g.gatekeeper.pods}
	}
	return []*queue.Gates{g.gatekeeper.pods}
}

// gatherBlocked finds the attempts whose Pods must not be created until the run may probe the namespace.
func (g *gatherer) gatherBlocked(row store.Run, f *facts) {
	var tasks []int
	for _, a := range f.snapshot.Attempts {
		if a.Phase == engine.AttemptDecided && a.PodUID == "" && f.snapshot.Pods[a.PodName] == nil {
			tasks = append(tasks, a.Task)
		}
	}
	f.snapshot.Blocked = map[int]engine.Refusal{}
	for _, gates := range g.gatesOf(row, f.graph) {
		maps.Copy(f.snapshot.Blocked, gates.Blocked(row.Namespace, queue.RunKey(row.UID), row.VersionID, tasks))
	}
	f.uncreated -= len(f.snapshot.Blocked)
}

// isPodOf reports whether a Pod belongs to an attempt. It compares UIDs if the UID of the attempt's Pod is known,
// otherwise labels and owner.
func (g *gatherer) isPodOf(p *corev1.Pod, row store.Run, a engine.Attempt) bool {
	if a.PodUID != "" {
		return a.PodUID == string(p.UID)
	}
	return pod.BelongsTo(p, g.cfg.ID, row.UID)
}

// readPods reads the Pods of attempts from the API server. Only a live read proves that a Pod is gone.
func (g *gatherer) readPods(ctx context.Context, row store.Run, f *facts, toRead []engine.Attempt) error {
	var mu sync.Mutex
	return queue.Parallel(len(toRead), func(i int) error {
		a := toRead[i]
		ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
		defer cancel()
		p, err := g.cfg.Kube.CoreV1().Pods(row.Namespace).Get(ctx, a.PodName, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading pod %q: %w", a.PodName, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil || !g.isPodOf(p, row, a) {
			f.snapshot.Pods[a.PodName] = &engine.Pod{Gone: true}
			return nil
		}
		facts := pod.Facts(p, g.podEvents.Newest(p.UID))
		facts.Deletion = informer.LatestGrace(p) // deletions tracks only cached Pods
		f.snapshot.Pods[a.PodName] = facts
		if !pod.IsOurs(p, g.cfg.ID, row.UID) {
			f.unlabelled = append(f.unlabelled, p)
		}
		return nil
	})
}

// readNodes reads the nodes of Pods whose grace period ended at least a minute ago, and marks the Pods of lost nodes.
func (g *gatherer) readNodes(ctx context.Context, f *facts, now time.Time) error {
	lostNodes := map[string]bool{} // several Pods may be on one node
	for _, p := range f.snapshot.Pods {
		if p.Gone || p.Deletion.IsZero() || p.Node == "" || now.Before(p.Deletion.Add(engine.NodeLostAfter)) {
			continue
		}
		lost, known := lostNodes[p.Node]
		if !known {
			var err error
			if lost, err = g.nodeLost(ctx, p.Node); err != nil {
				return err
			}
			lostNodes[p.Node] = lost
		}
		p.NodeLost = lost
	}
	return nil
}

func (g *gatherer) nodeLost(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	node, err := g.cfg.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if apierrors.IsForbidden(err) {
		g.cfg.Log.Warn("cannot check whether a node is lost: missing permission to get nodes", "node", name)
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

// gatherMissing reads the tasks that the decision needs and the snapshot lacks.
func (g *gatherer) gatherMissing(ctx context.Context, row store.Run, f *facts, now time.Time) error {
	missing := f.snapshot.Missing(now, descendantsPerSync)
	if len(missing) == 0 {
		return nil
	}
	tasks, err := g.db.TasksAt(ctx, row.ID, missing)
	if err != nil {
		return fmt.Errorf("reading tasks of run %s/%s: %w", row.Namespace, row.Name, err)
	}
	for _, task := range tasks {
		f.snapshot.Tasks = append(f.snapshot.Tasks, engineTask(task))
	}
	return nil
}
