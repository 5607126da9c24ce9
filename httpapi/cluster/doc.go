// Package cluster reads DAGs, DagTasks and DagRuns from Kubernetes for Kontroler's server. It also makes the clients
// with which the server writes objects and reads the logs of Pods.
//
//	clients.go  the clients of the API server, and their user agent
//	reader.go   Reader, the watch of DAGs and DagTasks
//	scope.go    lists of several namespaces, and those that cannot be read
//	source.go   whether a kind can be read in a namespace
//	feed.go     keeps an index up to date with a watch
//	watch.go    how a watch begins
//	index.go    the objects of a kind, by namespace and name
//	trim.go     drops the parts of objects that are not needed
//	live.go     reads that bypass the watch: one object, DagRuns without a row
//	errors.go   the errors of requests to the API server
//
// # Invariants
//
//   - It reads no Secret.
//   - The client-side rate limit of client-go is off. The API server limits requests by API Priority and Fairness.
//   - The server works while the API server is unavailable: only what needs it fails, with an *Error. A Reader recovers
//     by itself, at most ten seconds after the API server answers again.
//   - A namespace may be unreadable: it lacks the Role, does not exist, or requests for it fail. This does not affect
//     other namespaces: a List has their objects, and names the unreadable ones. If no namespace can be read, the error
//     is an *Error. A change is logged once, and reported to the metrics.
//   - A Reader answers while its watch is open, and for at most a minute while it is reopened. A list that is streamed
//     through a watch is used when it is complete.
//   - HTTP/2 pings detect within 45 seconds an API server that vanishes without closing its connections.
//   - An object that is being deleted counts as deleted, even if a finalizer holds it.
//   - The watch keeps about 2 KiB of a DAG and 1 KiB of a DagTask: no tasks, parameters or annotations. This does not
//     include labels, the names of the DagTasks of a DAG, and the message of its condition Valid (32 KiB at most). At a
//     start, and after a watch was down for long, whole objects are read: one by one if the API server streams lists
//     (Kubernetes 1.34), else in one list.
//
// # Permissions
//
// The Reader needs, in every namespace of --namespaces or in the cluster:
//
//	kontroler.greedykomodo  dags, dagtasks  get, list, watch
//	kontroler.greedykomodo  dagruns         get, list
package cluster
