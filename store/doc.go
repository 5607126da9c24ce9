// Package store keeps what happened: the truth of execution, in PostgreSQL.
//
// # Invariants
//
//   - Every write of a leader is one transaction that begins by locking its shard's epoch FOR SHARE. A successor's
//     TakeEpoch waits for those transactions, and each one that begins after it sees the higher epoch and writes
//     nothing: ErrFenced. A WHERE on the epoch would be no fence: it does not wait.
//   - A leader's sessions carry controller id, shard and epoch in application_name, and a timeout for transactions left
//     idle. A successor ends them before it takes the epoch, so a stopped process holds it up for that timeout at most.
//   - A run is written through Changes only: one method, one legal transition, one guarded UPDATE over all its rows. An
//     UPDATE that matches another number of rows than it was given rolls everything back: ErrConflict. The counters of
//     the run change in the same transaction, and by what its tasks did, else nothing is written.
//   - A commit whose answer is lost is neither done nor undone: ErrUnknownCommit. Nothing may be acted on; the run is
//     read again from its rows.
//   - A write costs what it changes. Rows are found by primary key or through an index made for the purpose, never by
//     going through a run; a test reads the plan of every query here with default settings, another counts the rows. What
//     a sync runs is prepared and planned once for a session, also when the tables are still empty: tests read those plans
//     too.
//   - Each transaction that changes what a reader can see writes one row to kontroler.changes for its run. NOTIFY is
//     sent apart from it, by one goroutine, at most ten times a second. A claim of notifications to send is no change.
//   - History goes in batches of a thousand rows, each a short transaction, and by partition; nothing here waits for a lock
//     on a table that others use for longer than an instant. A run that is larger than a batch goes attempts first, its own
//     row last: a reader may see it with fewer tasks than it counts. Readers are told when it is gone.
//   - Errors are told apart by SQLSTATE and type, never by text. Times are stored in microseconds and returned in UTC; a
//     zero time.Time is NULL.
//
// # Readers
//
// The schema kontroler_v1 is the read contract: its views gain columns, they never lose or change one. To follow
// changes, a reader remembers the last (xid, id) it has seen and asks for what lies above it:
//
//	SELECT id, xid, run_id, kind FROM kontroler_v1.changes
//	WHERE (xid, id) > ($1::xid8, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
//	ORDER BY xid, id LIMIT 1000
//
// Ids are given out before commit, so a lower one can appear after a higher one. Below the oldest transaction still open
// (pg_snapshot_xmin) nothing can appear any more: a reader that stops there misses nothing. A notification on channel
// kontroler_changes says that it is worth asking; a reader also asks now and then without one.
//
// Changes are kept for two days, by daily partition, whatever history is kept. A reader that was away for longer reads the
// runs anew: its (xid, id) says nothing any more.
//
// # Connections
//
// Sessions are set up by startup parameters and rely on one server session per connection. A pooler between must pool
// sessions, not transactions, and let application_name, statement_timeout, idle_in_transaction_session_timeout and the
// planner's settings pass.
//
// After a failover a session may be left on a server that is read-only now. The first statement that such a server refuses
// (ErrUnavailable) takes every connection that was open then out of the pool; the next one opens a new connection.
package store
