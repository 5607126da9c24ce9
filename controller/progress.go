package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/conditions"
	"kontroler/controller/engine"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/store"
)

// projection is a status that is out of date: the progress of a run, or the last run of a DAG.
type projection struct {
	run queue.RunKey
	dag cache.ObjectName
}

// projections are the statuses to patch. A token bucket limits the patches. It starts full, and gains one token for
// every twenty writes and one every ten seconds.
type projections struct {
	*queue.Queue[projection]
	tokens chan struct{}
	// ended is closed when no more tokens come.
	ended chan struct{}
}

func newProjections(metrics queue.Metrics, namespaceOf func(queue.RunKey) string) *projections {
	p := &projections{tokens: make(chan struct{}, maxTokens), ended: make(chan struct{})}
	p.Queue = queue.New("projections", metrics, func(what projection) string {
		if what.run == "" {
			return what.dag.Namespace
		}
		return namespaceOf(what.run)
	})
	for range maxTokens {
		p.give()
	}
	return p
}

// progress enqueues the status of a run whose counters, or whose reasons for waiting, have changed.
func (p *projections) progress(key queue.RunKey) { p.AddAfter(projection{run: key}, gatherFor) }

// lastRun enqueues the status of a DAG after one of its runs has changed its phase.
func (p *projections) lastRun(dag cache.ObjectName) { p.AddAfter(projection{dag: dag}, gatherFor) }

const (
	// writesPerToken is how many writes earn a token.
	writesPerToken = 20
	// tokenEvery is how often a token is given regardless of other writes.
	tokenEvery = 10 * time.Second
	maxTokens  = 20
	earnEvery  = 200 * time.Millisecond
	// gatherFor is how long a patch waits for more changes. Often the run has ended by then.
	gatherFor = 200 * time.Millisecond
	// projectionWorkers is how many statuses of a namespace are patched at the same time.
	projectionWorkers = 4
)

// give adds a token, unless the bucket is full.
func (p *projections) give() {
	select {
	case p.tokens <- struct{}{}:
	default:
	}
}

// earn adds tokens until ctx ends. writes returns the number of requests sent so far that change something.
func (p *projections) earn(ctx context.Context, writes func() uint64) {
	defer close(p.ended)
	paid, given := writes(), time.Now()
	for wait.For(ctx, earnEvery) {
		for ; paid+writesPerToken <= writes(); paid += writesPerToken {
			p.give()
		}
		if time.Since(given) >= tokenEvery {
			p.give()
			given = time.Now()
		}
	}
}

// syncProjection waits for a token and patches a status. It patches nothing while the database is unavailable.
func (s *statusWriter) syncProjection(ctx context.Context, what projection) error {
	if _, away := s.cfg.DatabaseAway(); away {
		s.projections.AddAfter(what, time.Second)
		return nil
	}
	select {
	case <-s.projections.tokens:
	case <-s.projections.ended:
		return nil
	}
	isCharged, err := s.show(ctx, what)
	if !isCharged {
		s.projections.give()
	}
	if apierrors.IsConflict(err) {
		s.projections.AddAfter(what, time.Second) // the cache lags
		return nil
	}
	return err
}

// show patches a status if it is out of date. isCharged reports whether the patch costs a token. Patches that remove
// the notice of a database outage are free, because every live run may have it.
func (s *statusWriter) show(ctx context.Context, what projection) (isCharged bool, err error) {
	if what.run == "" {
		return s.showLastRun(ctx, what.dag)
	}
	run := s.cached.cachedRun(what.run)
	if run == nil || run.Status.Phase.Ended() || run.Status.Controller != "" && run.Status.Controller != s.cfg.ID {
		return false, nil
	}
	sent, err := s.showProgress(ctx, run)
	return sent && run.Status.Reason != reasonDatabaseUnavailable, err
}

// showProgress patches the status of a live DagRun if it is out of date.
func (s *statusWriter) showProgress(ctx context.Context, run *v1alpha1.DagRun) (sent bool, err error) {
	key := queue.RunKey(run.UID)
	row, progress, found, err := s.db.Progress(ctx, string(key), s.now(), tasksNamed)
	if err != nil || v1alpha1.RunPhase(row.Phase).Ended() {
		return false, err
	}
	if found && run.Status.Controller == "" {
		s.unclaimed.Add(run.UID)
	}
	if !found || run.Status.Controller == "" {
		return s.showSyncError(ctx, run)
	}
	status := s.project(row, run)
	addProgress(&status, row, progress)
	syncError := s.syncErrors.Condition(key, s.now())
	conditions.Set(&status.Conditions, v1alpha1.ConditionReconciled, syncError, run.Generation)
	if conditions.Says(run.Status.Conditions, v1alpha1.ConditionReconciled, syncError) &&
		run.Status.Progress == status.Progress &&
		run.Status.Reason == status.Reason &&
		run.Status.Message == status.Message &&
		run.Status.Tasks != nil &&
		*run.Status.Tasks == *status.Tasks {
		return false, nil
	}
	if err := s.recordStandstill(ctx, run, status); err != nil {
		return false, err
	}
	_, err = s.patchStatus(ctx, run, status, run.ResourceVersion)
	return true, kube.IgnoreNotFound(err)
}

