package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/pod"
	"kontroler/controller/podlog"
	"kontroler/controller/queue"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// streamsAtOnce bounds the streams, those included that have ended and are not stored yet, followsAtOnce those of DAGs
	// whose logs are followed: what is left is for Pods that are deleted.
	streamsAtOnce, followsAtOnce = 250, 200
	// streamMemory bounds what all of them hold, compressed, but for the first and the last block of each.
	streamMemory = 64 << 20
	// streamOpening is how long a deletion waits for streams to be opened: once, for all that one sync deletes.
	streamOpening = time.Second
	// streamEnding is how long after its attempt's end a log is still followed: kubelets send one that is followed line by
	// line. What is then left is read at once, for logRead.
	streamEnding = time.Minute
	// streamRetry is when a stream is opened again that broke, streamLook how often its container's end is looked for.
	streamRetry, streamLook = time.Second, 100 * time.Millisecond
)

// errGivenUp is why a stream ended that was told to.
var errGivenUp = fmt.Errorf("its end did not come within %s of the attempt's", streamEnding+logRead)

// stream reads a log while its container runs: when the Pod is about to be deleted, as a kubelet removes container and log
// of a deleted Pod once it has ended; and from the start where the DAG says so.
type stream struct {
	pod  *corev1.Pod
	log  *podlog.Log // the stream's own until done is closed, as all below
	open chan struct{}
	over chan struct{} // closed: it has been followed for long enough
	quit chan struct{}
	done chan struct{}

	opened  time.Time // zero: it never was
	err     error     // why it may not have all; nil: it was read to its end
	clean   bool      // it was read to an end
	rotated bool      // the node has rotated it meanwhile: a kubelet may leave out lines of a stream where it does

	// Of streams.
	until   time.Time // when it is followed no longer
	dropped bool      // nobody waits for it
}

// usable reports that a stream that is done has the log: else it is read as any other.
func (s *stream) usable() bool { return s.clean || s.log.Bytes() > 0 }

// streams are those of a term. Its maps are its own; a stream's goroutine works on the stream.
type streams struct {
	mu      sync.Mutex
	pods    map[types.UID]*stream
	asked   chan *stream
	budget  *podlog.Budget
	metrics *Metrics
}

func newStreams(limit int64, metrics *Metrics) *streams {
	return &streams{
		pods: map[types.UID]*stream{}, asked: make(chan *stream, streamsAtOnce), budget: podlog.NewBudget(max(streamMemory, 4*limit)), metrics: metrics,
	}
}

// open asks for a stream, unless the Pod has one. nil: there are as many as may be.
func (s *streams) open(pod *corev1.Pod, limit int64, most int) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is := s.pods[pod.UID]; is != nil || len(s.pods) >= most {
		return is
	}
	made := &stream{pod: pod, log: podlog.New(limit, s.budget), open: make(chan struct{}), over: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	s.pods[pod.UID] = made
	s.metrics.LogStreams(len(s.pods))
	s.asked <- made // which has room for all that may be
	return made
}

// result is the stream of a Pod whose attempt has ended; nil: it has none. It may still be live for so long: its Pod is put
// on the queue when it is done, and it is followed no longer when its time is over.
func (s *streams) result(uid types.UID, now time.Time) (is *stream, live time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is = s.pods[uid]
	if is == nil {
		return nil, 0
	}
	select {
	case <-is.done:
		return is, 0
	default:
	}
	if is.until.IsZero() {
		is.until = now.Add(streamEnding)
	} else if !now.Before(is.until) {
		shut(is.over)
	}
	return is, max(is.until.Sub(now), streamRetry)
}

// has reports that a Pod has a stream.
func (s *streams) has(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pods[uid] != nil
}

// shut closes a channel of a stream, unless it is closed. Under the lock of its streams.
func shut(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// drop forgets the stream of a Pod that is gone or whose log is kept, and gives its memory back.
func (s *streams) drop(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.pods[uid]
	if is == nil {
		return
	}
	shut(is.quit)
	select {
	case <-is.done:
		is.log.Release()
		delete(s.pods, uid)
		s.metrics.LogStreams(len(s.pods))
	default: // its goroutine drops it
		is.dropped = true
	}
}

// finish ends a stream; one that was dropped meanwhile goes.
func (s *streams) finish(is *stream) {
	s.mu.Lock()
	dropped := is.dropped
	close(is.done)
	s.mu.Unlock()
	if dropped {
		s.drop(is.pod.UID)
	}
}

// stream runs the streams that are asked for until ctx ends.
func (t *term) stream(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-t.streams.asked:
			running.Go(func() {
				if err := queue.Guard(s.pod.Name, func() error { t.runStream(ctx, s); return nil }); err != nil {
					t.failed(err)
				}
				if ctx.Err() != nil {
					return // cut off by the end of the term: the next one reads the log
				}
				t.streams.finish(s)
				t.finishedPods.Add(cache.MetaObjectToName(s.pod))
			})
		}
	}
}

