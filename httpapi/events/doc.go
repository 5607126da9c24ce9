// Package events passes on what changes, for streams of the server. It knows views, and neither HTTP nor users.
// A caller filters by namespace.
//
// A Feed has one reader, however many subscribers there are. The reader reads when the controller notifies, and every
// five seconds, because notifications can be lost. It reads at most twice a second, so that an event of a run comes at
// most twice a second. A batch has what became visible between two snapshots.
//
// # Invariants
//
//   - A subscriber gets every change from where it begins, each once, or a batch that says that it must read
//     everything again. No change is skipped silently.
//   - A subscriber that continues begins at a snapshot that was taken after it asked. So what it has seen elsewhere, at
//     another replica, is never ahead of it.
//   - An ID is the snapshot behind a batch and the time when it was taken. Any replica continues from it, within an
//     hour. An ID that is forged can only name another part of the changes, at most maxReplayed of them.
//   - A subscriber that does not take its batches costs the memory of maxPending batches, which it shares with others,
//     and delays nobody. It is told to read everything again.
//   - When the feed stops, all subscribers end.
package events
