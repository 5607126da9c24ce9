package versions

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
	"kontroler/store/storetest"
)

// encodedVersion is a version of so many ordinary tasks.
func encodedVersion(t testing.TB, tasks int) []byte {
	t.Helper()
	spec := &v1alpha1.DAGSpec{}
	for i := range tasks {
		task := v1alpha1.Task{Name: fmt.Sprintf("load-table-%d", i)}
		task.Image, task.Command = "registry.example.com/team/loader:1.2.3", []string{
			"python",
			"-m",
			"loader",
			"--table",
			fmt.Sprint(i),
		}
		if i > 0 {
			task.RunAfter = []string{fmt.Sprintf("load-table-%d", i/2)}
		}
		spec.Task = append(spec.Task, task)
	}
	encoded, err := dag.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func loaded(t testing.TB, encoded []byte, tasks int) *dag.Graph {
	t.Helper()
	graph, err := dag.Load(encoded, tasks)
	if err != nil {
		t.Fatal(err)
	}
	return graph
}

func TestGraphCache(t *testing.T) {
	small, large := loaded(t, encodedVersion(t, 10), 10), loaded(t, encodedVersion(t, 100), 100)
	c := newGraphCache(3*small.Bytes() + small.Bytes()/2)
	has := func() string {
		var ids []string
		for id := range int64(10) {
			if _, ok := c.byID[id]; ok {
				ids = append(ids, fmt.Sprint(id))
			}
		}
		return strings.Join(ids, " ")
	}
	for _, step := range []struct {
		put, get int64
		graph    *dag.Graph
		want     string
	}{
		{put: 1, graph: small, want: "1"},
		{put: 2, graph: small, want: "1 2"},
		{put: 3, graph: small, want: "1 2 3"},
		{get: 1, want: "1 2 3"},
		{put: 4, graph: small, want: "1 3 4"}, // 2 was used least recently
		{put: 4, graph: small, want: "1 3 4"},
		{put: 5, graph: large, want: "5"}, // larger than all: alone
		{put: 6, graph: small, want: "6"},
	} {
		if step.put != 0 {
			c.put(step.put, step.graph)
		} else if _, ok := c.get(step.get); !ok {
			t.Errorf("get %d: not there", step.get)
		}
		bytes := int64(0)
		for _, element := range c.byID {
			bytes += element.Value.(cachedGraph).bytes
		}
		if is := has(); is != step.want || c.bytes != bytes {
			t.Errorf("after %+v: %s of %d bytes, want %s of %d", step, is, c.bytes, step.want, bytes)
		}
	}
}

// However many DAGs run, their versions take little more memory than the bound.
func TestGraphCacheMemory(t *testing.T) {
	const (
		dags, tasks = 200, 100
		limit       = 8 << 20
	)
	encoded := encodedVersion(t, tasks)
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	c, before := newGraphCache(limit), heap()
	for id := range int64(dags) {
		c.put(id, loaded(t, encoded, tasks))
	}
	used := heap() - before
	t.Logf("%d tasks in %d versions: %d KiB, %d versions kept", dags*tasks, dags, used>>10, len(c.byID))
	if used > 2*limit || len(c.byID) < 2 {
		t.Errorf("the heap grew by %d bytes with %d versions kept, the bound is %d", used, len(c.byID), limit)
	}
	runtime.KeepAlive(c)
}

// An unreadable version is distinguished from a database that cannot be read now.
func TestLoadForRun(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	leader := storetest.Lead(t, db)
	saves := 0
	save := func(spec string, tasks int) int64 {
		saves++
		row := store.DAG{
			Namespace: "default",
			Name:      fmt.Sprint("d", saves),
			UID:       fmt.Sprintf("00000000-0000-4000-8000-%012x", saves),
			CreatedAt: time.Now(),
		}
		version, err := leader.DAGs.SaveVersion(
			t.Context(), row, []byte(spec), dag.Hash([]byte(spec)), tasks, time.Now(),
		)
		if err != nil {
			t.Fatal(err)
		}
		return version.ID
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	valid := string(encodedVersion(t, 3))
	tests := map[string]struct {
		ctx        context.Context
		version    int64
		stops      bool
		unreadable string // a part of it
		err        error
		tasks      int
	}{
		"a version":                      {version: save(valid, 3), tasks: 3},
		"one that a later check refuses": {version: save(`{"task": [{"name": "No Label"}]}`, 1), tasks: 1},
		"a spec that cannot be decoded":  {version: save(`{"task": 5}`, 1), unreadable: "decoding", tasks: 7},
		"a spec of a cycle": {
			version:    save(`{"task": [{"name": "a", "runAfter": ["a"]}]}`, 1),
			unreadable: "after itself",
			tasks:      7,
		},
		"a spec that lacks tasks": {version: save(valid, 4), unreadable: "3 tasks instead of 4", tasks: 7},
		"no row":                  {version: 1 << 40, unreadable: "not in the database", tasks: 7},
		"a run that stops, whatever its version": {
			version:    1 << 40,
			stops:      true,
			unreadable: "not in the database",
			tasks:      7,
		},
		"a read that was interrupted": {version: save(valid+" ", 3), ctx: cancelled, err: context.Canceled},
		"the same for a run that stops": {
			version: save(valid+"  ", 3),
			ctx:     cancelled,
			stops:   true,
			err:     context.Canceled,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			loader := New(leader.DAGs, 1<<20)
			if tt.ctx == nil {
				tt.ctx = t.Context()
			}
			graph, unreadable, err := loader.LoadForRun(tt.ctx, tt.version, 7, tt.stops)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !strings.Contains(unreadable, tt.unreadable) || (unreadable == "") != (tt.unreadable == "") {
				t.Errorf("unreadable: %q, want %q", unreadable, tt.unreadable)
			}
			if err == nil && graph.Len() != tt.tasks {
				t.Errorf("%d tasks, want %d", graph.Len(), tt.tasks)
			}
			if _, cached := loader.cache.get(tt.version); cached != (err == nil && unreadable == "") {
				t.Errorf("cached: %t", cached)
			}
		})
	}
}
