// Package dags reads DAGs, DagTasks and the DagRuns that have no row. It combines the live objects of package cluster
// with the rows of package view, for the handlers of package httpapi.
//
// # Invariants
//
//   - The caller passes a scope. No result and no error has anything outside of it.
//   - While the API server does not answer, reads of live objects fail with a *cluster.Error.
//   - A DAG that another controller has claimed is listed as read-only.
package dags
