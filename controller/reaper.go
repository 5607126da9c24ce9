package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/kube"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/store"
)

// podReaper cleans up Pods whose outcome is committed.
type podReaper struct {
	*core
	queue   *queue.Queue[cache.ObjectName]
	counted *queue.Counted
	// released are the Pods whose deletion was requested and is not visible in the cache yet.
	released informer.UIDSet
}

// sync cleans up a Pod whose attempt has ended in the database: it stores the log, deletes the Pod and removes the
// finalizer. Everything that it needs is in the row of the attempt, so it can be repeated after a crash. A row that
// this term has just written is not read again. A Pod that appears after its attempt has ended is a stray: sync records
// and deletes it.
func (f *podReaper) sync(ctx context.Context, key cache.ObjectName) error {
	counted := f.counted.Take(key)
	p, err := f.currentPod(ctx, key)
	if err != nil || p == nil || f.released.Has(p.UID) {
		return err
	}
	uid, ok := pod.RunUID(p)
	if !ok {
		return nil
	}
	attempt, found := counted, counted.PodUID == string(p.UID)
	if !found {
		if attempt, found, err = f.db.AttemptByPod(ctx, uid, p.Name); err != nil {
			return fmt.Errorf("reading the attempt of pod %s: %w", key, err)
		}
	}
	if !found {
		return f.finishUnknown(ctx, p, uid)
	}
	if !attemptEnded(attempt) {
		return nil
	}
	f.backlog.slots.Release(key) // also if the answer to the commit was lost
	if attempt.PodUID != string(p.UID) {
		if !pod.IsOurs(p, f.cfg.ID, uid) || attempt.PodUID != "" && !kube.HasFinalizer(p) {
			return nil
		}
		if err := f.recordStray(ctx, p, uid, attempt); err != nil {
			return err
		}
	} else if done, err := f.logs.Keep(ctx, p, uid, attempt); err != nil || !done {
		return err
	}
	return f.release(ctx, p)
}

// unknownRetry is the delay before a Pod without a row is checked again while its run is live.
const unknownRetry = time.Minute

// finishUnknown deletes one of our Pods that has no row, because the history of its run was lost. A Pod of a live run
// stays: an attempt with its name may still be decided, and will then adopt the Pod.
func (f *podReaper) finishUnknown(ctx context.Context, p *corev1.Pod, runUID string) error {
	if !pod.IsOurs(p, f.cfg.ID, runUID) || !kube.HasFinalizer(p) {
		return nil
	}
	run, found, err := f.db.RunByUID(ctx, runUID)
	if err != nil {
		return fmt.Errorf("reading the run of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	if found && !v1alpha1.RunPhase(run.Phase).Ended() {
		f.queue.AddAfter(cache.MetaObjectToName(p), unknownRetry) // the run may end without that attempt
		return nil
	}
	f.cfg.Log.Warn("deleting a Pod that has no row: its history was lost", "namespace", p.Namespace, "pod", p.Name)
	return f.release(ctx, p)
}

var errMissing = errors.New("the row of the attempt is missing")

func (f *podReaper) recordStray(ctx context.Context, pod *corev1.Pod, runUID string, attempt store.Attempt) error {
	if attempt.StrayUID == string(pod.UID) {
		return nil
	}
	run, found, err := f.db.RunByUID(ctx, runUID)
	if err == nil && !found {
		err = errMissing
	}
	if err != nil {
		return fmt.Errorf("reading the run of stray pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if err := f.db.MarkStray(ctx, run.ID, attempt.ID, string(pod.UID)); err != nil {
		return fmt.Errorf("recording stray pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	fault.Point("stray-recorded")
	f.cfg.Log.Warn("deleting a stray Pod: its attempt had already ended", "namespace", pod.Namespace, "pod", pod.Name)
	return nil
}

func attemptEnded(a store.Attempt) bool {
	switch a.Phase {
	case engine.AttemptSucceeded, engine.AttemptFailed, engine.AttemptLost, engine.AttemptCancelled:
		return true
	}
	return false
}

// currentPod returns a Pod from the cache, or reads it live, because a Pod without our label is not cached. It returns
// nil if the Pod is gone.
func (f *podReaper) currentPod(ctx context.Context, key cache.ObjectName) (*corev1.Pod, error) {
	if pod, ok := f.cached.pods.Get(key); ok {
		return pod, nil
	}
	pod, err := f.cfg.Kube.CoreV1().Pods(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading pod %s: %w", key, err)
	}
	return pod, nil
}

// release deletes a Pod. Later watch events of the Pod do not enqueue its run.
func (f *podReaper) release(ctx context.Context, pod *corev1.Pod) error {
	f.released.Add(pod.UID)
	f.logs.Forget(pod)
	if err := f.deletePod(ctx, pod); err != nil {
		f.released.Remove(pod.UID)
		return err
	}
	if cached, ok := f.cached.pods.Get(cache.MetaObjectToName(pod)); !ok || cached.UID != pod.UID {
		f.released.Remove(pod.UID) // the deletion was seen already, or no watch will show it
	}
	return nil
}

// deletePod deletes the Pod and then removes its finalizer, with its UID as a precondition. While the Pod has the
// finalizer, a new leader finds it and repeats what is left to do.
func (f *podReaper) deletePod(ctx context.Context, pod *corev1.Pod) error {
	fault.Point("reap")
	if pod.DeletionTimestamp == nil {
		err := f.cfg.Kube.CoreV1().
			Pods(pod.Namespace).
			Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: kube.WithUID(string(pod.UID))})
		if err != nil && !kube.IsGone(err) {
			return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	fault.Point("pod-deleted")
	if _, err := kube.RemoveFinalizer(ctx, f.cfg.Kube, pod); err != nil {
		return fmt.Errorf("removing the finalizer of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	fault.Point("pod-released")
	return nil
}
