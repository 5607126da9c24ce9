package controller

import (
	"strings"
	"testing"
	"time"

	"kontroler/apis/dag"
	"kontroler/controller/engine"
	"kontroler/store"
	"kontroler/store/storetest"
)

// The end of a run whose version cannot be read says so in its row.
func TestUnreadableVersionEnds(t *testing.T) {
	leader := storetest.Lead(t, storetest.New(t))
	spec := []byte(`{"task": [{"name": "a"}]}`)
	uid := "00000000-0000-4000-8000-000000000001"
	version, err := leader.DAGs.SaveVersion(
		t.Context(),
		store.DAG{Namespace: "default", Name: "d", UID: uid, CreatedAt: time.Now()},
		spec,
		dag.Hash(spec),
		1,
		time.Now(),
	)
	if err != nil {
		t.Fatal(err)
	}
	row, err := leader.Admit(
		t.Context(),
		store.NewRun{UID: uid, Namespace: "default", Name: "r", DAGName: "d", DAGID: version.DAGID, VersionID: version.ID,
			Parameters: []byte("[]"), CreatedAt: time.Now(), AdmittedAt: time.Now()},
		[]store.NewTask{{Name: "a"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := engine.Snapshot{Graph: dag.Blank(1), Run: engineRun(row), Unreadable: "a fault", MaxStarts: 1, Slots: 1}
	decision, err := engine.Decide(snapshot, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Commit(t.Context(), row.ID, decision.Transitions, nil); err != nil {
		t.Fatal(err)
	}
	row, _, err = leader.RunByUID(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	if row.Phase != "Failed" || row.Stop != engine.ReasonVersionUnreadable || row.Reason != row.Stop ||
		!strings.Contains(row.Message, "a fault") {
		t.Errorf("the run is %s, %s: %s", row.Phase, row.Reason, row.Message)
	}
}
