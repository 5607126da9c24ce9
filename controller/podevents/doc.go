// Package podevents stores the Events of Pods with the attempts that the Pods belong to. It also remembers, for each
// Pod whose container has not started, the newest Event about its start.
//
//	keeper.go   Keeper, the API of the package
//	read.go     lists and watches Events, one reader for each namespace
//	write.go    writes Events to the database in batches
//	backlog.go  Events between the readers and the database: matched to Pods, merged, batched
//	event.go    an Event of the API as a row
//	starts.go   the newest Event about the start of a Pod
//
// The first three do I/O; the others are pure. The package changes nothing in the cluster, and knows only the UIDs of
// runs.
//
// Invariants:
//   - An Event is stored only if the controller created its Pod. All other Events are dropped by name and UID.
//   - Everything in memory may be lost at any instant. The next list returns the Events that the API server still has,
//     and storing an Event again changes nothing.
//   - Memory is bounded, however many Events there are. When the backlog is full, the readers wait; the API server
//     keeps the Events.
package podevents