// runStream follows a log until its container has ended, then reads what is left of it. An end of a stream does not prove
// that of the container, nor that there was nothing more: API server and kubelet may restart.
func (t *term) runStream(ctx context.Context, s *stream) {
	ctx, cancel := whileOpen(ctx, s.quit)
	defer cancel()
	following, cancel := whileOpen(ctx, s.over)
	defer cancel()
	opened := func() {
		if s.opened.IsZero() {
			s.opened = t.now()
			close(s.open)
		}
	}
	for following.Err() == nil && !t.taskEnded(s.pod) {
		s.err = t.readLog(following, s.pod, s.log, true, opened)
		s.clean = s.clean || s.err == nil
		for left := streamRetry; left > 0 && (s.err != nil || !t.taskEnded(s.pod)) && wait.For(following, streamLook); left -= streamLook {
		}
	}
	ctx, cancel = context.WithTimeout(ctx, logRead)
	defer cancel()
	for {
		err := t.readLog(ctx, s.pod, s.log, false, opened)
		if err == nil && t.isServed(s.pod) {
			s.rotated, err = t.isRotated(ctx, s.pod, s.log)
		}
		switch {
		case ctx.Err() != nil:
			s.err = errGivenUp
			return
		case err == nil:
			s.err, s.clean = nil, true
			return
		case errors.Is(err, errNotContinued) && t.isServed(s.pod):
			// The kubelet rotated the log after its last line: what it serves now is empty.
			s.err, s.clean, s.rotated = nil, true, true
			return
		case errors.Is(err, errNoLog):
			// Of a Pod that is deleted the kubelet removes the log: then what was read to its end is all.
			if t.isServed(s.pod) || !s.clean && (s.err == nil || s.log.Bytes() == 0) {
				s.err = err
			}
			return
		}
		s.err = err
		wait.For(ctx, streamRetry)
	}
}

// whileOpen is a context that ends when a channel is closed.
func whileOpen(ctx context.Context, c <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// taskEnded reports that a Pod's task container has ended, or its Pod is gone, as the cache has it.
func (t *term) taskEnded(p *corev1.Pod) bool {
	now := t.present(p)
	if now == nil {
		return true
	}
	task := pod.ContainerStatus(now.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return task != nil && task.State.Terminated != nil
}

// isServed reports that a Pod is not being deleted, as the cache has it, so that its node keeps its log.
func (t *term) isServed(pod *corev1.Pod) bool {
	now := t.present(pod)
	return now != nil && now.DeletionTimestamp == nil
}

// present is a Pod as the cache has it now; nil: it is gone.
func (t *term) present(pod *corev1.Pod) *corev1.Pod {
	now, ok := t.podSource.Get(cache.MetaObjectToName(pod))
	if !ok || now.UID != pod.UID {
		return nil
	}
	return now
}

// taskRunning reports that a Pod's task container runs on a node.
func taskRunning(p *corev1.Pod) bool {
	task := pod.ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return p.Spec.NodeName != "" && task != nil && task.State.Running != nil
}

// streamDeleted opens the stream of a Pod that somebody deletes. Whether its log is kept is known later.
func (t *term) streamDeleted(old, pod *corev1.Pod) {
	if t.LogLimit > 0 && pod.DeletionTimestamp != nil && (old == nil || old.DeletionTimestamp == nil) && taskRunning(pod) {
		t.streams.open(pod, t.LogLimit, streamsAtOnce)
	}
}

// streamBefore opens the streams of Pods that are about to be deleted, and waits until they are open, not for long.
func (t *term) streamBefore(ctx context.Context, row store.Run, graph *dag.Graph, deletes []engine.Delete) {
	if t.LogLimit == 0 || graph.Spec().Logs == v1alpha1.LogsOff {
		return
	}
	var opening []*stream
	for _, d := range deletes {
		pod, ok := t.podSource.Get(cache.NewObjectName(row.Namespace, d.PodName))
		if !ok || string(pod.UID) != d.PodUID || !taskRunning(pod) {
			continue
		}
		if s := t.streams.open(pod, t.LogLimit, streamsAtOnce); s != nil {
			opening = append(opening, s)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, streamOpening)
	defer cancel()
	for _, s := range opening {
		select {
		case <-s.open:
		case <-s.done:
		case <-ctx.Done():
			return
		}
	}
}

// streamFollowed opens the streams of a DAG whose logs are followed, of the Pods that a sync has looked at.
func (t *term) streamFollowed(row store.Run, f *facts) {
	if t.LogLimit == 0 || f.graph.Spec().Logs != v1alpha1.LogsFollow {
		return
	}
	for name := range f.snapshot.Pods {
		if pod, ok := t.podSource.Get(cache.NewObjectName(row.Namespace, name)); ok && taskRunning(pod) {
			t.streams.open(pod, t.LogLimit, followsAtOnce)
		}
	}
}
