package logs

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/podlog"
)

const testLimit = 1 << 20

// streamCounts records what a Keeper says about the number of streams.
type streamCounts struct{ counts []int }

func (*streamCounts) LogKept(string, int) {}
func (s *streamCounts) LogStreams(n int)  { s.counts = append(s.counts, n) }
func podOf(uid int) *corev1.Pod           { return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uidOf(uid)}} }
func uidOf(n int) types.UID               { return types.UID(fmt.Sprint(n)) }
func isClosed(c chan struct{}) (done bool) {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAPodHasOneStream(t *testing.T) {
	metrics := &streamCounts{}
	streams := newStreams(testLimit, metrics)
	first := streams.open(podOf(1), testLimit, maxStreams)
	if again := streams.open(podOf(1), testLimit, maxStreams); again != first {
		t.Error("the second request opened another stream")
	}
	streams.finish(first)
	if again := streams.open(podOf(1), testLimit, maxStreams); again != first {
		t.Error("a stream that is done and not stored yet was replaced")
	}
	if diff := cmp.Diff([]int{1}, metrics.counts); diff != "" {
		t.Errorf("numbers of streams (-want +got):\n%s", diff)
	}
}

// A namespace that has opened all streams that it may have leaves others some.
func TestStreamsAreSharedBetweenNamespaces(t *testing.T) {
	streams := newStreams(testLimit, &streamCounts{})
	uid, opened := 0, map[string]int{}
	for _, namespace := range []string{"a", "b", "c"} {
		for range maxStreams {
			p := podOf(uid)
			p.Namespace = namespace
			if streams.open(p, testLimit, maxStreams) != nil {
				opened[namespace]++
			}
			uid++
		}
	}
	want := map[string]int{"a": maxStreams / 2, "b": maxStreams / 4, "c": maxStreams / 8}
	if diff := cmp.Diff(want, opened); diff != "" {
		t.Errorf("streams by namespace (-want +got):\n%s", diff)
	}
}

// A namespace whose streams have more to hold than there is memory leaves others some.
func TestTheMemoryOfStreamsIsSharedBetweenNamespaces(t *testing.T) {
	const limit = 64 << 10
	streams := newStreams(limit, &streamCounts{})
	streams.budget = podlog.NewBudget(16 * limit)
	random := rand.New(rand.NewPCG(1, 2))
	isShort := func(uid int, namespace string) bool {
		p := podOf(uid)
		p.Namespace = namespace
		log := streams.open(p, limit, maxStreams).log
		content := []byte("2026-01-02T03:04:05Z ")
		for range 2 * limit {
			content = append(content, byte('!'+random.IntN(90)))
		}
		_, _ = log.Write(content) // It never fails.
		return log.Finish().Short
	}
	short := 0
	for uid := range 20 {
		if isShort(uid, "a") {
			short++
		}
	}
	if short == 0 {
		t.Error("a namespace holds all memory")
	}
	if isShort(20, "b") {
		t.Error("another namespace has no memory left for one log")
	}
}

func TestStreamsAreBounded(t *testing.T) {
	streams := newStreams(testLimit, &streamCounts{})
	podOf := func(i int) *corev1.Pod { // each in a namespace of its own
		p := podOf(i)
		p.Namespace = fmt.Sprint("namespace-", i)
		return p
	}
	for i := range maxFollowed {
		if streams.open(podOf(i), testLimit, maxFollowed) == nil {
			t.Fatalf("followed log %d of %d has no stream", i+1, maxFollowed)
		}
	}
	if streams.open(podOf(maxFollowed), testLimit, maxFollowed) != nil {
		t.Errorf("more than %d logs are followed", maxFollowed)
	}
	for i := maxFollowed; i < maxStreams; i++ {
		if streams.open(podOf(i), testLimit, maxStreams) == nil {
			t.Fatalf("deleted Pod %d of %d has no stream", i+1-maxFollowed, maxStreams-maxFollowed)
		}
	}
	if streams.open(podOf(maxStreams), testLimit, maxStreams) != nil {
		t.Errorf("there are more than %d streams", maxStreams)
	}

	streams.drop(uidOf(0))
	if streams.open(podOf(maxStreams), testLimit, maxStreams) != nil {
		t.Error("a dropped stream makes room before its goroutine has ended")
	}
	streams.finish(<-streams.requested)
	if streams.open(podOf(maxStreams), testLimit, maxStreams) == nil {
		t.Error("a dropped stream that has ended makes no room")
	}
}

func TestALogIsFollowedForAMinuteAfterItsAttempt(t *testing.T) {
	streams := newStreams(testLimit, &streamCounts{})
	s := streams.open(podOf(1), testLimit, maxStreams)
	ended := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, step := range []struct {
		after      time.Duration // the end of the attempt
		remaining  time.Duration
		isFollowed bool
	}{
		{0, followTimeout, true},
		{followTimeout - 10*time.Second, 10 * time.Second, true},
		{followTimeout - time.Millisecond, streamRetry, true},
		{followTimeout, streamRetry, false},
		{2 * followTimeout, streamRetry, false},
	} {
		found, remaining := streams.ofEnded(uidOf(1), ended.Add(step.after))
		if found != s || remaining != step.remaining || isClosed(s.unfollow) == step.isFollowed {
			t.Errorf("%s after the end: %s remain, want %s; followed: %t, want %t",
				step.after, remaining, step.remaining, !isClosed(s.unfollow), step.isFollowed)
		}
	}
	streams.finish(s)
	if found, remaining := streams.ofEnded(uidOf(1), ended); found != s || remaining != 0 {
		t.Errorf("%s remain of a stream that is done", remaining)
	}
	streams.drop(uidOf(1))
	if found, _ := streams.ofEnded(uidOf(1), ended); found != nil || streams.byPod[uidOf(1)] != nil {
		t.Error("a stream that was dropped after its end is still there")
	}
}
