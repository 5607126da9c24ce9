// Package retention deletes DagRuns that have ended, and history that is old enough.
//
//	cleaner.go  the queues of DagRuns and DAGs, and their workers
//	dagruns.go  DagRuns whose time to live is over, and DagRuns of schedules beyond the limits of their DAG
//	history.go  rows and partitions that are older than --history-retention
//
// The history of a run outlives its DagRun. The package does not sync runs: it sees their DagRuns and Pods in the
// caches, and asks the database whether a DagRun is still needed.
//
// Invariants:
//   - A DagRun is deleted only if it is this controller's, its status is final, its row agrees, and it has no Pods.
//     Deleting it earlier would garbage-collect Pods whose logs have not been read.
//   - A DagRun that its schedule is about to look up is not deleted. Otherwise the schedule would create it again.
//   - Rows of a run are not removed before its status is final and its Pods are gone.
//   - What is in memory can be lost at any instant. The first delivery of the caches rebuilds it.
package retention
