package control_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"kontroler/e2e/harness"
)

// upgrade is ten diamonds that run while the leader changes between two releases. Each diamond has a DAG of its own,
// which whoever leads when it starts must compile, store and admit.
type upgrade struct {
	*world
	runs []string
}

// start starts further runs. Their tasks are a diamond and two more. b needs a retry; a, c, d and e each wait for a
// gate.
func (u *upgrade) start(n int) {
	u.T.Helper()
	for range n {
		name := fmt.Sprintf("diamond-%d", len(u.runs))
		u.ApplyDAG(name,
			play("a", until("a")), play("b", once(name, "exit 3"), after("a"), retries(1)),
			play("c", until("c"), after("a")),
			play("d", until("d"), after("b", "c")), play("e", until("e"), after("d")))
		u.Start(name, name)
		u.runs = append(u.runs, name)
	}
}

// handOver opens a gate for all runs and stops the leader at the same time. The other controller must take over.
func (u *upgrade) handOver(gate string, from, to *controller, epoch string) {
	u.T.Helper()
	if !from.Leads() {
		u.T.Errorf("%s does not lead", from.Name)
	}
	u.Open(gate)
	from.Stop()
	to.WaitLeads()
	u.CheckEpochs(epoch)
}

// check checks that every run has succeeded, and that every attempt ran once.
func (u *upgrade) check() {
	u.T.Helper()
	effects := map[string]int{}
	for _, run := range u.runs {
		want := all("Succeeded", "a", "c", "d", "e")
		want["b"] = "Succeeded 2"
		u.CheckFinal(run, "Succeeded", want)
		for task := range want {
			effects[task]++
		}
	}
	if diff := gocmp.Diff(effects, u.Effects()); diff != "" {
		u.T.Errorf("side effects (-want +got):\n%s", diff)
	}
	u.CheckStarts(u.runs...)
}

// schema returns the version of the database's schema, and the oldest one whose controllers may use it.
func (w *world) schema() (version, oldest int) {
	w.T.Helper()
	for column, n := range map[string]*int{"version": &version, "oldest_compatible": &oldest} {
		max, err := strconv.Atoi(w.Strings(`SELECT max(` + column + `)::text FROM kontroler.schema_migrations`)[0])
		if err != nil {
			w.T.Fatal(err)
		}
		*n = max
	}
	return version, oldest
}

// Controllers of the release before and of this one take turns on one database while ten diamonds run: the upgrade, the
// way back, and the upgrade again. Every attempt runs once.
func TestUpgradeUnderLoad(t *testing.T) {
	u := &upgrade{world: newWorld(t)}
	before := harness.PreviousRelease(t).Controller(t)
	old := u.Controller(before)
	old.WaitLeads()
	known, _ := u.schema()
	u.start(4)
	u.WaitStarted(4)

	// The new controller migrates the schema when it starts. The old one still leads and goes on.
	next := u.Controller()
	migrated, oldest := u.schema()
	t.Logf("the schema has version %d, was %d; the oldest controllers that can use it have %d", migrated, known, oldest)
	if oldest > known {
		t.Fatalf("the release before has schema version %d, but the oldest that can use this schema is %d: it must be "+
			"stopped before the upgrade. Say so in manifests/README.md, and change this test", known, oldest)
	}
	u.Open("a")
	u.start(3)
	u.WaitStarted(7 * 4)
	u.CheckEpochs("1")

	u.handOver("c", old, next, "2")
	u.start(2)
	u.WaitStarted(9 * 5)

	back := u.Controller(before)
	u.handOver("d", next, back, "3")
	u.start(1)
	u.WaitStarted(10 * 6)

	last := u.Controller()
	u.handOver("e", back, last, "4")
	u.check()
}

// A controller refuses a schema that is too new for it, and says which version of the schema it needs. A newer schema
// that its controllers may use is none of its concern.
func TestSchemaTooNew(t *testing.T) {
	w := newWorld(t)
	w.Controller().Stop()
	known, _ := w.schema()
	note := `INSERT INTO kontroler.schema_migrations (version, name, oldest_compatible, checksum)
VALUES ($1, $2, $3, '')`
	w.Exec(note, known+1, "compatible", 1)
	w.Controller().Stop()
	w.Exec(note, known+2, "incompatible", known+2)
	words := []string{fmt.Sprintf("the schema is at version %d", known+2), fmt.Sprintf("version %d or newer", known+2)}
	binaries := map[string][]processOption{
		"this release":       nil,
		"the release before": {harness.PreviousRelease(t).Controller(t)},
	}
	for _, name := range slices.Sorted(maps.Keys(binaries)) {
		process := w.Launch(binaries[name]...)
		checkRefusal(t, process, 1, words...)
		t.Logf("%s:\n%s", name, process.Log())
	}
}
