// Package objects writes DAGs, DagTasks and DagRuns through the API server.
//
// # Invariants
//
//   - Every failed request is a *Refusal, which says whose mistake it is.
//   - An object is changed only as it was read: by its UID, and by its resource version if the change replaces the
//     spec.
//   - Status, finalizers and owner references of an object stay, and so do the labels and annotations of managers that
//     did not write its spec.
//   - A DAG is compiled as the controller does, with the DagTasks as they are now.
//   - It reads no Secret.
package objects

import "kontroler/httpapi/cluster"

// Client writes objects. It reads them past any cache.
type Client struct {
	cluster.Clients
	// Namespaces are those that the server serves. None means all.
	Namespaces []string
	// Class is that of the controller whose DAGs the server creates.
	Class string
}
