// Package cluster is what Kontroler's server knows of Kubernetes: clients of the API server for DAGs, DagRuns, DagTasks
// and the logs of Pods.
//
// # Invariants
//
//   - It reads no Secret.
//   - client-go's own limit of requests is off. The API server bounds the server by its priority and fairness.
//   - The server works while the API server is away: what needs it fails by itself, and the rest goes on.
package cluster
