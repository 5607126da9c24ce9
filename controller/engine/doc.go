// Package engine is the state machine of a run. It is a pure function from the facts that one sync gathered to the
// changes that the sync commits. It does no I/O, reads no clock and imports neither PostgreSQL nor Kubernetes clients.
//
// The input is a Snapshot: the run's counters, the attempts that changed, their tasks, the children of those tasks, and
// facts about Pods. The output is a Decision: transitions that are committed in one transaction, and Pods to create and
// delete after the commit. A Snapshot is a slice of the run, so the cost of a sync depends on what changed and not on
// the size of the run.
//
//	run      Pending ──► Running ──► Succeeded      no task failed
//	                             ├─► Failed         a task failed, the deadline passed, or the version is unreadable
//	                             └─► Cancelled      spec.cancel, or the DagRun was deleted
//
//	task     Waiting ──► Ready ──► Active ──► Succeeded
//	            │          ▲  │      │  ├───► Failed        no retry or restart is left
//	            │          └──┼──────┘  │                   (back to Ready: the next attempt waits for its backoff)
//	            │             └─────────┴───► Cancelled     the run is being stopped
//	            ├───────────────────────────► Cancelled     the run is being stopped
//	            └───────────────────────────► Skipped       a parent failed or was skipped
//
//	attempt  Decided ──► Pending ──► Running ──► Succeeded  exit code 0
//	            │           │           ├──────► Failed     the task's own failure: spends a retry
//	            │           │           ├──────► Lost       an infrastructure failure: spends a restart
//	            └───────────┴───────────┤
//	                                    └─► Stopping ──► Cancelled or Failed (a stop is committed before the delete)
//
// An attempt may skip Pending and Running, and it may end in every live phase.
//
// These invariants hold for every order, repetition and loss of events:
//
//   - A task starts only after all its parents have succeeded.
//
//   - An outcome is counted once. A task has at most one live attempt.
//
//   - A run ends if and only if none of its tasks can run any more.
//
//     phases.go    phases and reasons
//     engine.go    Snapshot and Decision
//     snapshot.go  which tasks a snapshot still lacks
//     decide.go    the steps of one decision; stop, start and end of a run
//     attempts.go  how a live attempt follows its Pod
//     tasks.go     what the end of an attempt means for its task and for the children of the task
//     plan.go      the decision under construction
//     pod.go       how an attempt ended
package engine
