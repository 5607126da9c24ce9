package retention

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
)

// nightly is the DAG of these tests.
var nightly = cache.NewObjectName("team", "nightly")

// queued returns the keys of a queue.
func queued[K comparable](q *queue.Queue[K]) (keys []K) {
	for q.Len() > 0 {
		key, _ := q.Get()
		keys = append(keys, key)
		q.Done(key)
	}
	return keys
}

func TestEvents(t *testing.T) {
	limits := []cache.ObjectName{nightly}
	expiries := func(runs ...string) (keys []queue.RunKey) {
		for _, run := range runs {
			keys = append(keys, queue.RunKey(uidOf(run)))
		}
		return keys
	}
	edited := func(d *v1alpha1.DAG) *v1alpha1.DAG {
		d.Generation++
		return d
	}
	tests := map[string]struct {
		dag      *v1alpha1.DAG
		event    func(*Cleaner)
		expiries []queue.RunKey
		limits   []cache.ObjectName
	}{
		"a new DAG is enqueued": {
			dag: newDAG(nil), event: func(c *Cleaner) { c.DagChanged(nil, newDAG(nil)) }, limits: limits,
		},
		"a new DAG with a time to live is enqueued with its DagRuns": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.DagChanged(nil, newDAG(ttl(60))) },
			expiries: expiries("ended", "scheduled"), limits: limits,
		},
		"a DAG with a new time to live is enqueued with its DagRuns": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.DagChanged(newDAG(nil), edited(newDAG(ttl(60)))) },
			expiries: expiries("ended", "scheduled"), limits: limits,
		},
		"a DAG with another new spec is enqueued without its DagRuns": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.DagChanged(newDAG(ttl(60)), edited(newDAG(ttl(60)))) },
			limits: limits,
		},
		"a DAG that replaces another is enqueued with its DagRuns": {
			dag: newDAG(ttl(60)),
			event: func(c *Cleaner) {
				other := newDAG(ttl(60))
				other.UID = "other"
				c.DagChanged(other, newDAG(ttl(60)))
			},
			expiries: expiries("ended", "scheduled"), limits: limits,
		},
		"a DAG whose status has changed is not enqueued": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.DagChanged(newDAG(ttl(60)), newDAG(ttl(60))) },
		},
		"a DagRun that ended is enqueued if it expires": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.RunEnded(newRun("ended")) }, expiries: expiries("ended"),
		},
		"a DagRun that ended is not enqueued if it does not expire": {
			dag: newDAG(nil), event: func(c *Cleaner) { c.RunEnded(newRun("ended")) },
		},
		"a scheduled DagRun that ended enqueues its DAG": {
			dag: newDAG(nil), event: func(c *Cleaner) { c.RunEnded(newRun("scheduled", scheduled(1))) }, limits: limits,
		},
		"a DagRun whose status is not final enqueues nothing": {
			dag: newDAG(ttl(60)),
			event: func(c *Cleaner) {
				c.RunEnded(newRun("live", scheduled(1), phase(v1alpha1.RunRunning)))
			},
		},
		"a DagRun that something has freed is read from the cache": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.RunFreed(queue.RunKey(uidOf("scheduled"))) },
			expiries: expiries("scheduled"), limits: limits,
		},
		"a DagRun that is not in the cache cannot be freed": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.RunFreed(queue.RunKey(uidOf("unknown"))) },
		},
		"a scheduled DagRun that is gone enqueues its DAG": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.RunDeleted(newRun("gone", scheduled(1))) },
			limits: limits,
		},
		"another DagRun that is gone enqueues nothing": {
			dag: newDAG(ttl(60)), event: func(c *Cleaner) { c.RunDeleted(newRun("gone")) },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []*v1alpha1.DAG{test.dag}, []*v1alpha1.DagRun{
				newRun("ended"), newRun("scheduled", scheduled(1)), newRun("live", phase(v1alpha1.RunRunning)),
			}, nil)
			test.event(w.Cleaner)
			for _, dag := range queued(w.timesToLive) {
				if err := w.syncTimeToLive(t.Context(), dag); err != nil {
					t.Fatal(err)
				}
			}
			asSet := cmp.Transformer("set", func(keys []queue.RunKey) map[queue.RunKey]bool {
				set := map[queue.RunKey]bool{}
				for _, key := range keys {
					set[key] = true
				}
				return set
			})
			if diff := cmp.Diff(test.expiries, queued(w.expiries), asSet); diff != "" {
				t.Errorf("expiries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.limits, queued(w.limits)); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	}
}

// A DagRun that is deleted before it expires is no longer waited for.
func TestRunDeletedDropsTheAlarm(t *testing.T) {
	w := newWorld(t, []*v1alpha1.DAG{newDAG(ttl(61))}, []*v1alpha1.DagRun{newRun("r")}, nil)
	key := queue.RunKey(uidOf("r"))
	if err := w.syncExpiry(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.RunDeleted(newRun("r"))
	if n := w.expiryTimes.Len(); n != 0 {
		t.Errorf("%d DagRuns are waited for, want none", n)
	}
}

// Run deletes what is enqueued, and returns after the end of ctx and ShutDown.
func TestRun(t *testing.T) {
	w := newWorld(t, []*v1alpha1.DAG{newDAG(ttl(0))}, []*v1alpha1.DagRun{newRun("r")}, []*corev1.Pod{})
	seen := make(chan struct{})
	w.api.seen = seen
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		w.Run(ctx, t.Context())
	}()
	w.RunEnded(newRun("r"))
	<-seen
	cancel()
	w.ShutDown()
	<-returned
	if diff := cmp.Diff([]string{"team/r uid-of-r Background"}, w.api.deleted); diff != "" {
		t.Errorf("deletions (-want +got):\n%s", diff)
	}
}
