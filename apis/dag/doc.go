// Package dag turns the spec of a DAG into a graph that the engine can run,
// or into the list of everything that is wrong with it.
//
// A task may take what it does from a DagTask: CompileWith merges what the task
// gives itself over it, and CheckTask tells what is wrong with a DagTask.
//
// It also answers the questions that follow from the spec alone: the
// parameters of one run (Resolve), the retry policy of a task (Retry), what a
// version of a DAG or DagTask pins (Encode, EncodeTask, Hash, Decode), when a
// schedule is due (SplitSchedule, ParseSchedule) and what is valid but has
// another effect than it seems (Warnings, TaskWarnings).
//
// Invariants:
//   - Pure: no clock, no network, no cluster. The one thing read from outside
//     is the time zone database; a copy of it is linked in, so that a valid
//     zone is known everywhere.
//   - The schema is not trusted: a spec that never went through it (over REST,
//     from the database, from an older CustomResourceDefinition) gets an
//     answer, never a panic.
//   - Every fault is told at once, each with its path; the list, and every
//     value quoted in it, is bounded. A value that may be a secret is never
//     quoted.
//   - The same spec gives the same graph, the same faults in the same order
//     and the same bytes, whatever the order of Go's maps.
//   - Compile takes time linear in tasks and edges (but for sorting the
//     parents of one task) and never recurses: a chain of 10,000 tasks is
//     nothing special.
//   - A Graph is immutable and shared between goroutines. What its methods
//     return is read-only.
package dag
