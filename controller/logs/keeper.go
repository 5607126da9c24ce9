package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/pod"
	"kontroler/controller/podlog"
	"kontroler/controller/text"
	"kontroler/store"
)

// Metrics counts logs.
type Metrics interface {
	// LogKept is called after each commit of a log, with its state (store.LogCaptured or store.LogLost) and the
	// number of bytes stored, before compression.
	LogKept(state string, bytes int)
	// LogStreams is called with the number of streams when it changes.
	LogStreams(n int)
}

// Config is what a Keeper needs. All fields but Limit are required.
type Config struct {
	// Kube reads logs.
	Kube corev1client.PodsGetter
	Logs *store.Logs
	// CachedPod returns the Pod of a name from the cache.
	CachedPod func(cache.ObjectName) (*corev1.Pod, bool)
	// Limit is how many bytes of a log are stored. 0 means that logs are not read.
	Limit int64
	// Policy returns spec.logs of a version of a DAG. Keep returns its errors.
	Policy func(ctx context.Context, versionID int64) (v1alpha1.LogPolicy, error)
	// Enqueue and EnqueueAfter let Keep be called again for a Pod, now or after a delay.
	Enqueue      func(cache.ObjectName)
	EnqueueAfter func(cache.ObjectName, time.Duration)
	// Failed is called with the panic of a stream.
	Failed func(error)
	// Now is the database's time.
	Now     func() time.Time
	Metrics Metrics
	Log     *slog.Logger
}

// Keeper reads and stores the logs of one term of leadership.
type Keeper struct {
	cfg     Config
	turns   *turns
	streams *streams
	// failedSince is when reading the log of a Pod first failed, a time.Time by UID.
	failedSince sync.Map
}

// New makes a Keeper. It reads nothing yet; streams are read by Run.
func New(cfg Config) *Keeper {
	return &Keeper{cfg: cfg, turns: newTurns(cfg.Enqueue), streams: newStreams(cfg.Limit, cfg.Metrics)}
}

// Keep stores the log of an attempt that has ended, if its container ran on a node and its DAG does not switch logs
// off. done reports that the log has its row, or needs none. If done is false without an error, the Pod is enqueued
// again. One call reads for at most a minute.
func (k *Keeper) Keep(ctx context.Context, p *corev1.Pod, runUID string, attempt store.Attempt) (done bool, err error) {
	if k.cfg.Limit == 0 || p.Spec.NodeName == "" || startedAt(p, attempt).IsZero() {
		return true, nil
	}
	owner, found, err := k.cfg.Logs.Owner(ctx, runUID, attempt)
	if err != nil || !found || owner.HasLog || owner.VersionID == 0 {
		return err == nil, err
	}
	policy, err := k.cfg.Policy(ctx, owner.VersionID)
	if err != nil || policy == v1alpha1.LogsOff {
		return err == nil, err
	}
	key := cache.MetaObjectToName(p)
	stream, remaining := k.streams.ofEnded(p.UID, k.cfg.Now())
	if remaining > 0 {
		k.cfg.EnqueueAfter(key, remaining)
		return false, nil
	}
	if stream != nil && !stream.isUsable() {
		stream = nil
	}
	if stream != nil && !(stream.isShort() && k.keepsLog(p)) {
		row := describeStream(p, attempt, stream, k.cfg.Limit)
		return true, k.save(ctx, p, owner.RunID, row, stream.result.Blocks)
	}
	if !k.turns.take(p.Spec.NodeName, key) {
		k.cfg.EnqueueAfter(key, turnRetry)
		return false, nil
	}
	defer k.turns.giveBack(p.Spec.NodeName, key)
	return k.capture(ctx, p, owner.RunID, attempt, stream)
}

// Forget drops the state of a Pod that is released or gone. Its stream ends.
func (k *Keeper) Forget(p *corev1.Pod) {
	k.streams.drop(p.UID)
	k.failedSince.Delete(p.UID)
	k.turns.forget(p.Spec.NodeName, cache.MetaObjectToName(p))
}

// save commits a log. A log that the database rejects is stored as lost, so that it does not hold its Pod back
// forever.
func (k *Keeper) save(ctx context.Context, p *corev1.Pod, runID int64, row store.Log, blocks []podlog.Block) error {
	fault.Point("log-read")
	chunks := make([]store.LogChunk, len(blocks))
	stored := 0
	for i, block := range blocks {
		chunks[i] = store.LogChunk{Size: block.Size, Gzip: block.Gzip}
		stored += block.Size
	}
	row.CapturedAt = k.cfg.Now()
	err := k.cfg.Logs.Save(ctx, runID, row, chunks)
	if errors.Is(err, store.ErrRejected) {
		row = store.Log{
			AttemptID: row.AttemptID, At: row.At, CapturedAt: row.CapturedAt,
			State: store.LogLost, Message: text.Clean(err.Error()),
		}
		stored, err = 0, k.cfg.Logs.Save(ctx, runID, row, nil)
	}
	if err != nil {
		return fmt.Errorf("storing the log of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	fault.Point("log-saved")
	k.cfg.Metrics.LogKept(row.State, stored)
	if row.State == store.LogLost {
		k.cfg.Log.Warn("log is lost", "namespace", p.Namespace, "pod", p.Name, "reason", row.Message)
	}
	return nil
}

// startedAt returns when the task's container started on its node: the later of the times in the attempt's row and in
// the Pod. It is zero if the container did not start.
func startedAt(p *corev1.Pod, attempt store.Attempt) time.Time {
	started := attempt.StartedAt
	if task := pod.ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer); task != nil {
		if byPod := pod.StartedAt(&task.State); byPod.After(started) {
			started = byPod
		}
	}
	return started
}

// cached returns a Pod as the cache has it now, nil if it is gone.
func (k *Keeper) cached(p *corev1.Pod) *corev1.Pod {
	now, ok := k.cfg.CachedPod(cache.MetaObjectToName(p))
	if !ok || now.UID != p.UID {
		return nil
	}
	return now
}

// hasEnded reports whether a Pod's task container has ended or the Pod is gone.
func (k *Keeper) hasEnded(p *corev1.Pod) bool {
	now := k.cached(p)
	if now == nil {
		return true
	}
	task := pod.ContainerStatus(now.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return task != nil && task.State.Terminated != nil
}

// keepsLog reports whether the node of a Pod keeps its log: the Pod exists and is not being deleted.
func (k *Keeper) keepsLog(p *corev1.Pod) bool {
	now := k.cached(p)
	return now != nil && now.DeletionTimestamp == nil
}

// isRunning reports whether a Pod's task container runs on a node.
func isRunning(p *corev1.Pod) bool {
	task := pod.ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return p.Spec.NodeName != "" && task != nil && task.State.Running != nil
}
