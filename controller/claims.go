package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/leader"
	"kontroler/controller/wait"
)

const (
	// claimVoidAfter is how long after the expiry of its Lease a controller loses its claims.
	claimVoidAfter = 5 * time.Minute
	// claimUnchanged is how long the Lease of a leader may go without a change: many times its renewal interval.
	claimUnchanged = 30 * time.Second
	// claimsEvery is how often the claims of other controllers are checked.
	claimsEvery = 10 * time.Second
)

// claim claims a DAG of this controller's class that is unclaimed, or whose claim has lapsed. If several controllers
// try, the first patch wins. claim returns the DAG as it is then, and whether this controller holds the claim.
func (r *dagReconciler) claim(ctx context.Context, d *v1alpha1.DAG) (*v1alpha1.DAG, bool, error) {
	mine, ofClass := d.Status.Controller == r.cfg.ID, d.Spec.ControllerClass == r.cfg.Class
	switch {
	case mine && ofClass:
		return d, true, nil
	case mine:
		// Its class was changed, so another controller may claim it. Admitted runs stay here.
		_, err := r.patchClaim(ctx, d, "", "")
		return d, false, err
	case !ofClass, d.DeletionTimestamp != nil:
		return d, false, nil
	}
	if d.Status.Controller != "" {
		void, err := r.claimVoid(ctx, d.Status.ControllerNamespace, d.Status.Controller)
		if err != nil || !void {
			return d, false, err
		}
	}
	if err := r.scheduler.PassOver(ctx, d); err != nil {
		return d, false, err
	}
	fault.Point("dag-passed-over")
	claimed, err := r.patchClaim(ctx, d, r.cfg.ID, r.cfg.LeaseNamespace)
	if err != nil {
		return d, false, err
	}
	fault.Point("dag-claimed")
	return claimed, true, nil
}

func (r *dagReconciler) patchClaim(
	ctx context.Context, d *v1alpha1.DAG, controller, namespace string,
) (*v1alpha1.DAG, error) {
	claimed, err := kube.PatchStatus(ctx, r.cfg.Client.KontrolerV1alpha1().DAGs(d.Namespace), d, map[string]any{
		"controller": controller, "controllerNamespace": namespace,
	})
	if err != nil {
		return nil, fmt.Errorf("patching the claim of DAG %s/%s: %w", d.Namespace, d.Name, err)
	}
	return claimed, nil
}

// claimVoid reports whether the claims of another controller have lapsed: its Lease is gone, or expired long ago.
func (r *dagReconciler) claimVoid(ctx context.Context, namespace, id string) (bool, error) {
	if namespace == "" {
		namespace = r.cfg.LeaseNamespace
	}
	lease, err := r.cfg.Kube.CoordinationV1().Leases(namespace).Get(ctx, leader.LeaseName(id), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if apierrors.IsForbidden(err) {
		r.cfg.Log.Warn("cannot check whether another controller is alive: missing permission to get its Lease",
			"controller", id, "namespace", namespace)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the Lease of controller %s: %w", id, err)
	}
	if lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil {
		return true, nil
	}
	return r.leases.isVoid(lease, r.now()), nil
}

// otherLeases remembers when each Lease of another controller last changed. The times in a Lease come from another
// clock, which may be minutes off. A Lease that keeps changing is therefore held, whatever its times say.
type otherLeases struct {
	mu   sync.Mutex
	seen map[types.UID]seenLease
}

type seenLease struct {
	version string
	since   time.Time // by this controller's clock
}

func newOtherLeases() *otherLeases { return &otherLeases{seen: map[types.UID]seenLease{}} }

// isVoid reports whether a Lease expired long ago. The times in the Lease count only if it has not changed for a while.
// A Lease that has not changed for very long is void whatever they say.
func (o *otherLeases) isVoid(lease *coordinationv1.Lease, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen, known := o.seen[lease.UID]
	if !known || seen.version != lease.ResourceVersion {
		seen = seenLease{lease.ResourceVersion, now}
		o.seen[lease.UID] = seen
	}
	duration := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	unchanged := now.Sub(seen.since)
	longPast := now.After(lease.Spec.RenewTime.Add(duration + claimVoidAfter))
	return longPast && unchanged >= min(duration, claimUnchanged) || unchanged >= duration+claimVoidAfter
}

// watchClaims enqueues the DAGs and DagTasks of controllers that are gone, until ctx ends.
func (r *dagReconciler) watchClaims(ctx context.Context) {
	for wait.For(ctx, claimsEvery) {
		void := map[string]bool{}
		gone := func(namespace, other string) bool {
			if other == "" || other == r.cfg.ID {
				return false
			}
			if _, known := void[other]; !known {
				is, err := r.claimVoid(ctx, namespace, other)
				if err != nil && ctx.Err() == nil {
					r.cfg.Log.Warn("checking the claims of another controller failed",
						"controller", other, "error", err)
				}
				void[other] = is
			}
			return void[other]
		}
		r.cached.dags.All(func(d *v1alpha1.DAG) {
			if d.Spec.ControllerClass == r.cfg.Class && gone(d.Status.ControllerNamespace, d.Status.Controller) {
				r.queue.Add(cache.MetaObjectToName(d))
			}
		})
		r.cached.dagTasks.All(func(task *v1alpha1.DagTask) {
			if gone(task.Status.ControllerNamespace, task.Status.Controller) {
				r.taskQueue.Add(cache.MetaObjectToName(task))
			}
		})
	}
}
