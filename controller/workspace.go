package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/names"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/versions"
	"kontroler/store"
)

// The workspace of a run is one claim, which the run's version commits to. It is made before the run's first Pod and
// recorded in the run's row before a Pod uses it; once recorded it is never made again: one that is gone is lost, and with
// it what the tasks before have written.

const (
	// bindGrace is what a scheduler at work may take before anybody asks what a Pod without a node waits for.
	bindGrace = 3 * time.Second
	// bindEvery is how often that is asked.
	bindEvery = 10 * time.Second
	// bindEvents bounds the Events that are read of a claim, bindRecent how old a warning may be beside a newer one.
	bindEvents = 100
	bindRecent = 10 * time.Minute
	// claimRetry is when a claim is made again whose deletion is under way.
	claimRetry = 5 * time.Second
	// dropTries is how often, some minute and a half in all, deleting a claim may fail before the run is told its end.
	dropTries = 12
)

// workspaces makes and deletes the claims of runs. It has an entry for each live run, which the run's end removes.
type workspaces struct {
	*core
	gatekeeper *gatekeeper
	graphs     *versions.Loader
	backlog    *backlog

	mu   sync.Mutex
	runs map[queue.RunKey]*workspace
}

// workspace of one run. But for made, only the run's sync uses it.
type workspace struct {
	made bool // the claim is there and recorded
	// bound, lost and why are what was last read of the claim; next is when to read again.
	bound, lost bool
	why         string
	next        time.Time
	waiting     map[string]struct{} // Pods without a node, to be looked at then
}

func (ws *workspaces) of(key queue.RunKey) *workspace {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.runs[key] == nil {
		ws.runs[key] = &workspace{waiting: map[string]struct{}{}}
	}
	return ws.runs[key]
}

func (ws *workspaces) forget(key queue.RunKey) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.runs, key)
}

func (ws *workspaces) made(key queue.RunKey) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.runs[key] != nil && ws.runs[key].made
}

func (ws *workspaces) setMade(key queue.RunKey, made bool) {
	entry := ws.of(key)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	entry.made = made
}

// due takes the Pods whose claim is to be looked at.
func (ws *workspaces) due(key queue.RunKey, now time.Time) map[string]struct{} {
	ws.mu.Lock()
	entry := ws.runs[key]
	ws.mu.Unlock()
	if entry == nil || now.Before(entry.next) {
		return nil
	}
	due := entry.waiting
	entry.waiting = map[string]struct{}{}
	return due
}

// lacksWorkspace reports that a run cannot have Pods before its claim is made.
func (ws *workspaces) lacksWorkspace(row store.Run, graph *dag.Graph) bool {
	return graph.Workspace() != nil && !ws.made(queue.RunKey(row.UID))
}

// makeWorkspace sees to the run's claim before a Pod that uses it is created. Not made: the attempt is told why.
func (ws *workspaces) makeWorkspace(ctx context.Context, row store.Run, w *v1alpha1.Workspace, c engine.Create) (made bool, err error) {
	name := names.Workspace(ws.cfg.ID, row.UID, row.Name)
	if row.WorkspaceUID != "" {
		return ws.findWorkspace(ctx, row, name, c)
	}
	if !ws.gatekeeper.passGate(ws.gatekeeper.claims, row, c) {
		return false, nil
	}
	fault.Point("claim-create")
	claims := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace)
	claim, err := claims.Create(ctx, pod.BuildClaim(ws.cfg.ID, refOf(row), w, name), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if claim, err = claims.Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, fmt.Errorf("reading claim %q, which exists: %w", name, err)
		}
		if !ws.adopts(row, claim, c) {
			return false, nil
		}
	}
	if err != nil {
		return false, ws.gatekeeper.createFailed(row, c, ws.gatekeeper.claims, fmt.Errorf("making the workspace: %w", err))
	}
	fault.Point("claim-created")
	ws.gatekeeper.claims.Accepted(row.Namespace, templateOf(row, c))
	if err := ws.db.RecordWorkspace(ctx, row.ID, string(claim.UID)); err != nil {
		return false, err
	}
	fault.Point("claim-recorded")
	ws.setMade(queue.RunKey(row.UID), true)
	return true, nil
}

