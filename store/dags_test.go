package store_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

func TestSaveVersion(t *testing.T) {
	f := newFixture(t)
	again := store.DAG{Namespace: "default", Name: "d", UID: uid(2), CreatedAt: at(100)}
	steps := []struct {
		name   string
		dag    store.DAG
		hash   byte
		delete bool // mark the DAG as deleted before
		number int64
		change bool
		row    string
	}{
		{name: "the same", dag: store.DAG{Namespace: "default", Name: "d", UID: uid(1), CreatedAt: t0}, hash: 1,
			number: 1, row: uid(1) + " f"},
		{name: "another", dag: store.DAG{Namespace: "default", Name: "d", UID: uid(1), CreatedAt: t0}, hash: 2,
			number: 2, change: true, row: uid(1) + " f"},
		{name: "the first again", dag: store.DAG{Namespace: "default", Name: "d", UID: uid(1), CreatedAt: t0}, hash: 1,
			number: 3, change: true, row: uid(1) + " f"},
		{name: "deleted and made again", dag: again, delete: true, hash: 1, number: 3, change: true,
			row: uid(2) + " f"},
		{name: "another namespace", dag: store.DAG{Namespace: "other", Name: "d", UID: uid(3), CreatedAt: t0}, hash: 1,
			number: 1, change: true, row: uid(3) + " f"},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			if step.delete {
				if err := f.leader.DAGs.MarkDeleted(t.Context(), "default", "d", at(50)); err != nil {
					t.Fatal(err)
				}
			}
			before := f.text(`SELECT count(*) FROM kontroler.changes WHERE kind = 'dag'`)
			version, err := f.leader.DAGs.SaveVersion(t.Context(), step.dag, []byte(`{"task":[{"name":"a"}]}`),
				hash(step.hash), 1, at(1))
			if err != nil {
				t.Fatal(err)
			}
			if version.Number != step.number {
				t.Errorf("version %d, want %d", version.Number, step.number)
			}
			if changed := before != f.text(
				`SELECT count(*) FROM kontroler.changes WHERE kind = 'dag'`); changed != step.change {
				t.Errorf("change row: %t, want %t", changed, step.change)
			}
			row := f.text(`SELECT uid || CASE WHEN deleted_at IS NULL THEN ' f' ELSE ' t' END FROM kontroler.dags
WHERE namespace = $1 AND name = 'd'`, step.dag.Namespace)
			if row != step.row {
				t.Errorf("dag %q, want %q", row, step.row)
			}
			read, found, err := f.leader.DAGs.Version(t.Context(), version.ID)
			if diff := cmp.Diff(version, read); err != nil || !found || diff != "" {
				t.Errorf("Version: %v (-want +got):\n%s", err, diff)
			}
			if !json.Valid(read.Spec) {
				t.Errorf("spec %q", read.Spec)
			}
		})
	}
}

func TestDAGs(t *testing.T) {
	f := newFixture(t)
	if _, err := f.leader.DAGs.SaveVersion(t.Context(),
		store.DAG{Namespace: "other", Name: "e", UID: uid(9), CreatedAt: t0}, []byte(`{}`), [32]byte{9}, 1,
		at(1)); err != nil {
		t.Fatal(err)
	}
	list := func(after int64, limit int) (names []string, last int64) {
		keys, err := f.leader.DAGs.List(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			names, last = append(names, key.Namespace+"/"+key.Name), key.ID
		}
		return names, last
	}
	first, last := list(0, 1)
	second, _ := list(last, 1)
	if diff := cmp.Diff([]string{"default/d", "other/e"}, append(first, second...)); diff != "" {
		t.Errorf("DAGs, page by page (-want +got):\n%s", diff)
	}
	if err := f.leader.DAGs.MarkDeleted(t.Context(), "default", "d", at(50)); err != nil {
		t.Fatal(err)
	}
	if names, _ := list(0, 10); len(names) != 1 || names[0] != "other/e" {
		t.Errorf("after a deletion: %v", names)
	}
}

func TestDAGDeleted(t *testing.T) {
	f := newFixture(t)
	for range 2 {
		if err := f.leader.DAGs.MarkDeleted(t.Context(), "default", "d", at(50)); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.text(`SELECT count(*) FROM kontroler.dags WHERE deleted_at = $1`, at(50)); got != "1" {
		t.Errorf("%s deleted DAGs", got)
	}
	if got := f.text(`SELECT count(*) FROM kontroler.changes WHERE kind = 'dag'`); got != "2" {
		t.Errorf("%s change rows, want 2: the version and one deletion", got)
	}
}
