package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/store"
)

// starts is what the creates of one sync share.
type starts struct {
	row    store.Run
	graph  *dag.Graph
	values []dag.Value // the parameters of the run
	slots  *queue.Grant
}

// act deletes and creates the Pods of a committed decision. A failed deletion does not keep Pods from being created.
func (t *term) act(ctx context.Context, row store.Run, f *facts, slots *queue.Grant, decision engine.Decision) error {
	t.logs.OpenBefore(ctx, f.graph.Spec().Logs, row.Namespace, decision.Delete)
	stopped := parallel(len(decision.Delete), func(i int) error { return t.stopPod(ctx, row, decision.Delete[i]) })
	creates := decision.Create
	if len(creates) == 0 {
		return stopped
	}
	s := starts{row: row, graph: f.graph, slots: slots}
	if err := json.Unmarshal(row.Parameters, &s.values); err != nil {
		return fmt.Errorf("decoding the parameters of run %s/%s: %w", row.Namespace, row.Name, err)
	}
	if t.lacksWorkspace(row, f.graph) {
		// The first create makes the workspace too. The others need it.
		if err := t.createPod(ctx, s, creates[0]); err != nil {
			return errors.Join(stopped, err)
		}
		creates = creates[1:]
	}
	created := parallel(len(creates), func(i int) error { return t.createPod(ctx, s, creates[i]) })
	return errors.Join(stopped, created)
}

// passGate reports whether a create may be sent. If not, the attempt waits, and shows once why.
func (t *term) passGate(gates *queue.Gates, row store.Run, c engine.Create) bool {
	why, pass := gates.Pass(row.Namespace, queue.RunKey(row.UID), templateOf(row, c))
	if !pass && c.Reason != why.Reason {
		t.refuse(row, c, why)
	}
	return pass
}

func templateOf(row store.Run, c engine.Create) queue.Template {
	return queue.Template{Version: row.VersionID, Task: c.Task}
}

// createPod creates the Pod of a decided attempt. A repeat finds the Pod, because its name is derived.
func (t *term) createPod(ctx context.Context, s starts, c engine.Create) error {
	row, key, workspace := s.row, queue.RunKey(s.row.UID), s.graph.Workspace()
	if workspace != nil && !t.workspaces.made(key) {
		if made, err := t.makeWorkspace(ctx, row, workspace, c); err != nil || !made {
			return err
		}
	}
	if !t.passGate(t.gates, row, c) {
		return nil
	}
	fault.Point("pod-create")
	p := pod.Build(pod.Input{
		ControllerID: t.ID, Run: refOf(row), Workspace: workspace, Claim: names.Workspace(t.ID, row.UID, row.Name),
		Task: s.graph.Task(c.Task), Values: s.values, Attempt: c.Number, PodName: c.PodName, StartGrace: t.StartGrace,
	})
	created, err := t.Kube.CoreV1().Pods(row.Namespace).Create(ctx, p, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if created, err = t.existing(ctx, row, c); err != nil || created == nil {
			return err
		}
	}
	if err != nil {
		return t.createFailed(row, c, t.gates, err)
	}
	fault.Point("pod-created")
	if !c.Ready.IsZero() {
		t.Metrics.PodCreated(t.now().Sub(c.Ready))
	}
	s.slots.Use(cache.NewObjectName(row.Namespace, c.PodName))
	t.gates.Accepted(row.Namespace, templateOf(row, c))
	t.pending.created(key, c.PodName, created.UID)
	if !pod.IsOurs(created, t.ID, row.UID) {
		return t.relabel(ctx, row, created)
	}
	return nil
}

// existing returns the Pod that has the name of an attempt's Pod. nil: it is not the run's, and the attempt fails.
func (t *term) existing(ctx context.Context, row store.Run, c engine.Create) (*corev1.Pod, error) {
	p, err := t.Kube.CoreV1().Pods(row.Namespace).Get(ctx, c.PodName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading pod %q, which exists: %w", c.PodName, err)
	}
	if pod.BelongsTo(p, t.ID, row.UID) {
		return p, nil
	}
	t.refuse(row, c, engine.Refusal{Reason: engine.ReasonNameTaken, Never: true, Message: fmt.Sprintf("a Pod %q that is not this run's has its name", c.PodName)})
	return nil, nil
}

