// Package leader makes one process the leader of a controller, and stops a process that no longer leads.
//
//	elector.go  a term of leadership: wins the Lease, takes an epoch, leads, and gives the Lease up
//	outage.go   whether the database answers
//	lock.go     the lock of client-go's leader election
//	lease.go    the Lease in the API server, with the highest epoch in an annotation
//	gate.go     the check before every request to the API server
//
// A process passes through these states:
//
//	           database answers        Lease won           epoch taken
//	waiting ───────────────────► standby ──────► candidate ──────────► leading ──┐
//	   ▲                                                                  │      │ ctx ended: drains for up to 12 s
//	   │   the database is unavailable for a lease duration:              │      ▼
//	   └── drains, releases the Lease ◄───────────────────────────────────┤   releases the Lease, exits with 0
//	                                                                      │
//	                      the Lease is lost, or the epoch is fenced ◄─────┘
//	                                   exits with an error
//
// Two fences keep an old leader from acting. In the database, each transaction locks the epoch of its term. A successor
// raises the epoch, and transactions of the old term fail (package store). The cluster has no such fence. There the
// Gate ends the process if the Lease was not renewed in time, by the monotonic clock of the process. It checks before a
// request is sent, and again before the bytes of the request are written to a connection.
//
// A leader whose database has been unavailable for a lease duration gives up the Lease, so that a process with a better
// connection can take over.
package leader
