// Package quarters counts the runs that have ended, by namespace and quarter-hour, in the memory of a replica.
//
// It knows the views of the database (package store/view), and neither HTTP nor users.
//
// # What it promises
//
//   - The counts equal the rows. A run that has ended is counted a few seconds later. A run that the retention of
//     history has removed stops to count within a minute, for a million runs. Counts of old days therefore shrink, and
//     are the same on every replica, whenever it has started.
//   - Counts that could not be compared with the rows for a minute are not returned. Neither are those of a database
//     that has been replaced, once that is noticed.
//
// # How it follows the rows
//
// Every read replaces whole quarter-hours by what the rows say then. So it may be repeated, and nothing is added twice.
// One goroutine reads, in rounds:
//
//  1. It takes the changes that became visible since its last snapshot. Each is returned once, after its commit,
//     however late that is (see package store, Readers). The quarter-hours in which the changed runs ended are read
//     again. A transaction that a round does not see yet is in the changes of a later one.
//  2. A change of a removed run does not say when the run ended. It begins a sweep, which reads all quarter-hours
//     again, oldest first, a part a round. A removal during a sweep begins another one after it.
//
// The first sweep begins after the first snapshot. What is committed meanwhile is in the changes of the next round. If
// the changes do not reach back to the snapshot, or the snapshot is ahead of a database that was restored from a dump,
// all counts are dropped and read anew. (If a restored database has more than 10,000 changes of its former server, that
// repeats every few seconds until a leader removes them.) There is a sweep every hour in any case, for what changes
// cannot show: rows that somebody has deleted by hand, and a restored database that is ahead of the snapshot.
//
// # What it costs
//
// A count is 16 bytes, and there is none for a quarter-hour without an end: at most 548 KiB for a year of a namespace,
// up to twice that while a slice grows. A sweep reads the rows once, about a second for a million, in parts of 50,000
// runs, far below the timeout of a statement. Except for the first sweep, reading takes a twentieth of the time.
package quarters
