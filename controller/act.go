package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/names"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/store"
)

// starts has the inputs that the creates of one sync share.
type starts struct {
	row    store.Run
	graph  *dag.Graph
	values []dag.Value // the parameters of the run
	slots  *queue.Grant
}

// podWriter creates and stops the Pods of runs.
type podWriter struct {
	*core
	gatekeeper *gatekeeper
	workspaces *workspaces
}

// act deletes, creates and limits the Pods of a committed decision. It creates Pods even if a delete fails.
func (w *podWriter) act(
	ctx context.Context, row store.Run, f *facts, slots *queue.Grant, decision engine.Decision,
) error {
	w.logs.OpenBefore(ctx, f.graph.Spec().Logs, row.Namespace, decision.Delete)
	stopErr := w.stopPods(ctx, row, decision.Delete)
	createErr := w.createPods(ctx, row, f, slots, decision.Create)
	if decision.Throttled {
		w.awaitSlot(row, f, decision, createErr)
	}
	return errors.Join(stopErr, createErr, w.limitPods(ctx, row, decision.Limit))
}

// awaitSlot makes a run wait for slots, even if it also waits for something else. createErr is the error of its
// creates.
//
// A run that can use no slot must not wait: the slots that its own sync frees would enqueue it at once. If a create
// failed, the run is retried after its backoff. If its workspace cannot be made yet, the refusal or claimRetry enqueues
// it.
func (w *podWriter) awaitSlot(row store.Run, f *facts, decision engine.Decision, createErr error) {
	key := queue.RunKey(row.UID)
	switch {
	case len(decision.Create) == 0:
		w.backlog.queue.KeepBackoff(key)
	case createErr != nil, w.workspaces.lacksWorkspace(row, f.graph):
		return
	}
	w.backlog.slots.Wait(row.Namespace, key)
}

// createPods creates the Pods of decided attempts.
func (w *podWriter) createPods(
	ctx context.Context, row store.Run, f *facts, slots *queue.Grant, creates []engine.Create,
) error {
	if len(creates) == 0 {
		return nil
	}
	s := starts{row: row, graph: f.graph, slots: slots}
	if err := json.Unmarshal(row.Parameters, &s.values); err != nil {
		return fmt.Errorf("decoding the parameters of run %s/%s: %w", row.Namespace, row.Name, err)
	}
	if w.workspaces.lacksWorkspace(row, f.graph) {
		// The first create also makes the workspace, which the others need.
		if err := w.createPod(ctx, s, creates[0]); err != nil {
			return err
		}
		creates = creates[1:]
	}
	return queue.Parallel(len(creates), func(i int) error { return w.createPod(ctx, s, creates[i]) })
}

// createPod creates the Pod of a decided attempt. A repeated call finds the Pod, because its name is derived from the
// attempt.
func (w *podWriter) createPod(ctx context.Context, s starts, c engine.Create) error {
	row, key, workspace := s.row, queue.RunKey(s.row.UID), s.graph.Workspace()
	if workspace != nil && !w.workspaces.made(key) {
		if made, err := w.workspaces.makeWorkspace(ctx, row, workspace, c); err != nil || !made {
			return err
		}
	}
	if !w.gatekeeper.passGate(w.gatekeeper.pods, row, c) {
		return nil
	}
	fault.Point("pod-create")
	p := pod.Build(pod.Input{
		ControllerID: w.cfg.ID,
		Run:          refOf(row),
		Workspace:    workspace,
		Claim:        names.Workspace(w.cfg.ID, row.UID, row.Name),
		Task:         s.graph.Task(c.Task),
		Values:       s.values,
		Attempt:      c.Number,
		PodName:      c.PodName,
	})
	created, err := w.cfg.Kube.CoreV1().Pods(row.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if created, err = w.existing(ctx, row, c); err != nil || created == nil {
			return err
		}
	}
	if err != nil {
		return w.gatekeeper.createFailed(row, c, w.gatekeeper.pods, err)
	}
	fault.Point("pod-created")
	if !c.Ready.IsZero() {
		w.cfg.Metrics.PodCreated(w.now().Sub(c.Ready))
	}
	s.slots.Use(cache.NewObjectName(row.Namespace, c.PodName))
	w.gatekeeper.pods.Accepted(row.Namespace, templateOf(row, c))
	w.backlog.pending.Created(key, c.PodName, created.UID)
	if !pod.IsOurs(created, w.cfg.ID, row.UID) {
		return w.relabel(ctx, row, created)
	}
	return nil
}

// existing returns the Pod that has the name of an attempt's Pod. If it does not belong to the run, existing returns
// nil and the attempt fails.
func (w *podWriter) existing(ctx context.Context, row store.Run, c engine.Create) (*corev1.Pod, error) {
	p, err := w.cfg.Kube.CoreV1().Pods(row.Namespace).Get(ctx, c.PodName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading pod %q, which exists: %w", c.PodName, err)
	}
	if pod.BelongsTo(p, w.cfg.ID, row.UID) {
		return p, nil
	}
	w.gatekeeper.refuse(row, c, engine.Refusal{
		Reason:      engine.ReasonNameTaken,
		IsPermanent: true,
		Message:     fmt.Sprintf("the name %q is taken by a Pod that does not belong to this run", c.PodName),
	})
	return nil, nil
}