// adopts reports whether a claim that has the workspace's name and was not recorded is the run's own, of a process that
// ended before it could record it; else the attempt is told.
func (ws *workspaces) adopts(row store.Run, claim *corev1.PersistentVolumeClaim, c engine.Create) bool {
	switch {
	case pod.OwnerUID(claim) != row.UID:
		ws.gatekeeper.refuse(row, c, engine.Refusal{Reason: engine.ReasonNameTaken, Never: true,
			Message: fmt.Sprintf("a claim %q that is not this run's has the name of its workspace", claim.Name)})
	case claim.DeletionTimestamp != nil:
		// No Pod has used it: it is made again when it is gone.
		ws.gatekeeper.refuse(row, c, engine.Refusal{Reason: engine.ReasonCreateFailed,
			Message: fmt.Sprintf("claim %q of the workspace is being deleted; it is made again", claim.Name)})
		ws.backlog.queue.AddAfter(queue.RunKey(row.UID), claimRetry)
	default:
		return true
	}
	return false
}

// findWorkspace looks for the claim that the row names.
func (ws *workspaces) findWorkspace(ctx context.Context, row store.Run, name string, c engine.Create) (found bool, err error) {
	claim, err := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading claim %q of the workspace: %w", name, err)
	}
	if err != nil || isLost(row, claim) {
		ws.gatekeeper.refuse(row, c, engine.Refusal{Reason: engine.ReasonCreateRefused, Never: true, Message: workspaceLost(name)})
		return false, nil
	}
	ws.setMade(queue.RunKey(row.UID), true)
	return true, nil
}

// isLost reports that a claim is not the one that the row names, or will soon be gone: no Pod can use it any more.
func isLost(row store.Run, claim *corev1.PersistentVolumeClaim) bool {
	return row.WorkspaceUID != string(claim.UID) || claim.DeletionTimestamp != nil
}

func workspaceLost(name string) string {
	return fmt.Sprintf("the workspace is lost: its claim %q was deleted, and with it what earlier tasks wrote", name)
}

// gatherClaim adds to Pods without a node what their claim waits for. A scheduler only says that they wait for it, or
// nothing while a volume is provisioned. If the claim is lost, the Pods fail.
func (ws *workspaces) gatherClaim(ctx context.Context, row store.Run, f *facts, now time.Time) {
	if f.graph.Workspace() == nil || row.WorkspaceUID == "" {
		return
	}
	var pods []string
	isUnschedulable := false
	for name, p := range f.snapshot.Pods {
		if !p.Gone && p.Node == "" && p.Phase == string(corev1.PodPending) && p.Deletion.IsZero() {
			pods = append(pods, name)
			isUnschedulable = isUnschedulable || p.Waits != nil
		}
	}
	w := ws.of(queue.RunKey(row.UID))
	if len(pods) == 0 || w.bound && !isUnschedulable {
		return
	}
	switch {
	case now.Before(w.next):
	case w.next.IsZero() && !isUnschedulable:
		w.next = now.Add(bindGrace)
	default:
		w.next = now.Add(bindEvery)
		if ws.readWorkspace(ctx, row, w); w.bound {
			return
		}
		if w.lost {
			ws.setMade(queue.RunKey(row.UID), false) // the next attempt fails before it has a Pod
		}
	}
	for _, name := range pods {
		f.snapshot.Pods[name].Waits = w.explain(f.snapshot.Pods[name].Waits)
		if !w.lost {
			w.waiting[name] = struct{}{}
		}
	}
	f.claimDue = w.next
}

// explain adds to what a Pod waits for what its claim waits for.
func (w *workspace) explain(wait *engine.Wait) *engine.Wait {
	if w.why == "" {
		return wait
	}
	message := w.why
	if wait != nil && !w.lost {
		message = wait.Message + "; " + w.why
	}
	return &engine.Wait{Reason: engine.ReasonUnschedulable, Message: text.Clean(message), Fails: w.lost, Never: w.lost}
}

// readWorkspace reads a run's claim and, where it is not bound, why. That it cannot be read is told in place of it.
func (ws *workspaces) readWorkspace(ctx context.Context, row store.Run, w *workspace) {
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	name := names.Workspace(ws.cfg.ID, row.UID, row.Name)
	claim, err := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace).Get(ctx, name, metav1.GetOptions{})
	w.bound, w.lost, w.why = false, false, ""
	switch {
	case apierrors.IsNotFound(err), err == nil && isLost(row, claim):
		w.lost, w.why = true, workspaceLost(name)
	case err != nil:
		w.why = fmt.Sprintf("claim %s cannot be read: %v", name, err)
	case claim.Status.Phase == corev1.ClaimBound:
		w.bound = true
	default:
		w.why = fmt.Sprintf("claim %s: %s", name, ws.whyUnbound(ctx, claim))
	}
}

