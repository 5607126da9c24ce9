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

// The workspace of a run is one PersistentVolumeClaim. It is created before the first Pod, and recorded in the row of
// the run before a Pod uses it. A recorded claim is never created again: if it is gone, the data of earlier tasks is
// lost.

const (
	// bindGrace is how long a Pod may stay without a node before its claim is read.
	bindGrace = 3 * time.Second
	// bindEvery is how often the claim is read after that.
	bindEvery = 10 * time.Second
	// bindEvents bounds the Events of a claim that are read. A warning that is older than the newest Event by
	// bindRecent does not count.
	bindEvents = 100
	bindRecent = 10 * time.Minute
	// claimRetry is the delay before the create of a claim is retried while an older one is being deleted.
	claimRetry = 5 * time.Second
	// dropTries is how often deleting a claim may fail, in about 90 s, before the final status is written anyway.
	dropTries = 12
)

// workspaces makes and deletes the claims of runs. It has an entry for each live run, which is removed when the run
// ends.
type workspaces struct {
	*core
	gatekeeper *gatekeeper
	graphs     *versions.Loader

	mu   sync.Mutex
	runs map[queue.RunKey]*workspace
}

// workspace is the state of the claim of one run. Only the sync of the run uses it, except for isMade.
type workspace struct {
	isMade bool // the claim exists and is recorded
	// isBound, isLost and why are from the last read of the claim. why is empty for a bound one. next is when to read
	// the claim again.
	isBound, isLost bool
	why             string
	next            time.Time
	waiting         map[string]struct{} // Pods without a node, whose reasons are updated at next
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
	return ws.runs[key] != nil && ws.runs[key].isMade
}

func (ws *workspaces) setMade(key queue.RunKey, made bool) {
	entry := ws.of(key)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	entry.isMade = made
}

// due removes and returns the Pods that wait for the claim of a run, if it is time to read the claim.
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

// lacksWorkspace reports whether the claim of a run must be created before its Pods.
func (ws *workspaces) lacksWorkspace(row store.Run, graph *dag.Graph) bool {
	return graph.Workspace() != nil && !ws.made(queue.RunKey(row.UID))
}

// makeWorkspace ensures that the claim of a run exists before a Pod uses it. If it cannot, it records a refusal for the
// attempt and returns false.
func (ws *workspaces) makeWorkspace(
	ctx context.Context, row store.Run, w *v1alpha1.Workspace, c engine.Create,
) (made bool, err error) {
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
		return false, ws.gatekeeper.createFailed(row, c, ws.gatekeeper.claims,
			fmt.Errorf("creating the workspace: %w", err))
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

// adopts reports whether an unrecorded claim with the name of the workspace belongs to the run: an earlier process
// created it and died before recording it. If the claim cannot be used, adopts records a refusal for the attempt.
func (ws *workspaces) adopts(row store.Run, claim *corev1.PersistentVolumeClaim, c engine.Create) bool {
	switch {
	case pod.OwnerUID(claim) != row.UID:
		ws.gatekeeper.refuse(row, c, engine.Refusal{Reason: engine.ReasonNameTaken, IsPermanent: true,
			Message: fmt.Sprintf("the name %q is taken by a claim that does not belong to this run", claim.Name)})
	case claim.DeletionTimestamp != nil:
		// No Pod has used the claim, so it is created again once it is gone. A refusal enqueues the run, so it is
		// recorded only once.
		if c.Reason != engine.ReasonCreateFailed {
			ws.gatekeeper.refuse(row, c, engine.Refusal{Reason: engine.ReasonCreateFailed, Message: fmt.Sprintf(
				"claim %q of the workspace is being deleted; it will be created again", claim.Name)})
		}
		ws.backlog.queue.AddAfter(queue.RunKey(row.UID), claimRetry)
	default:
		return true
	}
	return false
}

// findWorkspace reads the recorded claim. If the claim is lost, it records a refusal for the attempt and returns false.
func (ws *workspaces) findWorkspace(
	ctx context.Context, row store.Run, name string, c engine.Create,
) (found bool, err error) {
	claim, err := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading claim %q of the workspace: %w", name, err)
	}
	if err != nil || isLost(row, claim) {
		ws.gatekeeper.refuse(row, c,
			engine.Refusal{Reason: engine.ReasonCreateRefused, IsPermanent: true, Message: workspaceLost(name)})
		return false, nil
	}
	ws.setMade(queue.RunKey(row.UID), true)
	return true, nil
}

// isLost reports whether a claim is not the recorded one, or is being deleted. No Pod can use it any more.
func isLost(row store.Run, claim *corev1.PersistentVolumeClaim) bool {
	return row.WorkspaceUID != string(claim.UID) || claim.DeletionTimestamp != nil
}