// showLastRun patches the last run in the status of a DAG, unless the DAG is gone, belongs to another controller, or is
// up to date.
func (s *statusWriter) showLastRun(ctx context.Context, name cache.ObjectName) (sent bool, err error) {
	d, ok := s.cached.dags.Get(name)
	if !ok || d.Status.Controller != s.cfg.ID {
		return false, nil
	}
	newest, found, err := s.db.NewestRun(ctx, name.Namespace, name.Name)
	if err != nil || !found {
		return false, err
	}
	last := v1alpha1.LastRun{
		Name:  newest.Name,
		Phase: v1alpha1.RunPhase(newest.Phase),
		Time:  metav1.NewTime(newest.At.Truncate(time.Second)),
	}
	if last.Phase == v1alpha1.RunPending {
		last.Phase = v1alpha1.RunRunning // as its DagRun says
	}
	if shown := d.Status.LastRun; shown != nil && shown.Name == last.Name && shown.Phase == last.Phase &&
		shown.Time.Equal(&last.Time) {
		return false, nil
	}
	dags := s.cfg.Client.KontrolerV1alpha1().DAGs(name.Namespace)
	_, err = kube.PatchStatus(ctx, dags, d, map[string]any{"lastRun": last})
	return true, kube.IgnoreNotFound(err)
}

// addProgress adds to the status of a live run which tasks wait, have failed or are being stopped.
func addProgress(status *v1alpha1.DagRunStatus, row store.Run, progress store.RunProgress) {
	status.Tasks.Pending = int32(min(progress.Pending, row.Counts.Active))
	status.Tasks.Running = int32(row.Counts.Active) - status.Tasks.Pending
	var says []string
	for _, w := range progress.Waiting {
		says = append(says, fmt.Sprintf("%s waits: %s: %s", w.Task, w.Reason, text.Shorten(w.Message, 200)))
	}
	for _, f := range progress.Failed {
		says = append(says, fmt.Sprintf("%s failed: %s", f.Task, text.Shorten(f.Message, 200)))
	}
	for _, p := range progress.Stopping {
		says = append(says, stopMessage(p))
	}
	named := len(progress.Waiting) + len(progress.Failed) + len(progress.Stopping)
	if more := progress.WaitingTotal + row.Counts.Failed + progress.StoppingTotal - named; more > 0 && named > 0 {
		says = append(says, fmt.Sprintf("%d more", more))
	}
	if why := holdMessage(row.Hold); why != "" {
		says = append(says, why)
	}
	status.Message = text.Shorten(strings.Join(says, "; "), text.MaxBytes)
	switch {
	case len(progress.Waiting) > 0:
		status.Reason = progress.Waiting[0].Reason
	case len(progress.Stopping) > 0:
		status.Reason = progress.Stopping[0].Reason
	case row.Hold != "" && row.Hold != engine.HoldMaxParallel:
		status.Reason = row.Hold
	case row.Counts.Failed > 0:
		status.Reason = engine.ReasonTaskFailed
	}
}

// stopMessage says which Pod has not ended although its attempt is being stopped.
func stopMessage(p store.StoppingPod) string {
	on := ""
	if p.Node != "" {
		on = " on node " + p.Node
	}
	return fmt.Sprintf("%s is being stopped (%s): waiting for Pod %s%s to end", p.Task, p.Reason, p.Pod, on)
}

// holdMessage returns why the Ready tasks of a run do not start, if the reason lies outside the run. Otherwise it is
// empty.
func holdMessage(hold string) string {
	switch hold {
	case engine.HoldThrottled:
		return "waiting for Pods of other runs to end: the controller has reached --max-pods"
	case engine.ReasonQuotaExceeded:
		return "the quota of the namespace is exceeded"
	case engine.ReasonCreateFailed:
		return "the API server, or a webhook that it asks, fails to answer for Pods of the namespace"
	case engine.ReasonNamespaceTerminating:
		return "the namespace is being deleted"
	}
	return ""
}

// isStandstill reports whether a live run makes no progress.
func isStandstill(status *v1alpha1.DagRunStatus) bool {
	return status.Reason != "" && status.Reason != engine.ReasonTaskFailed && status.Tasks.Running == 0
}

// recordStandstill writes an Event when a run comes to a standstill for the first time with this reason.
func (s *statusWriter) recordStandstill(ctx context.Context, run *v1alpha1.DagRun, status v1alpha1.DagRunStatus) error {
	if !isStandstill(&status) || run.Status.Reason == status.Reason {
		return nil
	}
	return s.recordEvent(ctx, run, "still-"+status.Reason, corev1.EventTypeWarning, status.Reason, status.Message)
}
