package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/kube"
	"kontroler/controller/leader"
	"kontroler/controller/wait"
)

const (
	// outageAfter is how long the database must be unavailable before DagRuns show it.
	outageAfter = 5 * time.Second
	// outageRate is how many DagRuns are patched a second.
	outageRate = 5
	// outageTimeout is how long the patch of one DagRun may take.
	outageTimeout = 2 * time.Second
)

// outageNotices tracks the patches that report one database outage. A namespace whose admission webhook hangs or
// refuses them must not delay those of other namespaces, nor a DagRun those of other DagRuns.
type outageNotices struct {
	since  time.Time
	paused pauses
	failed map[types.UID]time.Time // when the patch of a DagRun failed
}

// showOutage reports a database outage in live DagRuns, oldest first. A process that has led continues after it has
// released the Lease, until another process leads, because new DagRuns may appear. Once the database is back, progress
// patches replace the notices.
func (c *Controller) showOutage(ctx context.Context) {
	o := outageNotices{paused: pauses{}, failed: map[types.UID]time.Time{}}
	for wait.For(ctx, time.Second) {
		since, away := c.cfg.DatabaseAway()
		if !away || !c.led.Load() || time.Since(since) < outageAfter || c.hasSuccessor(ctx) {
			clear(o.paused)
			clear(o.failed)
			continue
		}
		o.since = since
		c.patchNext(ctx, o)
	}
}

// patchNext patches the next DagRuns.
func (c *Controller) patchNext(ctx context.Context, o outageNotices) {
	for _, run := range c.withoutNotice(o) {
		if o.paused.skips(run.Namespace, time.Now()) {
			continue // paused by a patch in this loop
		}
		if err := c.patchOutage(ctx, run, o.since); err != nil && ctx.Err() == nil {
			now := time.Now()
			o.failed[run.UID] = now
			if apierrors.IsConflict(err) {
				continue // the DagRun has changed since it was cached
			}
			o.paused.failed(run.Namespace, now)
			c.cfg.Log.Warn("patching a DagRun with the database outage failed", "namespace", run.Namespace,
				"run", run.Name, "error", err)
		}
	}
}

// hasSuccessor reports whether another process may lead now, which then reaches the database. If the Lease cannot be
// read, it returns true.
func (c *Controller) hasSuccessor(ctx context.Context) bool {
	if c.leads.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	lease, err := c.cfg.Kube.CoordinationV1().Leases(c.cfg.LeaseNamespace).
		Get(ctx, leader.LeaseName(c.cfg.ID), metav1.GetOptions{})
	return err != nil || lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != ""
}

// withoutNotice returns the oldest live DagRuns of this controller that do not show the outage yet, except those in
// namespaces that are paused. Those whose patch has failed come last.
func (c *Controller) withoutNotice(o outageNotices) []*v1alpha1.DagRun {
	now := time.Now()
	mine := map[string]bool{}
	c.cached.dags.All(func(d *v1alpha1.DAG) {
		if d.Status.Controller == c.cfg.ID {
			mine[d.Namespace+"/"+d.Name] = true
		}
	})
	var runs []*v1alpha1.DagRun
	c.cached.dagRuns.All(func(run *v1alpha1.DagRun) {
		ours := run.Status.Controller == c.cfg.ID ||
			run.Status.Controller == "" && mine[run.Namespace+"/"+run.Spec.DagName]
		if ours && !run.Status.Phase.Ended() && !run.IsOtherKontrolers() &&
			run.Status.Reason != reasonDatabaseUnavailable && !o.paused.skips(run.Namespace, now) {
			runs = append(runs, run)
		}
	})
	slices.SortFunc(runs, func(a, b *v1alpha1.DagRun) int {
		return cmp.Or(o.failed[a.UID].Compare(o.failed[b.UID]),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
	})
	return runs[:min(len(runs), outageRate)]
}

func (c *Controller) patchOutage(ctx context.Context, run *v1alpha1.DagRun, since time.Time) error {
	phase := run.Status.Phase
	if phase == "" {
		phase = v1alpha1.RunPending
	}
	ctx, cancel := context.WithTimeout(ctx, outageTimeout)
	defer cancel()
	_, err := kube.PatchStatus(ctx, c.cfg.Client.KontrolerV1alpha1().DagRuns(run.Namespace), run, map[string]any{
		"phase": phase, "reason": reasonDatabaseUnavailable,
		"message": fmt.Sprintf(
			"the controller's database has not answered since %s; nothing is lost, and the run continues when it does",
			since.UTC().Format(time.RFC3339),
		),
	})
	return kube.IgnoreNotFound(err)
}
