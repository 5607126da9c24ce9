package podevents

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// expired is the answer to a resourceVersion that the API server no longer has.
func expired() *metav1.Status {
	return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired}
}

// forbidden is the answer to a user who may not read Events.
func forbidden() error {
	return apierrors.NewForbidden(corev1.Resource("events"), "", errors.New("no Role grants it"))
}

// change is a change of an Event in a watch.
func change(kind watch.EventType, version, message string) watch.Event {
	event := eventOf("u", message, 0)
	event.ResourceVersion = version
	return watch.Event{Type: kind, Object: event}
}

func TestReadFollowsEventsWithoutGaps(t *testing.T) {
	const failed = "reading Events of Pods failed; will be retried"
	for name, tt := range map[string]struct {
		answers  []answer
		duration time.Duration // of the test
		requests []string
		messages []string // of the Events that were taken
		log      []string
	}{
		"a list is read page by page, then watched from its resourceVersion": {
			answers: []answer{
				{items: []corev1.Event{*eventOf("u", "a", 0)}, pageAfter: "page 2"},
				{items: []corev1.Event{*eventOf("u", "b", 0)}, version: "7"},
			},
			requests: []string{`0s list ""`, `0s list "page 2"`, `0s watch "7"`},
			messages: []string{"a", "b"},
		},
		"a watch that ends is continued from the last change a second later": {
			answers: []answer{
				{version: "7"},
				{changes: []watch.Event{
					change(watch.Added, "8", "added"), change(watch.Modified, "9", "modified"),
					change(watch.Deleted, "10", "deleted"), change(watch.Bookmark, "15", "bookmark"),
				}},
			},
			duration: time.Second,
			requests: []string{`0s list ""`, `0s watch "7"`, `1s watch "15"`},
			messages: []string{"added", "modified"},
		},
		"a resourceVersion that expired is followed by a list, and is not logged": {
			answers: []answer{
				{version: "7"}, {changes: []watch.Event{{Type: watch.Error, Object: expired()}}}, {version: "20"},
			},
			duration: time.Second,
			requests: []string{`0s list ""`, `0s watch "7"`, `1s list ""`, `1s watch "20"`},
		},
		"a watch that fails is logged and followed by a list": {
			answers:  []answer{{version: "7"}, {err: errors.New("broken")}, {version: "8"}},
			duration: time.Second,
			requests: []string{`0s list ""`, `0s watch "7"`, `1s list ""`, `1s watch "8"`},
			log:      []string{failed},
		},
		"a permission that is missing is logged once until it was there": {
			answers: []answer{
				{err: forbidden()}, {err: forbidden()}, {version: "7"}, {err: forbidden()}, {err: forbidden()},
			},
			duration: 15 * time.Second,
			requests: []string{
				`0s list ""`, `1s list ""`, `3s list ""`, `3s watch "7"`, `7s list ""`, `15s list ""`, `15s watch ""`,
			},
			log: []string{failed, failed},
		},
		"a list that fails is retried less and less often, but every minute": {
			answers:  slices.Repeat([]answer{{err: errors.New("away")}}, 8),
			duration: 200 * time.Second,
			requests: []string{
				`0s list ""`, `1s list ""`, `3s list ""`, `7s list ""`, `15s list ""`, `31s list ""`, `1m3s list ""`,
				`2m3s list ""`, `3m3s list ""`, `3m3s watch ""`,
			},
			log: slices.Repeat([]string{failed}, 8),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.duration+time.Millisecond)
				defer cancel()
				f := newFixture(&fakeAPI{answers: tt.answers}, &fakeDatabase{}, waitingPod("u"))
				f.read(ctx, "n")
				if diff := cmp.Diff(tt.requests, f.api.requests); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.messages, messagesOf(f.backlog.drain())); diff != "" {
					t.Errorf("Events (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.log, f.log.messages); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestReadWaitsWhileTheBacklogIsFull(t *testing.T) {
	page := make([]corev1.Event, backlogLimit)
	for n := range page {
		page[n] = *eventOf("u", fmt.Sprint(n), 0)
	}
	list := answer{items: page, version: "7"}
	oneMore := answer{items: []corev1.Event{*eventOf("u", "one more", 0)}, version: "8"}
	for name, tt := range map[string]struct {
		answers []answer
		before  []string // the requests before there is room
		after   []string // all requests
	}{
		"a list continues once a batch was written": {
			answers: []answer{{items: page, pageAfter: "page 2"}, oneMore},
			before:  []string{`0s list ""`, `0s list "page 2"`},
			after:   []string{`0s list ""`, `0s list "page 2"`, `11s watch "8"`},
		},
		"a watch is replaced by a list, which waits": {
			answers: []answer{list, {changes: []watch.Event{change(watch.Added, "8", "one more")}}, oneMore},
			before:  []string{`0s list ""`, `0s watch "7"`, `1s list ""`},
			after:   []string{`0s list ""`, `0s watch "7"`, `1s list ""`, `11s watch "8"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				f := newFixture(&fakeAPI{answers: tt.answers}, &fakeDatabase{}, waitingPod("u"))
				go f.read(ctx, "n")
				time.Sleep(10*time.Second + time.Millisecond) // of the fake clock
				synctest.Wait()
				if diff := cmp.Diff(tt.before, f.api.requests); diff != "" {
					t.Errorf("requests while the backlog is full (-want +got):\n%s", diff)
				}
				f.backlog.take()
				<-ctx.Done()
				synctest.Wait()
				if diff := cmp.Diff(tt.after, f.api.requests); diff != "" {
					t.Errorf("all requests (-want +got):\n%s", diff)
				}
				if all := messagesOf(f.backlog.drain()); all[len(all)-1] != "one more" {
					t.Errorf("the last Event is %q", all[len(all)-1])
				}
				if len(f.log.messages) > 0 {
					t.Errorf("logged: %q", f.log.messages)
				}
			})
		})
	}
}
