package control_test

import (
	"os"
	"testing"

	"kontroler/e2e/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{WithoutNode: true, Parallel: 6}))
}

// world is what one test has to itself, with the helpers of this package.
type world struct{ *harness.World }

// newWorld makes a world. The test runs in parallel with others.
func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{harness.New(t)}
}

// newAloneWorld makes a world for a test that needs all of the API server. The test runs alone.
func newAloneWorld(t *testing.T) *world {
	t.Helper()
	return &world{harness.NewAlone(t)}
}

// Short names for package harness.
type (
	controller    = harness.Controller
	database      = harness.Database
	processOption = harness.ProcessOption
	receiver      = harness.Receiver
	notification  = harness.Notification
	taskCounts    = harness.TaskCounts
	ending        = harness.Ending
	endedTask     = harness.EndedTask
)

const (
	forever       = harness.Forever
	leaseDuration = harness.LeaseDuration
	patience      = harness.Patience
	theRun        = harness.TheRun
)

var (
	after         = harness.After
	all           = harness.All
	takeOver      = harness.TakeOver
	fromDagTask   = harness.FromDagTask
	endWithParent = harness.EndWithParent
	environment   = harness.Environment
	flags         = harness.Flags
	shortLease    = harness.ShortLease
	noTasks       = harness.NoTasks
	on            = harness.On
	onCodes       = harness.OnCodes
	once          = harness.Once
	longLease     = harness.LongLease
	play          = harness.Play
	retries       = harness.Retries
	running       = harness.Running
	signature     = harness.Signature
	tail          = harness.Tail
	terminated    = harness.Terminated
	texts         = harness.Texts
	until         = harness.Until
	workspace     = harness.Workspace
)
