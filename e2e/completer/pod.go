package completer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// killed is the exit code of a container that SIGKILL ended.
const killed = 137

// player plays one Pod.
type player struct {
	completer *Completer
	pod       *corev1.Pod // as it was created
	begun     metav1.Time
	gone      chan struct{} // closed when the Pod no longer exists
	endGone   sync.Once

	mu        sync.Mutex
	ends      time.Time     // the end of the grace period of a deletion
	confirmed bool          // the deletion needs no confirmation by the node
	deleted   chan struct{} // closed when the deletion was seen
}

func newPlayer(c *Completer, pod *corev1.Pod) *player {
	return &player{completer: c, pod: pod, gone: make(chan struct{}), deleted: make(chan struct{})}
}

// cancel ends the player.
func (p *player) cancel() { p.endGone.Do(func() { close(p.gone) }) }

func (p *player) isGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// delete passes the deletion of the Pod to the player.
func (p *player) delete(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends.IsZero() {
		close(p.deleted)
	}
	p.ends = pod.DeletionTimestamp.Time // a second deletion may shorten the grace
	p.confirmed = pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
}

// play plays the Pod to its end.
func (p *player) play(ctx context.Context) error {
	if phase := p.pod.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	script, _ := Script(p.pod)
	steps, err := parse(script)
	if err != nil {
		return err
	}
	if scheduled, err := p.schedule(ctx); err != nil || !scheduled {
		return err
	}
	p.begun = metav1.Now()
	if p.completer.Node == "" {
		return p.report(ctx, p.ended(0, "Completed"))
	}
	return p.run(ctx, steps)
}

// schedule binds the Pod to the node. It returns false if the Pod does not fit the node.
func (p *player) schedule(ctx context.Context) (bool, error) {
	node := p.completer.Node
	if node == "" || p.pod.Spec.NodeName == node {
		return true, nil
	}
	if p.pod.Spec.NodeName != "" {
		return false, nil
	}
	for label, value := range p.pod.Spec.NodeSelector {
		if nodeLabels(node)[label] != value {
			return false, nil
		}
	}
	err := p.completer.request(ctx, func() error {
		return p.completer.client.CoreV1().Pods(p.pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.pod.Namespace, Name: p.pod.Name, UID: p.pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
	})
	if ended(err) {
		return false, nil // deleted before it was bound: the API server removes it without a confirmation
	}
	if err != nil {
		return false, fmt.Errorf("binding the Pod: %w", err)
	}
	return true, nil
}

// ended reports whether an error says that the Pod no longer exists or is being deleted.
func ended(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Reasons for which a script does not end by itself.
var (
	errStopped  = errors.New("the Pod was deleted")
	errDeadline = errors.New("the Pod's deadline has passed")
)

// exit is the exit code of a container.
type exit int32

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int32(e)) }

// run does the steps, reports the end, and confirms a deletion.
func (p *player) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if s.waits() {
			status := p.running()
			if s.verb == "pend" {
				status = p.pending(s.arg)
			}
			if err := p.report(ctx, status); err != nil {
				return err
			}
			break
		}
	}
	var code exit
	err := p.do(ctx, steps)
	switch {
	case err == nil, errors.As(err, &code) && code == 0:
		return p.end(ctx, p.ended(0, "Completed"))
	case errors.As(err, &code):
		return p.end(ctx, p.ended(int32(code), "Error"))
	case errors.Is(err, errDeadline):
		status := p.ended(killed, "Error")
		status.Reason, status.Message =
			"DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
		return p.end(ctx, status)
	case errors.Is(err, errStopped):
		return p.end(ctx, p.ended(killed, "Error"))
	}
	return err
}