func workspaceLost(name string) string {
	return fmt.Sprintf("the workspace is lost: its claim %q was deleted, and with it what earlier tasks wrote", name)
}

// gatherClaim adds to the waits of Pods without a node why their claim is not bound. The scheduler reports only that
// they wait for the claim, and reports nothing while a volume is provisioned. If the claim is lost, the attempts fail.
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
	if len(pods) == 0 && len(w.waiting) > 0 {
		f.nextDue = engine.Earlier(f.nextDue, w.next) // this sync must not cancel the next read
	}
	if len(pods) == 0 || w.isBound && !isUnschedulable {
		return
	}
	switch {
	case now.Before(w.next):
	case w.next.IsZero() && !isUnschedulable:
		w.next = now.Add(bindGrace)
	default:
		w.next = now.Add(bindEvery)
		if ws.readWorkspace(ctx, row, w); w.isBound {
			return
		}
		if w.isLost {
			ws.setMade(queue.RunKey(row.UID), false) // the next attempt fails before it has a Pod
		}
	}
	for _, name := range pods {
		f.snapshot.Pods[name].Waits = w.explain(f.snapshot.Pods[name].Waits)
		if !w.isLost {
			w.waiting[name] = struct{}{}
		}
	}
	f.nextDue = engine.Earlier(f.nextDue, w.next)
}

// explain adds to the wait of a Pod why its claim is not bound.
func (w *workspace) explain(wait *engine.Wait) *engine.Wait {
	if w.why == "" {
		return wait
	}
	message := w.why
	if wait != nil && !w.isLost {
		message = wait.Message + "; " + w.why
	}
	return &engine.Wait{
		Reason:      engine.ReasonUnschedulable,
		Message:     text.Clean(message),
		IsFailure:   w.isLost,
		IsPermanent: w.isLost,
	}
}

// readWorkspace reads the claim of a run and, if it is not bound, the reason. If a read fails, its error becomes the
// reason.
func (ws *workspaces) readWorkspace(ctx context.Context, row store.Run, w *workspace) {
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	name := names.Workspace(ws.cfg.ID, row.UID, row.Name)
	claim, err := ws.cfg.Kube.CoreV1().PersistentVolumeClaims(row.Namespace).Get(ctx, name, metav1.GetOptions{})
	w.isBound, w.isLost, w.why = false, false, ""
	switch {
	case apierrors.IsNotFound(err), err == nil && isLost(row, claim):
		w.isLost, w.why = true, workspaceLost(name)
	case err != nil:
		w.why = fmt.Sprintf("claim %s cannot be read: %v", name, err)
	case claim.Status.Phase == corev1.ClaimBound:
		w.isBound = true
	default:
		w.why = fmt.Sprintf("claim %s: %s", name, ws.whyUnbound(ctx, claim))
	}
}

// whyUnbound returns why a claim is not bound, from its Events.
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

// newestReason returns the message of the newest warning, or of the newest Event if that warning is old.
func newestReason(events []corev1.Event) string {
	newest := slices.MaxFunc(events, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	shown := slices.MaxFunc(events, func(a, b corev1.Event) int {
		return cmp.Or(cmp.Compare(warns(&a, &newest), warns(&b, &newest)), lastSeen(&a).Compare(lastSeen(&b)))
	})
	return shown.Message
}

// warns returns 1 for a warning that is less than bindRecent older than the newest Event, otherwise 0.
func warns(event, newest *corev1.Event) int {
	if event.Type == corev1.EventTypeWarning && lastSeen(newest).Sub(lastSeen(event)) < bindRecent {
		return 1
	}
	return 0
}

// lastSeen returns when an Event last happened. Older clients set LastTimestamp, newer ones EventTime and Series.
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

// dropWorkspace deletes the claim of a run that has ended, unless the DAG keeps it. A claim that is kept, or cannot be
// deleted, is garbage-collected with its owner, the DagRun. An error makes the caller retry before it writes the final
// status. tries is how often it has failed.
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
	ws.events.Event(
		run,
		corev1.EventTypeWarning,
		"WorkspaceKept",
		text.Shorten(fmt.Sprintf("claim %q cannot be deleted and stays until the DagRun is: %v", name, err),
			text.MaxBytes),
	)
	return nil
}

// keepsWorkspace reports whether a run that has ended has no claim, or keeps it. If the version of the run is
// unreadable, the claim of a failed run stays, because its data could not be restored.
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

// deleteClaim deletes the recorded claim, or one that a process created and did not record before it died.
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
	if err := claims.Delete(ctx, name, metav1.DeleteOptions{Preconditions: kube.WithUID(uid)}); err != nil &&
		!kube.IsGone(err) {
		return err
	}
	fault.Point("claim-deleted")
	return nil
}
