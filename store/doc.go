// Package store keeps the truth of execution in PostgreSQL: what was decided, and what happened.
//
// DB serves what needs no leadership. Leader writes, in one term; its fields divide the writes by subject.
//
// # Invariants
//
//   - Every write of a leader is one transaction that locks its shard's epoch FOR SHARE. A successor's TakeEpoch waits
//     for these transactions. A transaction that gets the lock after it sees the higher epoch and returns ErrFenced. A
//     WHERE condition on the epoch would not wait, and would be no fence.
//   - The two writes that every run needs, its admission and its commits, are one statement each, and so one round trip.
//     Such a statement is a transaction of its own. It calls kontroler.check_write, which fails it if the epoch has
//     passed or if a guard has kept it from writing one of its rows.
//   - A leader's sessions carry controller id, shard and epoch in application_name, and a timeout for idle
//     transactions. A successor ends these sessions before it takes the epoch. A stopped process delays it for that
//     timeout at most.
//   - The phases of a live run change only by Commit, with transitions. What a commit does to a row is merged into one
//     change, which names the phase that the row must be in. If a row is in another phase, nothing is written:
//     ErrConflict. The counters of the run follow from its transitions and change in the same transaction.
//     RecordWorkspace and MarkStray each set one other column, and Discard deletes a run that was never claimed.
//   - If the answer to a commit is lost, the error is ErrUnknownCommit. The caller must not act on such a commit, and
//     reads the run again from its rows.
//   - The cost of a write grows with what it changes. Rows are found by primary key or through an index made for the
//     purpose, never by scanning a run. The statements of a sync are prepared and planned once for each session, also
//     when the tables are still empty. Tests read the plan of every query, with default settings and as it is prepared,
//     and count the rows that a sync reads.
//   - A transaction that changes what a reader can see adds a row to kontroler.changes for its run. One goroutine sends
//     NOTIFY apart from it, at most ten times a second. A claim of notifications is no such change.
//   - History is removed in batches of a thousand rows, each a short transaction, and by partition. No statement waits
//     long for a lock on a table that others use. A run that is larger than a batch loses its attempts first and its
//     own row last, so that a reader may see fewer tasks than the run counts. The removal of its row is a change.
//   - Errors are classified by SQLSTATE and type, never by text. Times are stored in microseconds and returned in UTC.
//     A zero time.Time is NULL.
//
// # Readers
//
// The schema kontroler_v1 is the read contract. Its views gain columns; they never lose or change one. To follow
// changes, a reader remembers the last (xid, id) that it has read and asks for what lies above it:
//
//	SELECT id, xid, run_id, kind FROM kontroler_v1.changes
//	WHERE (xid, id) > ($1::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
//	ORDER BY xid, id LIMIT 1000
//
// Ids are assigned before the commit, so a lower id can appear after a higher one. Below the oldest open transaction
// (pg_snapshot_xmin) nothing new can appear: a reader that stops there misses nothing. A notification on channel
// kontroler_changes means that there may be new rows. A reader also polls, because notifications can be lost.
//
// Changes are kept for two days, in daily partitions, whatever the retention of history. A reader that was away for
// longer reads the runs anew, because its (xid, id) may lie before the oldest row.
//
// # Connections
//
// Sessions are configured by startup parameters and rely on one server session for each connection. A pooler in between
// must pool sessions, not transactions, and pass on application_name, statement_timeout,
// idle_in_transaction_session_timeout and the planner's settings.
package store
