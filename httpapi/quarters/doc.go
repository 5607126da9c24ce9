// Package quarters counts ended runs by namespace and quarter-hour. Each replica keeps the counts in memory.
//
// It reads the views of the database (package store/view), and handles neither HTTP nor permissions.
//
// # Invariants
//
//   - The counts equal the rows. A run is counted a few seconds after its end. A run that the retention of history
//     removes stops being counted within a minute, for a million runs. The counts of old days therefore shrink, and are
//     the same on every replica, independent of its start.
//   - Counts that could not be compared with the rows for a minute are not returned. Neither are those of a database
//     that was replaced, once the replacement is detected.
//
// # How it follows the rows
//
// A read is idempotent: it replaces the counts of whole quarter-hours. One goroutine reads, in rounds:
//
//  1. It reads the changes that became visible since its last snapshot. Each change is returned once, after its
//     commit, however late that is (see package store, Readers). It reads the quarter-hours in which the changed runs
//     ended again. A transaction that commits after a round is in the changes of a later round.
//  2. The change of a removed run does not say when the run ended. It starts a sweep, which reads all quarter-hours
//     again, oldest first, one part a round. A removal during a sweep starts another sweep after it.
//
// The first sweep begins after the first snapshot. Transactions that commit meanwhile are in the changes of the next
// round. If the changes do not reach back to the snapshot, or the snapshot is newer than a database that was restored
// from a dump, all counts are dropped and read again. (If a restored database has more than 10,000 changes of its
// former server, this repeats every few seconds until a leader removes them.) There is also a sweep every hour, because
// changes do not show rows that somebody deleted by hand, or a restored database that is newer than the snapshot.
//
// # What it costs
//
// A count is 16 bytes, and exists only for a quarter-hour in which a run ended: at most 548 KiB for a year of a
// namespace, up to twice that while a slice grows. A sweep reads each row once. It takes about a second for a million
// rows, in parts of 50,000 runs, far below the statement timeout. Except for the first sweep, the goroutine reads for a
// twentieth of the time, and pauses for the rest.
package quarters
