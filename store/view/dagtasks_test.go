package view_test

import (
	"testing"

	"kontroler/store"
	"kontroler/store/view"
)

func TestVersionsOfADagTask(t *testing.T) {
	f := newFixture(t)
	leader, _ := f.lead()
	for i, spec := range []string{`{"image": "one"}`, `{"image": "two"}`} {
		task := store.DagTask{Namespace: "team", Name: "shared", UID: uid(1), Generation: int64(i + 1), CreatedAt: t0}
		if _, _, err := leader.DagTasks.SaveVersion(
			t.Context(), task, []byte(spec), [32]byte{byte(i)}, at(i)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		namespace, name string
		number          int64
		want            view.TaskVersion
	}{
		"an old version": {
			"team", "shared", 1, view.TaskVersion{Number: 1, Newest: 2, Spec: []byte(`{"image": "one"}`)},
		},
		"the newest version": {
			"team", "shared", 2, view.TaskVersion{Number: 2, Newest: 2, Spec: []byte(`{"image": "two"}`)},
		},
		"a version it does not have": {"team", "shared", 3, view.TaskVersion{Newest: 2}},
		"a version that none has":    {"team", "shared", 3_000_000_000, view.TaskVersion{Newest: 2}},
		"another namespace":          {"other", "shared", 1, view.TaskVersion{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := f.db.TaskVersion(t.Context(), test.namespace, test.name, test.number)
			check(t, "version", err, test.want, got)
		})
	}
}
