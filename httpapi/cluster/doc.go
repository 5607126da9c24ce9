// Package cluster is what Kontroler's server knows of Kubernetes: DAGs, DagTasks and DagRuns, and clients for what it
// changes there and for the logs of Pods.
//
//	clients.go  Clients, and who sends their requests
//	reader.go   Reader, the watch of DAGs and DagTasks
//	scope.go    lists of the namespaces that can be read
//	source.go   whether a kind can be read in a namespace
//	feed.go     what a watch delivers
//	watch.go    how a watch begins
//	index.go    the objects of a kind, by namespace and name
//	trim.go     what is kept of an object
//	live.go     reads past the watch: one object, DagRuns without a row
//	errors.go   what the API server did not do
//
// # Invariants
//
//   - It reads no Secret.
//   - client-go's own limit of requests is off. The API server bounds the server by its priority and fairness.
//   - The server works while the API server is away: what needs it fails by itself with an *Error, and the rest goes
//     on. A Reader recovers by itself, at most ten seconds after the API server answers again.
//   - A namespace that cannot be read, because it grants nothing, is gone, or is not answered for, takes no other one
//     with it: a List has what is in the others, and names it. If none can be read, that is an *Error. A change is
//     logged once, and reported to the metrics.
//   - A Reader answers from a watch that is open, or that is being opened again, which takes a minute at most. A list
//     that comes through a watch counts when it is complete.
//   - An API server that vanishes without closing its connections is noticed after 45 seconds, by HTTP/2's pings.
//   - An object that is being deleted counts as deleted, even if a finalizer holds it.
//   - The watch keeps about 2 KiB of a DAG and 1 KiB of a DagTask: no tasks, parameters or annotations. Labels, the
//     names of the DagTasks of a DAG and the message of its condition Valid (32 KiB at most) come on top. At a start,
//     and after a watch that was away for long, whole objects pass through memory one by one if the API server streams
//     lists (Kubernetes 1.34), else in one list.
//
// # Permissions
//
// The Reader needs, in every namespace of --namespaces or in the cluster:
//
//	kontroler.greedykomodo  dags, dagtasks  get, list, watch
//	kontroler.greedykomodo  dagruns         get, list
package cluster
