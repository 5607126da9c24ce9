// Package dag compiles the spec of a DAG into a graph that the engine can run, or into the list of its faults.
//
// A task may take its fields from a DagTask. CompileWith merges the task's own fields over those of the DagTask, and
// CheckTask validates a DagTask.
//
// The package also answers questions that depend on the spec alone: the parameters of a run (Resolve), the retry
// policy of a task (Retry), what a version of a DAG or DagTask pins (Encode, EncodeTask, Hash, Decode), when a
// schedule is due (SplitSchedule, ParseSchedule), and which valid fields have a surprising effect (Warnings,
// TaskWarnings).
//
// Invariants:
//   - The package is pure. It uses no clock, network or cluster. The only outside input is the time zone database. A
//     copy of it is linked in, so that a valid zone is known everywhere.
//   - The schema is not trusted. A spec that bypassed it (over REST, from the database, from an older
//     CustomResourceDefinition) gets an answer and never a panic.
//   - All faults are reported together, each with its path. Their number and every quoted value are limited. A value
//     that may be a secret is never quoted.
//   - The same spec gives the same graph, the same faults in the same order, and the same bytes.
//   - Compile takes linear time in tasks and edges, except for sorting the parents of each task, and does not recurse.
//     A chain of 10,000 tasks is not a special case.
//   - A Graph is immutable and shared between goroutines. The results of its methods are read-only.
package dag
