package logs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/podlog"
	"kontroler/store"
)

func TestDescribe(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	startedAt := func(at time.Time) *corev1.Pod {
		task := corev1.ContainerStatus{Name: v1alpha1.TaskContainer}
		task.State.Terminated = &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(at)}
		return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{task}}}
	}
	const (
		empty   = "the log is empty: nothing was written, or the node rotated it after the last line"
		late    = "the log begins 30s after its container: earlier lines may have been rotated away"
		omitted = "40 bytes after the first 30 are omitted: at most 60 bytes are stored"
		short   = "30 bytes after the first 10 are omitted: the memory for streams was short"
		broken  = "the stream of the log broke: lines may be missing or repeated where it continues"
	)
	for name, test := range map[string]struct {
		pod      *corev1.Pod
		ended    int // seconds after the start
		openedAt time.Time
		result   podlog.Result
		want     store.Log // but for the times and sizes of the result
	}{
		"a log that begins with its container is whole": {
			ended: 60, result: podlog.Result{Bytes: 10, Begins: at(1), Ends: at(59)},
		},
		"an empty log of a short attempt is whole": {ended: 10},
		"an empty log of a long attempt may have been rotated": {
			ended: 60, want: store.Log{Message: empty},
		},
		"an empty log that was streamed is whole": {ended: 60, openedAt: at(1)},
		"a small log that begins late may have been rotated": {
			ended: 60, result: podlog.Result{Bytes: 10, Begins: at(30), Ends: at(59)},
			want: store.Log{IsRotated: true, Message: late},
		},
		"the Pod may know a later start of the container than the row": {
			pod: startedAt(at(25)), ended: 60, result: podlog.Result{Bytes: 10, Begins: at(30), Ends: at(59)},
		},
		"a first line that came after the stream was opened has lost nothing before it": {
			ended: 60, openedAt: at(20), result: podlog.Result{Bytes: 10, Begins: at(30), Ends: at(59)},
		},
		"a first line that came before the stream was opened may have": {
			ended: 60, openedAt: at(40), result: podlog.Result{Bytes: 10, Begins: at(30), Ends: at(59)},
			want: store.Log{IsRotated: true, Message: late},
		},
		"a log above the limit says what is omitted": {
			ended: 60, result: podlog.Result{Bytes: 100, OmittedAt: 30, Omitted: 40, Begins: at(1), Ends: at(59)},
			want: store.Log{Message: omitted},
		},
		"a log that is cut below the limit says why": {
			ended: 60, openedAt: at(0),
			result: podlog.Result{Bytes: 50, OmittedAt: 10, Omitted: 30, Short: true, Begins: at(1), Ends: at(59)},
			want:   store.Log{Message: short},
		},
		"a stream with a gap is incomplete, and everything is said": {
			ended: 60, openedAt: at(0),
			result: podlog.Result{Bytes: 100, OmittedAt: 30, Omitted: 40, Gap: true, Begins: at(1), Ends: at(59)},
			want:   store.Log{IsIncomplete: true, Message: omitted + "; " + broken},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.pod == nil {
				test.pod = &corev1.Pod{}
			}
			want := test.want
			want.AttemptID, want.At, want.State = 7, at(test.ended), store.LogCaptured
			want.Bytes, want.OmittedAt, want.Omitted = test.result.Bytes, test.result.OmittedAt, test.result.Omitted
			want.BeginsAt, want.EndsAt = test.result.Begins, test.result.Ends
			attempt := store.Attempt{ID: 7, StartedAt: start, FinishedAt: at(test.ended)}
			if diff := cmp.Diff(want, describe(test.pod, attempt, test.result, test.openedAt, 60)); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLooksRotated(t *testing.T) {
	for name, test := range map[string]struct {
		delay time.Duration
		size  int64
		want  bool
	}{
		"a large log that begins with its container":                              {0, 10 << 20, false},
		"a large log that begins in the second after it":                          {time.Second, 10 << 20, false},
		"a large log that begins later":                                           {3 * time.Second, 10 << 20, true},
		"a small log that begins before the kubelet looks at sizes":               {5 * time.Second, 100, false},
		"a small log that begins after the kubelet has checked the sizes of logs": {time.Minute, 100, true},
		"a log whose first line the node stamps before the start":                 {-time.Second, 10 << 20, false},
	} {
		if got := looksRotated(test.delay, test.size); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
