package e2e_test

import (
	"os"
	"testing"

	"kontroler/e2e/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{Parallel: 4}))
}

// world is what one test has to itself, with the helpers of this package.
type world struct{ *harness.World }

// newWorld makes a world. The test runs in parallel with others.
func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{harness.New(t)}
}

// Short names for package harness.
type (
	taskOption = harness.TaskOption
)

const (
	forever       = harness.Forever
	leaseDuration = harness.LeaseDuration
	patience      = harness.Patience
	theRun        = harness.TheRun
)

var (
	after       = harness.After
	all         = harness.All
	takeOver    = harness.TakeOver
	fromDagTask = harness.FromDagTask
	environment = harness.Environment
	flags       = harness.Flags
	on          = harness.On
	once        = harness.Once
	longLease   = harness.LongLease
	marked      = harness.Marked
	settled     = harness.Settled
	sh          = harness.Sh
	timeout     = harness.Timeout
	env         = harness.Env
	retries     = harness.Retries
	running     = harness.Running
	terminated  = harness.Terminated
	texts       = harness.Texts
	until       = harness.Until
	workspace   = harness.Workspace
)
