// Package controller is the core of Kontroler: it turns DAGs and DagRuns into
// Pods and what becomes of the Pods into rows, and it offers no API but the
// custom resources.
//
// One sync of one run gathers facts, lets package engine decide, commits one
// transaction and only then touches the cluster. Everything else here serves
// that sentence:
//
//	controller.go  what a controller is made of; a term as leader
//	informers.go   watches, hand-written, on trimmed objects
//	dirty.go       what changed beside a run's key
//	dags.go        claim, compile, version a DAG
//	dagtasks.go    version a DagTask, resolve the taskRefs of a DAG
//	admit.go       a DagRun becomes a run
//	runs.go        the sync of a run
//	gather.go      the facts of a sync
//	act.go         Pods created and stopped, after the commit
//	reaper.go      Pods whose outcome is counted: log kept, finalizer off, deleted
//	workspace.go   the claim of a run: made, found lost, explained, deleted
//	clock.go       the database's time; deletions.go when the grace of a deleted Pod is over
//	rush.go        what makes way while much is to be started
//	status.go      projections and Events
//	outage.go      DagRuns told that the database is away; troubles.go objects told why their syncs fail
//	claims.go      whose DAG it is
//	locks.go       one reader and storer of an object at a time
//
// Rooms, packages below that know nothing of this one:
//
//	leader    the Lease, the epoch, the check before every request
//	queue     the workqueue contract, --max-pods, namespaces that refuse Pods
//	schedule  due times become DagRuns
//	informer  caches across namespaces
//	pod       the spec of a Pod, what its status says
//	names     derived names
//	podevents Events of Pods: stored with the attempt, and why a Pod does not start
//	logs      the logs of task containers, read and stored
//	install   what the cluster must have and allow; what is removed from it at the end
//	webhook   the outbox of notifications: claimed, sent, recorded
//	retention DagRuns and history that are deleted after their time
//	kube, text, wait   answers of the API server, bounded texts, pauses
//
// Invariants:
//   - Nothing is created or deleted in the cluster that was not committed before.
//   - Two writers of one run cannot both succeed: every transition is a guarded UPDATE. The worker that holds a run's
//     key decides for it; the reaper, which also writes, records what the cluster has already done.
//   - What is in memory (change sets, slots, gates, created Pods) can be
//     lost at any instant: it is rebuilt from the rows and a fresh list.
//   - An object that is not ours by label and owner is never touched.
package controller
