// Package logs reads the logs of task containers through the API server and stores them.
//
// A log is read when its attempt has ended. That is too late for a Pod that is deleted while it runs: once the
// container has ended, the kubelet removes container and log together. The log of such a Pod is read by a stream, which
// is opened while the container still runs. DAGs with "logs: follow" have their logs read by streams from the start.
//
//	keeper.go   Keeper, the API of the package
//	capture.go  reads a log after its container has ended
//	turns.go    limits how many logs are captured at the same time
//	streams.go  which Pods have a stream
//	follow.go   a stream, from its first byte to its last
//	read.go     requests for logs
//	row.go      the row of a log: its state and its message
//
// The package knows Pods, attempts, and the rows of logs. It knows neither DAGs nor queues: callbacks return the log
// policy of a version and enqueue Pods. Package podlog keeps the content of a log in bounded memory.
//
// Invariants:
//   - An attempt gets at most one row. A repeat writes nothing.
//   - A log that may lack lines says so in its row, and where.
//   - No log holds a Pod back forever. A log that cannot be read or stored in time is stored as lost, with the reason.
//   - A node that does not answer delays the logs of its own Pods only.
//   - Memory is bounded: by the limit of a log for each of the ReadsAtOnce captures, and by one budget for all streams,
//     which no namespace can use up alone.
//   - Everything in memory may be lost. The next leader reads the logs of the Pods that still exist.
package logs
