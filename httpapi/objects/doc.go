// Package objects writes DAGs, DagTasks and DagRuns through the API server.
//
// # Invariants
//
//   - Every failed request is a *Refusal, which says whether the client, the server or the cluster is at fault.
//   - A change applies only to the object that was read: it has the UID as a precondition, and, if it replaces the
//     spec, the resource version.
//   - A change keeps the status, finalizers and owner references of an object, and the labels and annotations of
//     managers that did not write its spec.
//   - A DAG is compiled like in the controller, with the current DagTasks.
//   - It reads no Secret.
package objects

import "kontroler/httpapi/cluster"

// Client writes objects. It reads them from the API server, without a cache.
type Client struct {
	cluster.Clients
	// Namespaces are the namespaces of the server. Empty means all.
	Namespaces []string
	// Class is the controller class of the objects that the server creates.
	Class string
}
