package logs

import (
	"context"
	"iter"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/fairness"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/podlog"
)

const (
	// maxStreams bounds the streams, including those that have ended and are not stored yet. Follow opens no stream
	// beyond maxFollowed: the rest is reserved for Pods that are deleted. A namespace may have half of the streams that
	// the others leave.
	maxStreams, maxFollowed = 500, 400
	// streamMemory bounds the memory of all streams together, in compressed bytes, without the first and the last block
	// of each. If four times the limit of a log is more, that is the bound. A namespace may have half of the memory
	// that the others leave.
	streamMemory = 64 << 20
	// openTimeout is how long OpenBefore delays the deletion of Pods.
	openTimeout = time.Second
	// followTimeout is how long a log is followed after its attempt has ended. A kubelet sends a followed log line by
	// line. After followTimeout, the rest is read without following, for at most readTimeout.
	followTimeout = time.Minute
)

// OpenDeleted opens a stream if a change of a Pod shows that it is being deleted while its task runs. old is the Pod
// before the change, nil if it is new. Keep checks later whether the DAG stores logs. OpenDeleted does not block. It
// must not be called after the Forget of a Pod that is gone.
func (k *Keeper) OpenDeleted(old, p *corev1.Pod) {
	wasDeleted := old != nil && old.DeletionTimestamp != nil
	if k.cfg.Limit > 0 && p.DeletionTimestamp != nil && !wasDeleted && isRunning(p) {
		k.streams.open(p, k.cfg.Limit, maxStreams)
	}
}

