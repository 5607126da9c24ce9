// Package dags shows DAGs, DagTasks and the DagRuns that have no row: what is in the cluster, together with what the
// database says of it. It is between the handlers of package httpapi and packages cluster and view.
//
// # Invariants
//
//   - Whoever calls names a scope. Nothing outside of it is in an answer, nor in an error.
//   - What comes from the cluster fails with a *cluster.Error while the API server does not answer.
//   - A DAG that another controller has claimed is shown, and is read-only.
package dags
