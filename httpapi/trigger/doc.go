// Package trigger starts runs: it makes the DagRun that a request asks for, and finds it again when the request is
// repeated.
//
// # Repetition
//
// With a key, the name of the DagRun derives from the DAG, the user and the key. A repeat finds it by that name: its
// DagRun while it exists, later its row. There is no table of keys, so a key is as old as the history of its run. What
// was asked for is compared by a hash on the DagRun. A row has no hash: then the parameters of the run are compared
// with those that the request gives with the version of that run.
//
// # Invariants
//
//   - A request with a key creates at most one DagRun, whichever replica gets it and wherever an earlier one stopped.
//   - The DAG is checked as it is in the cluster, not as it was stored.
//   - A Secret is named only by whoever may name one. Defaults of the DAG need no right.
//   - Errors are *objects.Refusal, or those of the database.
package trigger