// do does the steps of a script.
func (p *player) do(ctx context.Context, steps []step) error {
	var deadline <-chan time.Time
	if seconds := p.pod.Spec.ActiveDeadlineSeconds; seconds != nil {
		timer := time.NewTimer(time.Duration(*seconds) * time.Second)
		defer timer.Stop()
		deadline = timer.C
	}
	for _, s := range steps {
		if err := p.step(ctx, s, deadline); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) step(ctx context.Context, s step, deadline <-chan time.Time) error {
	at := gate{p.pod.Namespace, s.arg}
	switch s.verb {
	case "exit":
		return exit(s.code())
	case "fail-if":
		if open, _ := p.completer.isOpen(at); open {
			return exit(1)
		}
	case "once":
		if p.completer.first(at) {
			return p.step(ctx, *s.then, deadline)
		}
	case "sleep":
		timer := time.NewTimer(s.seconds())
		defer timer.Stop()
		return p.wait(ctx, timer.C, deadline)
	case "pend":
		return p.wait(ctx, nil, deadline)
	case "await", "hold":
		for {
			open, changed := p.completer.isOpen(at)
			if open == (s.verb == "await") {
				return nil
			}
			if err := p.waitChange(ctx, changed, deadline); err != nil {
				return err
			}
		}
	}
	return nil
}

// wait waits for a time, unless the Pod must end earlier.
func (p *player) wait(ctx context.Context, over, deadline <-chan time.Time) error {
	select {
	case <-over:
		return nil
	case <-deadline:
		return errDeadline
	case <-p.deleted:
		return p.outlast(ctx, over)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitChange waits until a gate changes, unless the Pod must end earlier.
func (p *player) waitChange(ctx context.Context, changed <-chan struct{}, deadline <-chan time.Time) error {
	select {
	case <-changed:
		return nil
	case <-deadline:
		return errDeadline
	case <-p.deleted:
		return p.outlast(ctx, nil)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outlast waits until the grace period of a deletion is over. The container ignores SIGTERM, but may end by itself.
func (p *player) outlast(ctx context.Context, over <-chan time.Time) error {
	for {
		p.mu.Lock()
		left := time.Until(p.ends)
		p.mu.Unlock()
		if left <= 0 {
			return errStopped
		}
		select {
		case <-over:
			return nil
		case <-time.After(min(left, 100*time.Millisecond)): // a second deletion may shorten the grace
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end reports the end of a Pod. If the Pod is deleted, now or later, end confirms that it has ended: without that the
// API server does not remove a Pod that was running.
func (p *player) end(ctx context.Context, status corev1.PodStatus) error {
	if err := p.report(ctx, status); err != nil {
		return err
	}
	select {
	case <-p.deleted:
	case <-ctx.Done():
		return nil
	}
	if p.isConfirmed() {
		return nil
	}
	err := p.completer.request(ctx, func() error {
		return p.completer.client.CoreV1().Pods(p.pod.Namespace).Delete(ctx, p.pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(p.pod.UID)),
		})
	})
	if err != nil && !ended(err) {
		return fmt.Errorf("confirming a deletion: %w", err)
	}
	return nil
}

func (p *player) isConfirmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed
}

// running returns the status of a Pod whose container runs.
func (p *player) running() corev1.PodStatus {
	status := p.status(corev1.PodRunning,
		corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.begun}})
	for i := range status.ContainerStatuses {
		status.ContainerStatuses[i].Ready = true
	}
	return status
}

// pending returns the status of a Pod whose container waits.
func (p *player) pending(reason string) corev1.PodStatus {
	return p.status(corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}})
}

// ended returns the status of a Pod whose container has ended.
func (p *player) ended(code int32, reason string) corev1.PodStatus {
	phase := corev1.PodSucceeded
	if code != 0 {
		phase = corev1.PodFailed
	}
	return p.status(phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: p.begun, FinishedAt: metav1.Now(),
	}})
}

func (p *player) status(phase corev1.PodPhase, state corev1.ContainerState) corev1.PodStatus {
	status := corev1.PodStatus{Phase: phase, StartTime: &p.begun}
	for _, container := range p.pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, State: state,
		})
	}
	return status
}

// report patches the status of the Pod. If the Pod no longer exists, it does nothing.
func (p *player) report(ctx context.Context, status corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.pod.UID}, "status": status})
	if err != nil {
		return err
	}
	err = p.completer.request(ctx, func() error {
		written, err := p.completer.client.CoreV1().Pods(p.pod.Namespace).
			Patch(ctx, p.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil && p.completer.Reported != nil {
			p.completer.Reported(written)
		}
		return err
	})
	if err != nil && !ended(err) {
		return fmt.Errorf("reporting %s: %w", status.Phase, err)
	}
	return nil
}

// failed passes an error of a Pod to Failed.
func (c *Completer) failed(pod *corev1.Pod, err error) {
	if c.Failed != nil {
		c.Failed(fmt.Errorf("playing pod %s/%s: %w", pod.Namespace, pod.Name, err))
	}
}
