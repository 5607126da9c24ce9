// Package leader makes one process the leader of a controller, and stops a process that no longer leads.
//
//	elector.go  campaigns for the Lease, takes an epoch of the database, runs a term of leadership, ends it
//	lock.go     the Lease, as client-go's leader election reads and writes it, with the epoch in an annotation
//	gate.go     the check before every request to the API server
//
// Two fences keep an old leader from acting. In the database, each transaction locks the epoch that the term began
// with: a successor has raised it, and the transaction fails (package store). The cluster has no such fence. There the
// Gate ends the process when the Lease was not renewed in time by this process's monotonic clock: before a request is
// sent, and again before its bytes are written to a connection.
//
// A leader whose database has been away for a lease duration gives up the Lease, so that a process with a better
// connection can take over.
package leader
