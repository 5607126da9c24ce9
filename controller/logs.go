package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/pod"
	"kontroler/controller/podlog"
	"kontroler/controller/text"
	"kontroler/store"
)

const (
	// DefaultLogLimit is how much of a log is kept.
	DefaultLogLimit = 8 << 20
	// logsAtOnce bounds the logs that are read at once, and so the memory for them: that many times the limit. No node may
	// have more than logsPerNode of them: one that does not answer holds up its own.
	logsAtOnce, logsPerNode = 16, 4
	// logAnswer bounds the wait for the first byte of a log, logRead that for the last.
	logAnswer, logRead = 10 * time.Second, time.Minute
	// A node that does not answer is asked again for nodePatience, one that answers that there is no log for lostPatience:
	// a kubelet that has just started knows no Pod yet. Both count from the first read that failed.
	nodePatience, lostPatience = 2 * time.Minute, 3 * time.Second
	nodeRetry, lostRetry       = 5 * time.Second, time.Second
	// turnRetry is when a Pod that waits for its turn looks by itself: the one that was to give it may have been gone.
	turnRetry = 10 * time.Second
	// rotationAfter is how long after its container's start a log may begin to be taken for whole: kubelets look at the
	// sizes of logs every ten seconds.
	rotationAfter = 10 * time.Second
)

var (
	// errNoLog is an answer that says that there is no log (any more).
	errNoLog = errors.New("there is no log")
	// errNotContinued is a log without the line at which an earlier stream of it ended.
	errNotContinued = fmt.Errorf("%w: the node no longer has what was read before", errNoLog)
)

// captures counts the logs that are being read. A Pod whose turn has not come is put on the queue again when it has.
type captures struct {
	mu      sync.Mutex
	all     int
	nodes   map[string]int
	waiting map[string][]cache.ObjectName
	failed  map[types.UID]time.Time // when a read failed first, until the Pod is released
	again   func(cache.ObjectName)
}

func newCaptures(again func(cache.ObjectName)) *captures {
	return &captures{nodes: map[string]int{}, waiting: map[string][]cache.ObjectName{}, failed: map[types.UID]time.Time{}, again: again}
}

// begin reports whether the log of a Pod may be read now; what begins must end.
func (c *captures) begin(node string, pod cache.ObjectName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= logsAtOnce || c.nodes[node] >= logsPerNode {
		if !slices.Contains(c.waiting[node], pod) {
			c.waiting[node] = append(c.waiting[node], pod)
		}
		return false
	}
	c.all++
	c.nodes[node]++
	if waiting := slices.DeleteFunc(c.waiting[node], func(other cache.ObjectName) bool { return other == pod }); len(waiting) > 0 {
		c.waiting[node] = waiting
	} else {
		delete(c.waiting, node)
	}
	return true
}

// since is when reading the log of a Pod failed first: now, if it is the first time.
func (c *captures) since(uid types.UID, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, known := c.failed[uid]; known {
		return at
	}
	c.failed[uid] = now
	return now
}

// forget drops what is known of a Pod that is released or gone.
func (c *captures) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, uid)
}

// end lets the next Pod have its turn, of any node that has not too many.
func (c *captures) end(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.nodes[node]--; c.nodes[node] == 0 {
		delete(c.nodes, node)
	}
	for other, next := range c.waiting {
		if c.nodes[other] >= logsPerNode {
			continue
		}
		if c.waiting[other] = next[1:]; len(next) == 1 {
			delete(c.waiting, other)
		}
		c.again(next[0])
		return
	}
}

// hasLog reports that the container of an attempt has run on a node, so that there is a log to keep.
func (t *term) hasLog(p *corev1.Pod, attempt store.Attempt) bool {
	if t.LogLimit == 0 || p.Spec.NodeName == "" {
		return false
	}
	task := pod.ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return !attempt.StartedAt.IsZero() || task != nil && !pod.StartedAt(&task.State).IsZero()
}