// sendAll sends n requests to one namespace, several at a time, and returns the first error. If a request fails because
// an admission webhook hangs, sendAll leaves out the rest, which would probably hang too.
func sendAll(n int, send func(i int) error) (hangs bool, err error) {
	var hung atomic.Bool
	err = queue.Parallel(n, func(i int) error {
		if hung.Load() {
			return nil
		}
		began := time.Now()
		err := send(i)
		if kube.Hung(err, began) {
			hung.Store(true)
		}
		return err
	})
	return hung.Load(), err
}

// stopPods deletes Pods whose stop is committed.
func (w *podWriter) stopPods(ctx context.Context, row store.Run, deletes []engine.Delete) error {
	_, err := sendAll(len(deletes), func(i int) error { return w.stopPod(ctx, row, deletes[i]) })
	return err
}

// goneRetry is the delay before the next sync of a run whose Pod or DagRun no longer exists. The cache may still have
// the object.
const goneRetry = time.Second

// stopPod deletes a Pod whose stop is committed, with its own grace period.
func (w *podWriter) stopPod(ctx context.Context, row store.Run, d engine.Delete) error {
	fault.Point("pod-stop")
	err := w.cfg.Kube.CoreV1().
		Pods(row.Namespace).
		Delete(ctx, d.PodName, metav1.DeleteOptions{Preconditions: kube.WithUID(d.PodUID)})
	if err != nil && !kube.IsGone(err) {
		return fmt.Errorf("deleting pod %q: %w", d.PodName, err)
	}
	fault.Point("pod-stopped")
	if err != nil {
		// The cache still has the Pod. The next sync reads it live once the cache has dropped it.
		w.backlog.pending.Pod(queue.RunKey(row.UID), d.PodName)
		w.backlog.queue.AddAfter(queue.RunKey(row.UID), goneRetry)
	}
	return nil
}

// limitPods lowers activeDeadlineSeconds of Pods whose tasks run. The controller stops a task at its timeout even
// without that deadline. If a webhook hangs, or the API server refuses a deadline, the run therefore goes on without
// it. The next change of the Pod, or the next leader, tries again.
func (w *podWriter) limitPods(ctx context.Context, row store.Run, limits []engine.Limit) error {
	hangs, err := sendAll(len(limits), func(i int) error { return w.limitPod(ctx, row, limits[i]) })
	if hangs || kube.IsRefusal(err) {
		w.cfg.Log.Warn("a Pod has no deadline for its timeout, and is stopped only while a controller runs",
			"namespace", row.Namespace, "run", row.Name, "error", err)
		return nil
	}
	return err
}

// limitPod lowers activeDeadlineSeconds of a Pod.
func (w *podWriter) limitPod(ctx context.Context, row store.Run, l engine.Limit) error {
	fault.Point("pod-limit")
	body := fmt.Appendf(nil, `{"metadata":{"uid":%q},"spec":{"activeDeadlineSeconds":%d}}`, l.PodUID, l.Seconds)
	_, err := w.cfg.Kube.CoreV1().
		Pods(row.Namespace).
		Patch(ctx, l.PodName, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil && !kube.IsGone(err) {
		return fmt.Errorf("setting the deadline of pod %q: %w", l.PodName, err)
	}
	return nil
}

// relabelAll restores the labels of our Pods that lost them.
func (w *podWriter) relabelAll(ctx context.Context, row store.Run, pods []*corev1.Pod) error {
	_, err := sendAll(len(pods), func(i int) error { return w.relabel(ctx, row, pods[i]) })
	return err
}

// relabel restores the labels of one of our Pods. Without them the watch does not show it.
func (w *podWriter) relabel(ctx context.Context, row store.Run, pod *corev1.Pod) error {
	labels := map[string]string{v1alpha1.LabelController: w.cfg.ID, v1alpha1.LabelRun: row.UID}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "labels": labels}})
	if err != nil {
		return fmt.Errorf("encoding labels: %w", err)
	}
	_, err = w.cfg.Kube.CoreV1().
		Pods(pod.Namespace).
		Patch(ctx, pod.Name, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("restoring the labels of pod %q: %w", pod.Name, err)
	}
	fault.Point("relabelled")
	w.cfg.Log.Warn("restored labels that a Pod had lost", "namespace", pod.Namespace, "pod", pod.Name, "run", row.Name)
	return nil
}

func refOf(row store.Run) pod.Run {
	return pod.Run{Namespace: row.Namespace, Name: row.Name, UID: row.UID, DAGName: row.DAGName}
}
