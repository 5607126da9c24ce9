package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/workqueue"
)

// newFairWorld makes an order for a number of workers. The first letter of a key is its namespace.
func newFairWorld(workers int) *fair[string] {
	f := newFair(func(key string) string { return key[:1] }, workqueue.DefaultQueue[string])
	for range workers {
		f.addWorker()
	}
	return f
}

// take gives keys to free workers until none may have one.
func take(f *fair[string]) (taken []string) {
	for f.busy < f.workers && f.Len() > 0 {
		taken = append(taken, f.Pop())
	}
	return taken
}

func TestFair(t *testing.T) {
	type keys = []string
	type step struct {
		push, done keys
		want       keys // what is given to workers then
	}
	many := func(namespace string) (all keys) {
		for i := range 9 {
			all = append(all, namespace+string(rune('1'+i)))
		}
		return all
	}
	tests := map[string]struct {
		workers int
		steps   []step
	}{
		"namespaces take turns": {8, []step{
			{push: keys{"a1", "a2", "b1", "b2", "c1"}, want: keys{"a1", "b1", "c1", "a2", "b2"}},
		}},
		"one namespace has half of the workers": {8, []step{
			{push: many("a"), want: keys{"a1", "a2", "a3", "a4"}},
			{done: keys{"a2"}, want: keys{"a5"}},
		}},
		"others find workers while a namespace holds all of its own": {8, []step{
			{push: many("a"), want: keys{"a1", "a2", "a3", "a4"}},
			{push: many("b"), want: keys{"b1", "b2"}},
			{push: many("c"), want: keys{"c1"}},
			{push: many("d"), want: keys{"d1"}},
			{push: many("e")},
			{done: keys{"d1"}, want: keys{"d2"}},
			{done: keys{"d2"}, want: keys{"e1"}},
			{done: keys{"e1"}, want: keys{"d3"}},
		}},
		"a namespace has more when others have ended": {8, []step{
			{push: many("b")[:4], want: keys{"b1", "b2", "b3", "b4"}},
			{push: many("a"), want: keys{"a1", "a2"}},
			{done: keys{"b1", "b2", "b3", "b4"}, want: keys{"a3", "a4"}},
		}},
		"a namespace gives workers up when others come": {8, []step{
			{push: many("a"), want: keys{"a1", "a2", "a3", "a4"}},
			{push: many("b"), want: keys{"b1", "b2"}},
			{done: keys{"a1"}, want: nil},
			{done: keys{"a2"}, want: keys{"a5"}},
			{done: keys{"a3"}, want: keys{"b3"}},
		}},
		"a single worker": {1, []step{
			{push: keys{"a1", "a2", "b1"}, want: keys{"a1"}},
			{done: keys{"a1"}, want: keys{"b1"}},
			{done: keys{"b1"}, want: keys{"a2"}},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFairWorld(test.workers)
			for i, s := range test.steps {
				for _, key := range s.push {
					f.Push(key)
				}
				for _, key := range s.done {
					f.done(key)
				}
				if diff := cmp.Diff(s.want, take(f)); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// After each key that is added, one idle worker looks for a key, and so does each worker that is done. Then nothing is
// left that an idle worker may take: nothing would wake that worker.
func TestFairLeavesNothingToIdleWorkers(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		f, busy := newFairWorld(1+random.IntN(20)), []string{}
		take := func() {
			if f.busy < f.workers && f.Len() > 0 {
				busy = append(busy, f.Pop())
			}
		}
		for step := range 300 {
			if random.IntN(2) == 0 {
				f.Push(fmt.Sprint(string(rune('a'+random.IntN(5))), step))
				take()
			} else {
				done := min(len(busy), 1+random.IntN(2))
				for range done {
					i := random.IntN(len(busy))
					f.done(busy[i])
					busy = slices.Delete(busy, i, i+1)
				}
				for range done {
					take()
				}
			}
			if f.busy < f.workers && f.Len() > 0 {
				t.Fatalf("seed %d, step %d: %d of %d workers are busy, and %d keys wait, one of which may be taken",
					seed, step, f.busy, f.workers, f.waiting)
			}
		}
	}
}

// What waits and what is synced is forgotten when it is done.
func TestFairForgets(t *testing.T) {
	f := newFairWorld(2)
	for range 3 {
		f.Push("a1")
		f.Push("b1")
		f.Touch("b1")
		for range 2 {
			f.done(f.Pop())
		}
	}
	if f.depth() != 0 || len(f.shares)+len(f.keys)+len(f.turns) != 0 {
		t.Errorf("%d keys wait; %d shares, %d keys, %d turns are left",
			f.depth(), len(f.shares), len(f.keys), len(f.turns))
	}
}

// Syncs that hang in three namespaces leave a worker to a fourth, in each queue.
func TestFairWhileThreeNamespacesHang(t *testing.T) {
	for workers := LeastPerNamespace; workers <= 40; workers++ {
		f := newFairWorld(WorkersFor(workers))
		for _, namespace := range "abc" {
			for i := range f.workers {
				f.Push(fmt.Sprint(string(namespace), i))
			}
			take(f)
		}
		f.Push("d0")
		if got := take(f); !slices.Equal(got, []string{"d0"}) {
			t.Errorf("of %d workers, %d hang, and the fourth namespace is served %v", f.workers, f.busy, got)
		}
	}
}