// keepLog sees to it that the log of an ended attempt has its row. done: it has, or needs none; else the Pod is on the
// queue again when there is more to do.
func (t *term) keepLog(ctx context.Context, pod *corev1.Pod, runUID string, attempt store.Attempt) (done bool, err error) {
	owner, found, err := t.db.LogOwner(ctx, runUID, attempt)
	if err != nil || !found || owner.Logged || owner.VersionID == 0 {
		return err == nil, err
	}
	graph, err := t.graph(ctx, owner.VersionID)
	switch {
	case errors.Is(err, errUnreadable): // the log is kept, as by default
	case err != nil:
		return false, err
	case graph.Spec().Logs == v1alpha1.LogsOff:
		return true, nil
	}
	key := cache.MetaObjectToName(pod)
	stream, live := t.streams.result(pod.UID, t.now())
	if live > 0 {
		t.finishedPods.AddAfter(key, live)
		return false, nil
	}
	if stream != nil && stream.usable() {
		result := stream.log.Finish()
		log := t.describe(pod, attempt, result, stream.opened)
		if stream.err != nil {
			log.Incomplete, log.Message = true, join(log.Message, "the stream ended early: "+text.Clean(stream.err.Error()))
		}
		if stream.rotated {
			log.Incomplete = true
			log.Message = join(log.Message, "its node rotated it while it was followed: lines may be missing or repeated there")
		}
		return true, t.saveLog(ctx, pod, owner.RunID, log, result.Blocks)
	}
	if !t.captures.begin(pod.Spec.NodeName, key) {
		t.finishedPods.AddAfter(key, turnRetry)
		return false, nil
	}
	defer t.captures.end(pod.Spec.NodeName)
	return t.capture(ctx, pod, owner.RunID, attempt)
}

// capture reads what the node still serves.
func (t *term) capture(ctx context.Context, pod *corev1.Pod, runID int64, attempt store.Attempt) (done bool, err error) {
	log := podlog.New(t.LogLimit, nil)
	reading, cancel := context.WithTimeout(ctx, logRead)
	defer cancel()
	answer := time.AfterFunc(logAnswer, cancel)
	defer answer.Stop()
	err = t.readLog(reading, pod, log, false, func() { answer.Stop() })
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	patience, retry := nodePatience, nodeRetry
	slow := errors.Is(reading.Err(), context.DeadlineExceeded)
	switch {
	case errors.Is(err, errNoLog):
		patience, retry = lostPatience, lostRetry
	case reading.Err() != nil && !slow:
		err = fmt.Errorf("no answer within %s", logAnswer)
	}
	if attempt.Reason == engine.ReasonNodeLost {
		patience = 0
	}
	if now := t.now(); err != nil && !slow && now.Before(t.captures.since(pod.UID, now).Add(patience)) {
		t.Log.Debug("a log will be read again", "namespace", pod.Namespace, "pod", pod.Name, "error", err)
		t.finishedPods.AddAfter(cache.MetaObjectToName(pod), retry)
		return false, nil
	}
	result := log.Finish()
	row := t.describe(pod, attempt, result, time.Time{})
	switch {
	case err != nil && result.Bytes == 0:
		row = store.Log{AttemptID: attempt.ID, At: attempt.FinishedAt, State: store.LogLost, Message: lostMessage(pod, err)}
	case slow:
		row.Incomplete, row.Message = true, join(row.Message, fmt.Sprintf("the node did not serve all of it within %s", logRead))
	case err != nil:
		row.Incomplete, row.Message = true, join(row.Message, "reading ended early: "+text.Clean(err.Error()))
	}
	return true, t.saveLog(ctx, pod, runID, row, result.Blocks)
}

// readLog reads the log of a Pod's task container from where log ends. opened is called when the answer begins. A kubelet
// that finds no log may say so in the body of a good answer: that, like an answer that there is no such thing, is errNoLog.
func (t *term) readLog(ctx context.Context, pod *corev1.Pod, log *podlog.Log, follow bool, opened func()) error {
	options := &corev1.PodLogOptions{Container: v1alpha1.TaskContainer, Timestamps: true, Follow: follow}
	if since := log.Since(); !since.IsZero() {
		options.SinceTime = &metav1.Time{Time: since}
	}
	log.Resume()
	body, err := t.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return noLog(err)
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

// noLog tells an answer that there is no such thing from others.
func noLog(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("%w: %w", errNoLog, err)
	}
	return err
}

