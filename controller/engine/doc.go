// Package engine is the state machine of a run: a pure function from what one
// sync gathered to what it commits. It does no I/O, reads no clock and knows
// neither PostgreSQL nor Kubernetes.
//
// A Snapshot goes in: the run's counters, the attempts that changed, their
// tasks, those tasks' children, and facts about Pods. A Decision comes out:
// transitions to commit together, and what to do to the cluster once they are
// committed. The engine never holds a whole run: a sync costs what changed.
//
// What can never happen, whatever the order of events, repeats or losses:
//
//   - a task starts before all its parents have succeeded;
//
//   - an outcome is counted twice, or an attempt begins while another of its
//     task is live;
//
//   - a run ends while a task of it may still run, or has nothing left to do
//     and does not end.
//
//     phases.go    the phases and reasons
//     snapshot.go  what a decision needs to know, and what of it is missing
//     decide.go    the order of one decision
//     pod.go       how an attempt ended
//     tasks.go     what an outcome means for its task and the tasks after it
package engine