// createFailed sorts the errors of a create. A refusal is for the engine to judge; anything else is returned and retried.
// gates are those of the object that was to be created: the Pod, or its workspace.
func (t *term) createFailed(row store.Run, c engine.Create, gates *queue.Gates, err error) error {
	// Without the name of the Pod the text is the same for every attempt.
	refusal := engine.Refusal{Message: text.Shorten(strings.ReplaceAll(err.Error(), strconv.Quote(c.PodName)+" ", ""), 1024)}
	switch {
	// The one error text that is matched: only the text tells an exceeded quota from any other 403.
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		refusal.Reason = engine.ReasonQuotaExceeded
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		refusal.Reason = engine.ReasonNamespaceTerminating
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		refusal.Reason, refusal.Never = engine.ReasonCreateRefused, true
	case kube.IsServerFault(err):
		refusal.Reason = engine.ReasonCreateFailed
	case kube.IsRefusal(err) && !apierrors.IsUnauthorized(err):
		refusal.Reason = engine.ReasonCreateRefused
	default:
		return fmt.Errorf("creating pod %q: %w", c.PodName, err)
	}
	if !refusal.Never {
		gates.Refused(row.Namespace, queue.RunKey(row.UID), templateOf(row, c), refusal, t.now())
	}
	if refusal.Never || c.Reason != refusal.Reason {
		t.refuse(row, c, refusal)
	}
	return nil
}

// goneRetry is when a run is synced again whose Pod was gone when it was to be deleted.
const goneRetry = time.Second

// refuse leaves a refusal to the next sync.
func (t *term) refuse(row store.Run, c engine.Create, r engine.Refusal) {
	t.pending.refused(queue.RunKey(row.UID), c.PodName, r)
	t.runs.Add(queue.RunKey(row.UID))
}

// stopPod deletes a Pod whose stop is committed, with its own grace period.
func (t *term) stopPod(ctx context.Context, row store.Run, d engine.Delete) error {
	fault.Point("pod-stop")
	err := t.Kube.CoreV1().Pods(row.Namespace).Delete(ctx, d.PodName, metav1.DeleteOptions{Preconditions: kube.WithUID(d.PodUID)})
	if err != nil && !kube.IsGone(err) {
		return fmt.Errorf("deleting pod %q: %w", d.PodName, err)
	}
	fault.Point("pod-stopped")
	if err != nil {
		// The cache still has the Pod. The next sync reads it live once the cache has dropped it.
		t.pending.pod(queue.RunKey(row.UID), d.PodName)
		t.runs.AddAfter(queue.RunKey(row.UID), goneRetry)
	}
	return nil
}

// relabelAll restores the labels of our Pods that lost them. It comes before the commit: if this process ends after it, the
// Pod of an ended attempt is found by its label alone.
func (t *term) relabelAll(ctx context.Context, row store.Run, pods []*corev1.Pod) error {
	for _, pod := range pods {
		if err := t.relabel(ctx, row, pod); err != nil {
			return err
		}
	}
	return nil
}

// relabel restores the labels of a Pod of ours. Without them no watch shows it.
func (t *term) relabel(ctx context.Context, row store.Run, pod *corev1.Pod) error {
	labels := map[string]string{v1alpha1.LabelController: t.ID, v1alpha1.LabelRun: row.UID}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "labels": labels}})
	if err != nil {
		return fmt.Errorf("encoding labels: %w", err)
	}
	_, err = t.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("restoring the labels of pod %q: %w", pod.Name, err)
	}
	fault.Point("relabelled")
	t.Log.Warn("a Pod had lost its labels", "namespace", pod.Namespace, "pod", pod.Name, "run", row.Name)
	return nil
}

func refOf(row store.Run) pod.Run {
	return pod.Run{Namespace: row.Namespace, Name: row.Name, UID: row.UID, DAGName: row.DAGName}
}

// probeEvery is how often it is checked whether a probe is due.
const probeEvery = 250 * time.Millisecond

// probeNamespaces probes the namespaces that refuse creates, until ctx ends.
func (t *term) probeNamespaces(ctx context.Context) {
	for wait.For(ctx, probeEvery) {
		t.gates.Probe(t.now())
		t.storage.Probe(t.now())
	}
}