// OpenBefore opens streams of the Pods in a namespace that the controller is about to delete, unless policy, the
// spec.logs of their DAG, is LogsOff. It returns when the streams are open, after a second at the latest.
func (k *Keeper) OpenBefore(ctx context.Context, policy v1alpha1.LogPolicy, namespace string, deletes []engine.Delete) {
	if k.cfg.Limit == 0 || policy == v1alpha1.LogsOff {
		return
	}
	var opening []*stream
	for _, d := range deletes {
		p, ok := k.cfg.CachedPod(cache.NewObjectName(namespace, d.PodName))
		if !ok || string(p.UID) != d.PodUID || !isRunning(p) {
			continue
		}
		if s := k.open(p, maxStreams); s != nil {
			opening = append(opening, s)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for _, s := range opening {
		select {
		case <-s.opened:
		case <-s.done:
		case <-ctx.Done():
			return
		}
	}
}

// Follow opens streams of those of the named Pods in a namespace whose tasks run, if policy, the spec.logs of their
// DAG, is LogsFollow. It does not block.
func (k *Keeper) Follow(policy v1alpha1.LogPolicy, namespace string, pods iter.Seq[string]) {
	if k.cfg.Limit == 0 || policy != v1alpha1.LogsFollow {
		return
	}
	for name := range pods {
		if p, ok := k.cfg.CachedPod(cache.NewObjectName(namespace, name)); ok && isRunning(p) {
			k.open(p, maxFollowed)
		}
	}
}

// open opens the stream of a Pod that was cached. It returns nil if no more may be opened, or if the Pod is gone.
func (k *Keeper) open(p *corev1.Pod, most int) *stream {
	s := k.streams.open(p, k.cfg.Limit, most)
	if s != nil && k.cached(p) == nil {
		k.streams.drop(p.UID) // Forget may have come before
		return nil
	}
	return s
}

// stream reads a log while its container runs.
type stream struct {
	pod      *corev1.Pod
	log      *podlog.Log   // used by the stream's goroutine; released once done is closed
	opened   chan struct{} // closed when the node answers for the first time
	unfollow chan struct{} // closed when the log has been followed for long enough
	quit     chan struct{} // closed when nobody needs the log any more
	done     chan struct{} // closed when the stream has ended
	outcome

	// Guarded by streams.mu.
	followUntil time.Time // zero while the attempt is not known to have ended
	isDropped   bool
}

// outcome is the result of a stream's goroutine. Others read it once the stream is done.
type outcome struct {
	result     podlog.Result
	openedAt   time.Time // zero if the node never answered
	err        error     // why the log may lack lines; nil if it was read to its end
	reachedEnd bool      // a read came to an end of the log
	isRotated  bool      // the node rotated the log meanwhile, so the stream may lack lines there
}

// isUsable reports whether a stream that is done has the log. Otherwise the log is captured as if there were no
// stream.
func (s *stream) isUsable() bool { return s.reachedEnd || s.result.Bytes > 0 }

// isShort reports whether a stream that is done lacks a part of a log that its node still has, because other streams
// held the memory.
func (s *stream) isShort() bool { return s.result.Short && !s.isRotated }

// streams are the streams of one term.
type streams struct {
	requested chan *stream // streams that Run has not started yet
	budget    *podlog.Budget
	metrics   Metrics

	mu          sync.Mutex
	byPod       map[types.UID]*stream
	byNamespace map[string]int // how many
}

func newStreams(limit int64, metrics Metrics) *streams {
	return &streams{
		requested: make(chan *stream, maxStreams), budget: podlog.NewBudget(max(streamMemory, 4*limit)),
		metrics: metrics, byPod: map[types.UID]*stream{}, byNamespace: map[string]int{},
	}
}

// open returns the stream of a Pod. If the Pod has none, open requests one. It returns nil if there are `most` streams
// already, or if the namespace has its share: half of those that the others leave.
func (s *streams) open(p *corev1.Pod, limit int64, most int) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.byNamespace[p.Namespace]
	share := fairness.Share(most, len(s.byPod)-has)
	if found := s.byPod[p.UID]; found != nil || has >= share || len(s.byPod) >= most {
		return found
	}
	made := &stream{
		pod: p, log: podlog.New(limit, s.budget.Of(p.Namespace)), opened: make(chan struct{}),
		unfollow: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	s.byPod[p.UID] = made
	s.byNamespace[p.Namespace]++
	s.metrics.LogStreams(len(s.byPod))
	s.requested <- made // does not block: it has room for all streams
	return made
}

// ofEnded returns the stream of a Pod whose attempt has ended, or nil if it has none. remaining is 0 if the stream is
// done. Otherwise ofEnded must be called again after that time, or when Run has enqueued the Pod. The first call sets
// the time until which the log is followed.
func (s *streams) ofEnded(uid types.UID, now time.Time) (found *stream, remaining time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found = s.byPod[uid]
	if found == nil {
		return nil, 0
	}
	select {
	case <-found.done:
		return found, 0
	default:
	}
	if found.followUntil.IsZero() {
		found.followUntil = now.Add(followTimeout)
	} else if !now.Before(found.followUntil) {
		closeOnce(found.unfollow)
	}
	return found, max(found.followUntil.Sub(now), streamRetry)
}

// drop ends the stream of a Pod. Its memory is given back when it is done.
func (s *streams) drop(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byPod[uid]
	if found == nil {
		return
	}
	closeOnce(found.quit)
	select {
	case <-found.done:
		s.remove(found)
	default:
		found.isDropped = true // finish removes it
	}
}

// finish marks a stream as done, and removes it if it was dropped meanwhile.
func (s *streams) finish(ended *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(ended.done)
	if ended.isDropped {
		s.remove(ended)
	}
}

// remove gives back the memory and the place of a stream that is done. The caller holds mu.
func (s *streams) remove(ended *stream) {
	ended.log.Release()
	delete(s.byPod, ended.pod.UID)
	if s.byNamespace[ended.pod.Namespace]--; s.byNamespace[ended.pod.Namespace] == 0 {
		delete(s.byNamespace, ended.pod.Namespace)
	}
	s.metrics.LogStreams(len(s.byPod))
}

// closeOnce closes a channel that may be closed already. The caller holds streams.mu.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
