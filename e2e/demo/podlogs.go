package main

import (
	"bufio"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
)

// keptLines is how many lines of each log are kept, the last ones.
const keptLines = 100

// attemptLog is the log of an attempt.
type attemptLog struct {
	Task   string
	Number int
	Lines  []string
}

// logbook reads the logs of the Pods of a run while they exist. The controller deletes a Pod when its outcome is
// counted.
type logbook struct {
	stop      context.CancelFunc
	watched   chan struct{} // closed when the watch has ended
	following sync.WaitGroup

	mu   sync.Mutex
	logs map[types.UID]*attemptLog
}

// followLogs watches the Pods of a run until wait is called.
func followLogs(ctx context.Context, kube kubernetes.Interface, run *v1alpha1.DagRun) *logbook {
	watching, stop := context.WithCancel(ctx)
	book := &logbook{stop: stop, watched: make(chan struct{}), logs: map[types.UID]*attemptLog{}}
	go func() {
		defer close(book.watched)
		for watching.Err() == nil {
			book.watch(watching, ctx, kube, v1alpha1.LabelRun+"="+string(run.UID))
			select {
			case <-watching.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return book
}

// watch follows each Pod of the selector when its task container has started. It returns when the watch ends. The next
// watch begins with all Pods that exist.
func (b *logbook) watch(watching, following context.Context, kube kubernetes.Interface, selector string) {
	pods, err := kube.CoreV1().Pods(namespace).Watch(watching, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return
	}
	defer pods.Stop()
	for event := range pods.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if ok && taskStarted(pod) {
			b.follow(following, kube, pod)
		}
	}
}

func taskStarted(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.Name == v1alpha1.TaskContainer && (c.State.Running != nil || c.State.Terminated != nil)
	})
}

// follow reads a Pod's log to its end, once.
func (b *logbook) follow(ctx context.Context, kube kubernetes.Interface, pod *corev1.Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.logs[pod.UID] != nil {
		return
	}
	number, err := strconv.Atoi(pod.Labels[v1alpha1.LabelAttempt])
	if err != nil {
		return // not a Pod of a controller
	}
	log := &attemptLog{Task: pod.Labels[v1alpha1.LabelTask], Number: number}
	b.logs[pod.UID] = log
	b.following.Go(func() {
		options := &corev1.PodLogOptions{Container: v1alpha1.TaskContainer, Follow: true}
		stream, err := kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
		if err != nil {
			return // the Pod no longer exists
		}
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		for lines.Scan() {
			b.mu.Lock()
			log.Lines = append(log.Lines, lines.Text())
			log.Lines = log.Lines[max(0, len(log.Lines)-keptLines):]
			b.mu.Unlock()
		}
	})
}

// wait ends the watch, waits up to grace for the logs to end, and returns them.
func (b *logbook) wait(grace time.Duration) []attemptLog {
	b.stop()
	<-b.watched
	ended := make(chan struct{})
	go func() {
		b.following.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(grace):
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []attemptLog
	for _, log := range b.logs {
		all = append(all, attemptLog{Task: log.Task, Number: log.Number, Lines: slices.Clone(log.Lines)})
	}
	return all
}
