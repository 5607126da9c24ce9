package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

// TestSaveTaskVersion checks that versions are counted or stated, and never change.
func TestSaveTaskVersion(t *testing.T) {
	f := newFixture(t)
	read := func(generation int64, stated int64) store.DagTask {
		return store.DagTask{Namespace: "default", Name: "t", UID: uid(1), Generation: generation, CreatedAt: t0,
			Version: stated}
	}
	again := func(generation int64, stated int64) store.DagTask {
		return store.DagTask{Namespace: "default", Name: "t", UID: uid(2), Generation: generation, CreatedAt: at(100),
			Version: stated}
	}
	steps := []struct {
		name           string
		task           store.DagTask
		hash           byte
		delete         bool // mark the DagTask as deleted before
		number, newest int64
		spec           byte // of the returned version
		taken          bool
		change         bool
	}{
		{name: "the first", task: read(1, 0), hash: 1, number: 1, newest: 1, spec: 1, change: true},
		{name: "read again", task: read(1, 0), hash: 1, number: 1, newest: 1, spec: 1},
		{name: "another", task: read(2, 0), hash: 2, number: 2, newest: 2, spec: 2, change: true},
		{name: "the first again", task: read(3, 0), hash: 1, number: 3, newest: 3, spec: 1, change: true},
		{name: "stated, ahead", task: read(4, 7), hash: 3, number: 7, newest: 7, spec: 3, change: true},
		{name: "read again as stated", task: read(4, 7), hash: 3, number: 7, newest: 7, spec: 3},
		{name: "the stated number with another spec", task: read(5, 7), hash: 4, number: 7, newest: 7, spec: 3,
			taken: true, change: true},
		{name: "which is told again", task: read(5, 7), hash: 4, number: 7, newest: 7, spec: 3, taken: true},
		{name: "stated, a gap is filled", task: read(6, 5), hash: 4, number: 5, newest: 7, spec: 4, change: true},
		{name: "no longer stated, the same", task: read(7, 0), hash: 4, number: 5, newest: 7, spec: 4, change: true},
		{name: "back to a stored one", task: read(8, 7), hash: 3, number: 7, newest: 7, spec: 3, change: true},
		{name: "back to a lower one", task: read(9, 2), hash: 2, number: 2, newest: 7, spec: 2, change: true},
		{name: "counted from the newest", task: read(10, 0), hash: 5, number: 8, newest: 8, spec: 5, change: true},
		{name: "made again", task: again(1, 0), delete: true, hash: 5, number: 8, newest: 8, spec: 5, change: true},
		{name: "made again and changed", task: again(2, 0), hash: 6, number: 9, newest: 9, spec: 6, change: true},
		{name: "of a cluster where it was made before", task: read(1, 0), hash: 7, number: 10, newest: 10, spec: 7,
			change: true},
		{name: "another namespace", task: store.DagTask{Namespace: "other", Name: "t", UID: uid(3), Generation: 1,
			CreatedAt: t0}, hash: 1, number: 1, newest: 1, spec: 1, change: true},
	}
	specs := map[byte]string{}
	for n := byte(1); n < 9; n++ {
		specs[n] = `{"image": "i` + string('0'+n) + `"}`
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if step.delete {
				for range 2 {
					if err := f.leader.DagTasks.MarkDeleted(t.Context(), "default", "t", at(50)); err != nil {
						t.Fatal(err)
					}
				}
				if n := f.text(`SELECT count(*) FROM kontroler_v1.dag_tasks WHERE deleted_at = $1`, at(50)); n != "1" {
					t.Errorf("%s deleted DagTasks", n)
				}
			}
			before := f.text(`SELECT count(*) FROM kontroler.changes`)
			v, taken, err := f.leader.DagTasks.SaveVersion(t.Context(), step.task, []byte(specs[step.hash]),
				hash(step.hash), at(1))
			if err != nil {
				t.Fatal(err)
			}
			want := store.TaskVersion{Number: step.number, Newest: step.newest, Spec: []byte(specs[step.spec])}
			if diff := cmp.Diff(want, v); diff != "" || taken != step.taken {
				t.Errorf("taken %t, want %t (-want +got):\n%s", taken, step.taken, diff)
			}
			if changed := before != f.text(`SELECT count(*) FROM kontroler.changes`); changed != step.change {
				t.Errorf("change row: %t, want %t", changed, step.change)
			}
			for _, number := range []int64{0, step.number} {
				read, err := f.leader.DagTasks.Version(t.Context(), step.task.Namespace, "t", number)
				if diff := cmp.Diff(want, read); err != nil || diff != "" {
					t.Errorf("TaskVersion %d: %v (-want +got):\n%s", number, err, diff)
				}
			}
		})
	}
	for _, absent := range []struct {
		name   string
		number int64
	}{{"t", 6}, {"t", 3_000_000_000}, {"nobody", 0}} {
		v, err := f.leader.DagTasks.Version(t.Context(), "default", absent.name, absent.number)
		if err != nil || v.Number != 0 {
			t.Errorf("version %d of %s: %+v, %v", absent.number, absent.name, v, err)
		}
	}
	last := store.DagTask{Namespace: "default", Name: "last", UID: uid(4), Generation: 1, CreatedAt: t0,
		Version: 1<<31 - 1}
	if _, _, err := f.leader.DagTasks.SaveVersion(t.Context(), last, []byte(`{}`), hash(1), at(1)); err != nil {
		t.Fatal(err)
	}
	last.Generation, last.Version = 2, 0
	v, _, err := f.leader.DagTasks.SaveVersion(t.Context(), last, []byte(`{}`), hash(2), at(1))
	if !errors.Is(err, store.ErrRejected) || v.Number != 0 {
		t.Errorf("a version after the last number: %+v, %v", v, err)
	}
}

// TestSaveTaskVersionConcurrently checks that concurrent calls save a version once.
func TestSaveTaskVersionConcurrently(t *testing.T) {
	f := newFixture(t)
	task := store.DagTask{
		Namespace: "default", Name: "t", UID: uid(1), Generation: 1, CreatedAt: t0.Add(time.Nanosecond),
	}
	done := make(chan error)
	for range 8 {
		go func() {
			v, taken, err := f.leader.DagTasks.SaveVersion(f.Context(), task, []byte(`{}`), hash(1), at(1))
			if err == nil && (v.Number != 1 || taken) {
				err = errors.New("not version 1")
			}
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDagTasks(t *testing.T) {
	f := newFixture(t)
	for i, name := range []string{"a", "b"} {
		task := store.DagTask{Namespace: "default", Name: name, UID: uid(i), Generation: 1, CreatedAt: t0}
		if _, _, err := f.leader.DagTasks.SaveVersion(t.Context(), task, []byte(`{}`), hash(1), at(1)); err != nil {
			t.Fatal(err)
		}
	}
	list := func(after int64, limit int) (names string, last int64) {
		keys, err := f.leader.DagTasks.List(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			names, last = names+key.Namespace+"/"+key.Name+" ", key.ID
		}
		return names, last
	}
	first, last := list(0, 1)
	second, _ := list(last, 1)
	if first+second != "default/a default/b " {
		t.Errorf("page by page: %s%s", first, second)
	}
	if err := f.leader.DagTasks.MarkDeleted(t.Context(), "default", "a", at(5)); err != nil {
		t.Fatal(err)
	}
	if names, _ := list(0, 10); names != "default/b " {
		t.Errorf("after a deletion: %s", names)
	}
}
