// Package trigger starts runs: it creates the DagRun of a request, and finds it again when the request is repeated.
//
// # Idempotency
//
// If a request has an Idempotency-Key, the name of its DagRun derives from the DAG, the user and the key. A repeated
// request finds the run by this name: the DagRun while it exists, and later the row of the run. There is no table of
// keys, so a key is valid as long as the history of its run. A hash of the request on the DagRun shows whether another
// request used the key. A row has no hash. In this case the parameters of the run are compared with those that the
// request would have with the same version of the DAG.
//
// # Invariants
//
//   - A request with a key creates at most one DagRun, even if it is repeated at other replicas or after a failure.
//   - The live DAG is checked, not a stored version.
//   - Only a user with the right to name Secrets may override a parameter by a Secret. Defaults of the DAG need no
//     right.
//   - Errors are *objects.Refusal, or those of the database.
package trigger
