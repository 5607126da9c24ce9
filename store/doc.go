// Package store keeps the truth of execution in PostgreSQL: what was decided, and what happened.
//
// DB serves what needs no leadership. Leader writes in one term. Its fields divide the writes by subject.
//
// # Invariants
//
//   - Every write of a leader is one transaction that locks its shard's epoch FOR SHARE. A successor's TakeEpoch waits
//     for these transactions. A transaction that gets the lock after it sees the higher epoch and returns ErrFenced. A
//     WHERE condition on the epoch would not wait, and would be no fence.
//   - The two writes that every run needs, its admission and its commits, are one statement each, and so one round
//     trip. Such a statement is a transaction of its own. It calls kontroler.check_write, which fails the statement if
//     the epoch has passed or if a guard kept it from writing a row.
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
//     NOTIFY apart from it, at most ten times a second. Claiming notifications is not such a change.
//   - History is removed in batches of a thousand rows, each a short transaction, and by partition. No statement waits
//     long for a lock on a table that others use. A run that is larger than a batch loses its attempts first and its
//     own row last, so that a reader may see fewer tasks than the run counts. The removal of its row is a change.
//   - Errors are classified by SQLSTATE and type, never by text. Times are stored in microseconds and returned in UTC.
//     A zero time.Time is NULL. UIDs are UUIDs, which the callers check; another text is ErrRejected.
//
// # Readers
//
// The schema kontroler_v1 is the read contract. Its views gain columns; they never lose or change one. GrantReaders
// lets roles read it. To follow changes, a reader keeps a snapshot, and asks for what has become visible since:
//
//	SELECT pg_current_snapshot(), c.id, c.kind, c.namespace, c.dag_id, c.run_id FROM (SELECT) one LEFT JOIN LATERAL (
//	    SELECT n.* FROM kontroler_v1.changes n WHERE n.xid >= pg_snapshot_xmax($1::pg_snapshot)
//	    UNION ALL
//	    SELECT o.* FROM kontroler_v1.changes o WHERE o.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
//	) c ON true ORDER BY c.xid, c.id
//
// Each row has the snapshot for the next query, and a change unless there is none. A transaction that a snapshot does
// not show either begins after it, from its xmax on, or was in progress in it. So each change is returned once, by the
// first query after its commit, in whatever order transactions begin and end. Neither id nor xid is a cursor: both are
// assigned before the commit, so that a lower one can appear after a higher one. Waiting until no lower xid is open
// (pg_snapshot_xmin) would hold back all changes while a transaction stays open in any database of the server, for
// example a batch job. The query has no LIMIT, because its snapshot covers all rows.
//
// A reader takes its first snapshot before it reads the runs. It must start over, with a new first snapshot and all
// runs, in two cases: it was away for longer than two days, because changes are kept for two days regardless of the
// retention of history, or its snapshot is ahead of the current one. The latter happens after a restore from a dump,
// because the new server counts transactions from the beginning. Lead then empties the table. A hot standby does not
// serve this query, because its snapshots list no transactions in progress.
//
// A change has the kind run, or dag for a DAG, its versions, its schedule, or a DagTask. It has a namespace and, except
// for a DagTask or a run that was refused before its DAG had a row, the id of a DAG; rows of binaries before version 12
// of the schema have neither. A notification on channel kontroler_changes means that there may be new rows. A reader
// also polls, because notifications can be lost.
//
// Runs are listed in the order (admitted_at, id), which indexes serve by namespace and by DAG. Failed and Cancelled
// runs have indexes of their own, and so have live ones and those that no schedule triggered. A range of names with a
// common prefix is served by the operators ~>=~ and ~<~, with any collation of the database. Package view lists runs
// this way.
//
// # Connections
//
// Sessions are configured by startup parameters and rely on one server session for each connection. A pooler in between
// must pool sessions, not transactions, and pass on application_name, statement_timeout,
// idle_in_transaction_session_timeout and the planner's settings.
package store