// whyUnbound is why a claim is not bound, as its Events tell it.
func (ws *workspaces) whyUnbound(ctx context.Context, claim *corev1.PersistentVolumeClaim) string {
	list, err := ws.cfg.Kube.CoreV1().Events(claim.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(claim.UID)).String(), Limit: bindEvents,
	})
	if err != nil {
		return fmt.Sprintf("%s; its events cannot be read: %v", claim.Status.Phase, err)
	}
	if len(list.Items) == 0 {
		return string(claim.Status.Phase)
	}
	return newestReason(list.Items)
}

// newestReason is what the newest warning says, if it is recent as of the newest Event; else what that one says.
func newestReason(events []corev1.Event) string {
	newest := slices.MaxFunc(events, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	told := slices.MaxFunc(events, func(a, b corev1.Event) int {
		return cmp.Or(cmp.Compare(warns(&a, &newest), warns(&b, &newest)), lastSeen(&a).Compare(lastSeen(&b)))
	})
	return told.Message
}

// warns is 1 for a warning that is recent as of another Event.
func warns(event, newest *corev1.Event) int {
	if event.Type == corev1.EventTypeWarning && lastSeen(newest).Sub(lastSeen(event)) < bindRecent {
		return 1
	}
	return 0
}

// lastSeen is when an Event last happened, in whichever of its forms it was written.
func lastSeen(event *corev1.Event) time.Time {
	at := event.LastTimestamp.Time
	if at.IsZero() {
		at = event.EventTime.Time
	}
	if event.Series != nil && event.Series.LastObservedTime.After(at) {
		at = event.Series.LastObservedTime.Time
	}
	return at
}

// dropWorkspace deletes the claim of a run that has ended, unless it is to be kept: then, or if it cannot be deleted, it goes
// with its owner, the DagRun. That a DagRun has not been told its end is the memory of what is to be deleted.
func (ws *workspaces) dropWorkspace(ctx context.Context, row store.Run, run *v1alpha1.DagRun, tries int) error {
	if refused(row) || run.Status.Controller != ws.cfg.ID {
		return nil
	}
	keeps, err := ws.keepsWorkspace(ctx, row)
	if err != nil || keeps {
		return err
	}
	name := names.Workspace(ws.cfg.ID, row.UID, row.Name)
	err = ws.deleteClaim(ctx, row, name)
	switch {
	case err == nil:
		return nil
	case !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && tries < dropTries:
		return fmt.Errorf("deleting claim %q of the workspace: %w", name, err)
	}
	ws.events.Event(run, corev1.EventTypeWarning, "WorkspaceKept", text.Shorten(fmt.Sprintf("claim %q cannot be deleted and stays until the DagRun is: %v", name, err), 1024))
	return nil
}

// keepsWorkspace reports that a run that has ended has no claim to delete, or that the claim stays. Whether a version that
// cannot be read wants that is not known: the claim of a failed run stays then, as nothing brings it back.
func (ws *workspaces) keepsWorkspace(ctx context.Context, row store.Run) (bool, error) {
	graph, err := ws.graphs.Load(ctx, row.VersionID)
	if errors.Is(err, versions.ErrUnreadable) {
		return row.Phase == engine.RunFailed, nil
	}
	if err != nil {
		return false, err
	}
	w := graph.Workspace()
	return w == nil || w.KeepOnFailure && row.Phase == engine.RunFailed, nil
}

// deleteClaim deletes the claim that is recorded, or one that a process made which ended before it could record it.
func (ws *workspaces) deleteClaim(ctx context.Context, row store.Run, name string) error {
	claims, uid := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace), row.WorkspaceUID
	if uid == "" {
		claim, err := claims.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && pod.OwnerUID(claim) != row.UID {
			return nil
		}
		if err != nil {
			return err
		}
		uid = string(claim.UID)
	}
	fault.Point("claim-delete")
	if err := claims.Delete(ctx, name, metav1.DeleteOptions{Preconditions: kube.WithUID(uid)}); err != nil && !kube.IsGone(err) {
		return err
	}
	fault.Point("claim-deleted")
	return nil
}
