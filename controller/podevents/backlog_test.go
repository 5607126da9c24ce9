package podevents

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/store"
)

// findAll finds every Pod.
func findAll(uid types.UID) (store.Pod, bool) { return store.Pod{UID: string(uid)}, true }

func TestAnEventIsStoredIfItsPodIsKnown(t *testing.T) {
	const never = -1
	for name, tt := range map[string]struct {
		podUID   types.UID
		podName  string
		knownAt  int // seconds after the Event
		storedAt int
	}{
		"the Event of a known Pod is stored immediately":              {"u", podName, 0, 0},
		"the Event of a Pod that becomes known is stored then":        {"u", podName, 3, 3},
		"a Pod may become known until five seconds after its Event":   {"u", podName, 5, 5},
		"an Event is dismissed when its Pod stays unknown for longer": {"u", podName, 6, never},
		"an Event of an object without a UID is dismissed":            {"", podName, 0, never},
		"an Event of a Pod with another kind of name is dismissed":    {"u", "replica-set-7d4b9-x2x4z", 0, never},
	} {
		t.Run(name, func(t *testing.T) {
			second := 0
			b := newBacklog(func(uid types.UID) (store.Pod, bool) {
				return store.Pod{UID: string(uid)}, second >= tt.knownAt
			})
			event := eventOf(tt.podUID, "m", 0)
			event.InvolvedObject.Name = tt.podName
			matched, accepted := b.offer(event, noon)
			if !accepted {
				t.Error("the Event was not accepted")
			}
			storedAt := never
			for ; second < 10; second++ {
				settled := b.settle(noon.Add(time.Duration(second) * time.Second))
				batch := b.take()
				if len(batch) > 0 {
					storedAt = second
				}
				if isMatched := matched != nil && second == 0 || len(settled) > 0; isMatched != (len(batch) > 0) {
					t.Errorf("at second %d: matched %t, stored %d", second, isMatched, len(batch))
				}
			}
			if storedAt != tt.storedAt {
				t.Errorf("stored at second %d, want %d", storedAt, tt.storedAt)
			}
			if len(b.unmatched) > 0 {
				t.Errorf("still held: %v", b.unmatched)
			}
		})
	}
}

func TestEventsThatSayTheSameAreMerged(t *testing.T) {
	// said is an Event: first and last are seconds past noon.
	type said struct {
		pod, message string
		count        int32
		first, last  int
	}
	for name, tt := range map[string]struct{ offered, restored, want []said }{
		"an Event that is repeated counts once": {
			offered: []said{{"a", "x", 3, 1, 5}, {"a", "x", 3, 1, 5}},
			want:    []said{{"a", "x", 3, 1, 5}},
		},
		"the greatest count, the earliest and the latest time are kept": {
			offered: []said{{"a", "x", 3, 5, 5}, {"a", "x", 2, 4, 9}, {"a", "x", 1, 1, 1}},
			want:    []said{{"a", "x", 3, 1, 9}},
		},
		"Events of two Pods stay apart": {
			offered: []said{{"a", "x", 1, 1, 1}, {"b", "x", 2, 2, 2}},
			want:    []said{{"a", "x", 1, 1, 1}, {"b", "x", 2, 2, 2}},
		},
		"Events with two messages stay apart, in the order in which each was said first": {
			offered: []said{{"a", "x", 1, 1, 1}, {"a", "y", 1, 2, 2}, {"a", "x", 2, 1, 3}},
			want:    []said{{"a", "x", 2, 1, 3}, {"a", "y", 1, 2, 2}},
		},
		"a batch that is restored merges with what arrived meanwhile": {
			offered: []said{{"a", "x", 4, 1, 9}}, restored: []said{{"a", "x", 3, 1, 5}, {"a", "y", 1, 1, 1}},
			want: []said{{"a", "x", 4, 1, 9}, {"a", "y", 1, 1, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBacklog(findAll)
			offer := func(all []said) {
				for _, s := range all {
					event := eventOf(types.UID(s.pod), s.message, s.first)
					event.Count, event.LastTimestamp = s.count, eventOf("", "", s.last).LastTimestamp
					b.offer(event, noon)
				}
			}
			offer(tt.restored)
			restored := b.take()
			offer(tt.offered)
			b.restore(restored)
			var got []said
			for _, e := range b.drain() {
				first, last := e.FirstAt.Sub(noon).Seconds(), e.LastAt.Sub(noon).Seconds()
				got = append(got, said{e.Pod.UID, e.Message, e.Count, int(first), int(last)})
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(said{})); diff != "" {
				t.Errorf("waiting Events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheBacklogIsBounded(t *testing.T) {
	isKnown := map[types.UID]bool{"known": true}
	b := newBacklog(func(uid types.UID) (store.Pod, bool) { return store.Pod{UID: string(uid)}, isKnown[uid] })
	accepts := func(podUID types.UID, message string) bool {
		_, accepted := b.offer(eventOf(podUID, message, 0), noon)
		return accepted
	}
	for n := range backlogLimit {
		if !accepts("known", fmt.Sprint(n)) {
			t.Fatalf("Event %d is not accepted", n)
		}
	}
	if accepts("known", "one more") {
		t.Error("a full backlog accepts an Event")
	}
	if !accepts("late", "held") {
		t.Error("a full backlog does not hold the Event of an unknown Pod")
	}
	isKnown["late"] = true
	if matched := b.settle(noon.Add(time.Hour)); len(matched) > 0 {
		t.Errorf("a full backlog accepts what was held: %v", matched)
	}

	batch := b.take()
	if len(batch) != batchSize || batch[0].Message != "0" {
		t.Errorf("the first batch has %d Events from %q on, want %d from 0 on", len(batch), batch[0].Message, batchSize)
	}
	if !accepts("known", "one more") {
		t.Error("a batch that was taken makes no room")
	}
	b.restore(batch)
	if all := b.drain(); len(all) != backlogLimit+1 {
		t.Errorf("%d Events wait after a batch was restored, want %d", len(all), backlogLimit+1)
	}
	matched := b.settle(noon.Add(time.Hour))
	if diff := cmp.Diff([]string{"held"}, messagesOf(matched)); diff != "" {
		t.Errorf("matched once there is room (-want +got):\n%s", diff)
	}
}

func TestTheOldestUnmatchedEventsAreDismissed(t *testing.T) {
	isKnown := false
	b := newBacklog(func(uid types.UID) (store.Pod, bool) { return store.Pod{UID: string(uid)}, isKnown })
	for n := range unmatchedLimit + 10 {
		b.offer(eventOf("u", fmt.Sprint(n), 0), noon)
	}
	isKnown = true
	matched := b.settle(noon)
	if len(matched) != unmatchedLimit || matched[0].Message != "10" {
		t.Errorf("%d Events are left, from %s on; want %d from 10 on", len(matched), matched[0].Message, unmatchedLimit)
	}
}

func TestAFullBatchIsAnnounced(t *testing.T) {
	b := newBacklog(findAll)
	for n := range batchSize {
		select {
		case <-b.batchReady:
			t.Fatalf("a batch is announced when %d Events wait", n)
		default:
		}
		b.offer(eventOf("u", fmt.Sprint(n), 0), noon)
	}
	select {
	case <-b.batchReady:
	default:
		t.Error("a full batch is not announced")
	}
}
