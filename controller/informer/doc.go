// Package informer caches the objects of a kind across namespaces.
//
//	informer.go   Set, the cache of one kind
//	indexes.go    the names of the indexes
//	trim.go       what the caches keep of DAGs, DagTasks and DagRuns
//	deletions.go  when this process first saw that a Pod is being deleted
//	uidset.go     UIDSet, objects on which an action must not be repeated
//
// Cached objects are shared and read-only. A cache may lag behind the API server. UIDSet bridges that gap where an
// action must not be repeated before its effect is visible. Deletions remembers when a deletion was first seen.
package informer
