// Package queue decides when and in which order keys are synced.
//
//	queue.go     the workqueue contract, in one function
//	fair.go      shares the workers of a queue between namespaces
//	priority.go  an order of keys: urgent keys first
//	alarms.go    keys that are due at a time
//	pending.go   what changed in a run since its last sync
//	counted.go   attempts that have just ended, for the sync that cleans up their Pods
//	slots.go     shares --max-pods between namespaces, and within a namespace between its runs
//	gates.go     namespaces that refuse objects: one create at a time probes them
//	failures.go  logs failed syncs, and a database that answers pings but fails operations
//	parallel.go  requests of one sync, several at a time
//
// A key is synced by one worker at a time. Everything here may be lost at any instant: rows and a fresh list rebuild
// it.
package queue
