// Package events publishes changes of runs, DAGs and DagTasks to subscribers. It reads them from package view. It
// handles neither HTTP nor permissions: the caller filters events by namespace.
//
// A Feed has one reader for all subscribers. It reads when the controller notifies, and every five seconds, because
// notifications can be lost. It reads at most twice a second, so there are at most two events of a run a second. A
// batch has the changes that became visible between two snapshots.
//
// # Invariants
//
//   - A subscriber gets every change after its beginning exactly once, or a batch with a Reset, after which it must
//     read everything again. No change is lost silently.
//   - A subscriber that resumes from an ID begins at a snapshot that is taken after its request. So it misses no change
//     that it may have seen through another replica.
//   - An ID is the snapshot at the end of a batch and the time when it was taken. A subscriber can resume from it at
//     any replica within an hour. A forged ID can only select other changes, at most maxReplayed of them.
//   - A slow subscriber keeps at most maxPending batches in memory, which it shares with others. It delays no other
//     subscriber, and gets a Reset.
//   - When the feed stops, all subscribers end.
package events