// isRotated reports that the log that a node serves of a Pod's task container does not begin as what was read of it does.
func (t *term) isRotated(ctx context.Context, pod *corev1.Pod, log *podlog.Log) (bool, error) {
	if log.Bytes() == 0 {
		return false, nil
	}
	enough := int64(64) // for a time
	body, err := t.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: v1alpha1.TaskContainer, Timestamps: true, LimitBytes: &enough}).DoRaw(ctx)
	if err != nil {
		return false, noLog(err)
	}
	served := podlog.New(enough, nil)
	_, _ = served.Write(body) // which never fails
	return !served.Begins().Equal(log.Begins()), nil
}

// describe is the row of a log that was read; opened is when its stream was opened, zero: after the container's end.
func (t *term) describe(p *corev1.Pod, attempt store.Attempt, r podlog.Result, opened time.Time) store.Log {
	row := store.Log{
		AttemptID: attempt.ID, At: attempt.FinishedAt, State: store.LogCaptured, Bytes: r.Bytes, OmittedAt: r.OmittedAt, Omitted: r.Omitted,
		BeginsAt: r.Begins, EndsAt: r.Ends, Incomplete: r.Gap,
	}
	if r.Omitted > 0 {
		limit := fmt.Sprintf("%d bytes are kept at most", t.LogLimit)
		if r.Short {
			limit = "memory for streams was short"
		}
		row.Message = fmt.Sprintf("%d bytes after the first %d are omitted: %s", r.Omitted, r.OmittedAt, limit)
	}
	if r.Gap {
		row.Message = join(row.Message, "its stream broke: lines may be missing or repeated where it continues")
	}
	started := attempt.StartedAt
	if task := pod.ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer); task != nil {
		started = later(started, pod.StartedAt(&task.State))
	}
	late := r.Begins.Sub(started)
	switch {
	case started.IsZero():
	case r.Begins.IsZero():
		if opened.IsZero() && attempt.FinishedAt.Sub(started) > rotationAfter {
			row.Message = join(row.Message, "it is empty: nothing was written, or its node rotated it after the last line")
		}
	case (opened.IsZero() || r.Begins.Before(opened)) && rotated(late, r.Bytes):
		// A line that came when the stream was open would have lost nothing before it.
		row.Rotated = true
		row.Message = join(row.Message, fmt.Sprintf("it begins %s after its container: earlier lines may have been rotated away", late.Truncate(time.Second)))
	}
	return row
}

// rotated judges a log that begins late. A kubelet rotates what is large: a large log that begins late at all has most
// likely lost its beginning, of a small one it takes the kubelet's interval.
func rotated(late time.Duration, size int64) bool {
	return late > rotationAfter || late > 2*time.Second && size > 1<<20
}

// lostMessage says why a log is lost.
func lostMessage(pod *corev1.Pod, err error) string {
	why := text.Clean(err.Error())
	if !errors.Is(err, errNoLog) {
		return fmt.Sprintf("node %s did not serve it: %s", pod.Spec.NodeName, why)
	}
	if pod.DeletionTimestamp != nil {
		return why + ": its Pod was deleted, and the kubelet had removed the container before it could be read"
	}
	return why
}

// saveLog commits a log. What the database refuses is lost, rather than held against the Pod for ever.
func (t *term) saveLog(ctx context.Context, pod *corev1.Pod, runID int64, row store.Log, blocks []podlog.Block) error {
	fault.Point("log-read")
	chunks := make([]store.LogChunk, len(blocks))
	kept := 0
	for i, block := range blocks {
		chunks[i] = store.LogChunk{Size: block.Size, Gzip: block.Gzip}
		kept += block.Size
	}
	row.CapturedAt = t.now()
	err := t.db.SaveLog(ctx, runID, row, chunks)
	if errors.Is(err, store.ErrRejected) {
		row = store.Log{AttemptID: row.AttemptID, At: row.At, State: store.LogLost, Message: text.Clean(err.Error()), CapturedAt: row.CapturedAt}
		kept, err = 0, t.db.SaveLog(ctx, runID, row, nil)
	}
	if err != nil {
		return fmt.Errorf("keeping the log of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	fault.Point("log-saved")
	t.Metrics.LogKept(row.State, kept)
	if row.State == store.LogLost {
		t.Log.Warn("a log is lost", "namespace", pod.Namespace, "pod", pod.Name, "reason", row.Message)
	}
	return nil
}

// join joins what is said of a log.
func join(said ...string) string {
	return strings.Join(slices.DeleteFunc(said, func(s string) bool { return s == "" }), "; ")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
