// Package engine is the state machine of a run: a pure function from what one
// sync gathered to what it commits. It does no I/O, reads no clock and knows
// neither PostgreSQL nor Kubernetes.
//
// A Slice goes in: the run's counters, the attempts that changed, their tasks,
// those tasks' children, and facts about Pods. Transitions come out, written
// to a Ledger, and with them what to do to the cluster once they are
// committed (Next). The engine never holds a whole run: a sync costs what
// changed.
//
// What can never happen, whatever the order of events, repeats or losses:
//   - a task starts before all its parents have succeeded;
//   - an outcome is counted twice, or an attempt begins while another of its
//     task is live;
//   - a run ends while a task of it may still run, or has nothing left to do
//     and does not end.
//
// phases.go is the vocabulary, pod.go says what ended an attempt, decide.go
// is the order of one decision, tasks.go what an outcome does to its task and
// the tasks after it.
package engine
