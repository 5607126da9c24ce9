package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/pod"
	"kontroler/store"
)

// reapAgain is when a Pod is looked at again that another worker is at.
const reapAgain = time.Second

// reap ends a Pod whose attempt has ended in the database: its log is kept, the finalizer comes off, the Pod is deleted.
// That row is the reaper's whole memory. A Pod that appeared for an attempt that had already ended is a stray: deleted, and
// recorded.
func (t *term) reap(ctx context.Context, key cache.ObjectName) error {
	if pod, ok := t.podSource.Get(key); ok && t.canWait(pod) && t.rushed(t.over.Len) {
		t.over.Add(key)
		return nil
	}
	return t.reapNow(ctx, key)
}

// reapOver ends a Pod that is over: nothing runs on for being late.
func (t *term) reapOver(ctx context.Context, key cache.ObjectName) error {
	t.makeWay(ctx, t.over.Len)
	return t.reapNow(ctx, key)
}

// canWait reports that nothing is lost if a Pod is reaped later: nothing runs on, its log stays, and no stream is held.
func (t *term) canWait(pod *corev1.Pod) bool {
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return over && pod.DeletionTimestamp == nil && !t.logs.HasStream(pod.UID)
}

func (t *term) reapNow(ctx context.Context, key cache.ObjectName) error {
	p, err := t.podNow(ctx, key)
	if err != nil || p == nil || t.reaped.Has(p.UID) {
		return err
	}
	if !t.reaping.Begin(p.UID) {
		t.finishedPods.AddAfter(key, reapAgain) // it is on both queues, and one of them is at it
		return nil
	}
	defer t.reaping.Remove(p.UID)
	uid, ok := pod.RunUID(p)
	if !ok {
		return nil
	}
	attempt, found, err := t.db.AttemptByPod(ctx, uid, p.Name)
	if err != nil {
		return fmt.Errorf("reading the attempt of pod %s: %w", key, err)
	}
	if !found {
		return t.reapUnknown(ctx, p, uid)
	}
	if !attemptEnded(attempt) {
		return nil
	}
	t.slots.Release(key) // also where the answer to the commit was lost
	if attempt.PodUID != string(p.UID) {
		if !pod.IsOurs(p, t.ID, uid) || attempt.PodUID != "" && !slices.Contains(p.Finalizers, v1alpha1.Finalizer) {
			return nil
		}
		if err := t.recordStray(ctx, p, uid, attempt); err != nil {
			return err
		}
	} else if done, err := t.logs.Keep(ctx, p, uid, attempt); err != nil || !done {
		return err
	}
	return t.release(ctx, p)
}

// reapUnknown ends a Pod of ours that no row knows: the history of its run was lost. Of a live run it is left alone: the
// attempt that has its name is yet to be decided, and finds it there.
func (t *term) reapUnknown(ctx context.Context, p *corev1.Pod, runUID string) error {
	if !pod.IsOurs(p, t.ID, runUID) || !slices.Contains(p.Finalizers, v1alpha1.Finalizer) {
		return nil
	}
	run, found, err := t.db.RunByUID(ctx, runUID)
	if err != nil {
		return fmt.Errorf("reading the run of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	if found && !v1alpha1.RunPhase(run.Phase).Ended() {
		return nil
	}
	t.Log.Warn("a Pod is in no row, its history was lost; it is deleted", "namespace", p.Namespace, "pod", p.Name)
	return t.release(ctx, p)
}

var errMissing = errors.New("its row is missing")

func (t *term) recordStray(ctx context.Context, pod *corev1.Pod, runUID string, attempt store.Attempt) error {
	if attempt.StrayUID == string(pod.UID) {
		return nil
	}
	run, found, err := t.db.RunByUID(ctx, runUID)
	if err == nil && !found {
		err = errMissing
	}
	if err != nil {
		return fmt.Errorf("reading the run of stray pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if err := t.db.MarkStray(ctx, run.ID, attempt.ID, string(pod.UID)); err != nil {
		return fmt.Errorf("recording stray pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	fault.Point("stray-recorded")
	t.Log.Warn("a Pod appeared for an attempt that had ended; it is deleted", "namespace", pod.Namespace, "pod", pod.Name)
	return nil
}

func attemptEnded(a store.Attempt) bool {
	switch a.Phase {
	case engine.AttemptSucceeded, engine.AttemptFailed, engine.AttemptLost, engine.AttemptCancelled:
		return true
	}
	return false
}

// podNow is the Pod from the cache, else read live: one that lost our label is in no cache. nil: gone.
func (t *term) podNow(ctx context.Context, key cache.ObjectName) (*corev1.Pod, error) {
	if pod, ok := t.podSource.Get(key); ok {
		return pod, nil
	}
	pod, err := t.Kube.CoreV1().Pods(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	}
	return pod, nil
}

// release ends a Pod. What its watch shows from now on is this term's own doing, from which no sync follows.
func (t *term) release(ctx context.Context, pod *corev1.Pod) error {
	t.reaped.Add(pod.UID)
	t.logs.Forget(pod.UID)
	if err := t.deletePod(ctx, pod); err != nil {
		t.reaped.Remove(pod.UID)
		return err
	}
	if cached, ok := t.podSource.Get(cache.MetaObjectToName(pod)); !ok || cached.UID != pod.UID {
		t.reaped.Remove(pod.UID) // its deletion was seen before, or there is no watch that will show it
	}
	return nil
}

// deletePod deletes the Pod and takes the finalizer off, each with its UID as the condition. Until that is off it is the
// memory of what is left to do.
func (t *term) deletePod(ctx context.Context, pod *corev1.Pod) error {
	fault.Point("reap")
	if pod.DeletionTimestamp == nil {
		err := t.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: kube.WithUID(string(pod.UID))})
		if err != nil && !kube.IsGone(err) {
			return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	fault.Point("pod-deleted")
	if _, err := kube.RemoveFinalizer(ctx, t.Kube, pod); err != nil {
		return fmt.Errorf("taking the finalizer off pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	fault.Point("pod-released")
	return nil
}
