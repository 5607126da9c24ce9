package logs

import (
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/podlog"
)

var (
	// errNoLog means that the node has no log, or no longer has it.
	errNoLog = errors.New("there is no log")
	// errNotContinued means that the node serves a log without the line at which an earlier stream of it ended.
	errNotContinued = fmt.Errorf("%w: the node no longer has the lines that were read before", errNoLog)
)

// read reads the log of a Pod's task container, from where log ends. opened is called when the answer begins. A kubelet
// that finds no log may say so in the body of a successful answer. That is errNoLog, too.
func (k *Keeper) read(ctx context.Context, p *corev1.Pod, log *podlog.Log, follow bool, opened func()) error {
	options := &corev1.PodLogOptions{Container: v1alpha1.TaskContainer, Timestamps: true, Follow: follow}
	if since := log.Since(); !since.IsZero() {
		options.SinceTime = &metav1.Time{Time: since}
	}
	log.Resume()
	body, err := k.cfg.Kube.Pods(p.Namespace).GetLogs(p.Name, options).Stream(ctx)
	if err != nil {
		return asNoLog(err)
	}
	defer body.Close()
	opened()
	_, err = io.Copy(log, body)
	if note := log.TakeNote(); note != "" && err == nil {
		return fmt.Errorf("%w: the kubelet says: %s", errNoLog, note)
	}
	if err == nil && !log.Continued() {
		return errNotContinued
	}
	return err
}

// isRotated reports whether the log of a Pod's task container now begins later than what was read of it.
func (k *Keeper) isRotated(ctx context.Context, p *corev1.Pod, log *podlog.Log) (bool, error) {
	if log.Bytes() == 0 {
		return false, nil
	}
	enough := int64(64) // bytes, for the time of the first line
	body, err := k.cfg.Kube.Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: v1alpha1.TaskContainer, Timestamps: true, LimitBytes: &enough,
	}).DoRaw(ctx)
	if err != nil {
		return false, asNoLog(err)
	}
	served := podlog.New(enough, nil)
	_, _ = served.Write(body) // never fails
	return !served.Begins().Equal(log.Begins()), nil
}

// asNoLog wraps an error in errNoLog if it says that the Pod, its container or its log does not exist.
func asNoLog(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("%w: %w", errNoLog, err)
	}
	return err
}
