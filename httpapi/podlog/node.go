package podlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// openTimeout bounds the time until a node begins its response.
const openTimeout = 10 * time.Second

// NodeError means that a log or its Pod cannot be read from the cluster now.
type NodeError struct {
	// IsForbidden means that the server lacks a permission.
	IsForbidden bool
	cause       error
}

func (e *NodeError) Error() string { return "reading a log from its node: " + e.cause.Error() }
func (e *NodeError) Unwrap() error { return e.cause }

func nodeError(err error) error {
	return &NodeError{IsForbidden: apierrors.IsForbidden(err), cause: err}
}

var (
	// errNoPod means that the Pod of the attempt no longer exists.
	errNoPod = errors.New("the Pod is gone")
	// errNoLog means that the node does not have the log: not yet, or no longer.
	errNoLog = errors.New("the node has no log")
)

// pod returns the Pod of an attempt. The error is errNoPod if it no longer exists, even if another Pod has its name.
func (l *Logs) pod(ctx context.Context, p podName) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pod, err := l.Pods.Pods(p.namespace).Get(ctx, p.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && string(pod.UID) != p.uid:
		return nil, errNoPod
	case err != nil:
		return nil, nodeError(err)
	}
	return pod, nil
}

// podName identifies the Pod of an attempt.
type podName struct{ namespace, name, uid string }

// open opens the log of a Pod from its beginning. Requests for logs have no UID, so it checks the UID of the Pod
// afterwards. The error is errNoLog, errNoPod or a *NodeError.
func (l *Logs) open(ctx context.Context, p podName, isFollowed bool) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{Container: v1alpha1.TaskContainer, Timestamps: true, Follow: isFollowed}
	ctx, cancel := context.WithCancel(ctx)
	timeout := time.AfterFunc(openTimeout, cancel)
	defer timeout.Stop()
	body, err := l.Pods.Pods(p.namespace).GetLogs(p.name, options).Stream(ctx)
	if err != nil {
		defer cancel()
		if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
			return nil, fmt.Errorf("%w: %w", errNoLog, err)
		}
		return nil, nodeError(err)
	}
	if _, err := l.pod(ctx, p); err != nil {
		cancel()
		return nil, errors.Join(err, body.Close())
	}
	return closer{body, cancel}, nil
}

// closer is a body whose Close also cancels its context.
type closer struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c closer) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// taskState returns whether the container of the task has started, and whether it has ended.
func taskState(p *corev1.Pod) (hasStarted, hasEnded bool) {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer {
			return c.State.Running != nil || c.State.Terminated != nil, c.State.Terminated != nil
		}
	}
	return false, false
}
