// Package controller is the core of Kontroler. It turns DAGs and DagRuns into Pods, and the outcomes of Pods into rows.
// The custom resources are its only API.
//
// # Flow of a run
//
// A DagRun passes through four syncs. Each gathers, decides, commits and acts, in that order:
//
//	syncAdmission     admissions.go: a DagRun becomes a run; its row is written, then the DagRun is claimed
//	syncRun           runs.go: gather.go reads, package engine decides, act.go creates and stops Pods
//	podReaper.sync    reaper.go: the log of a finished Pod is stored, the Pod is deleted, its finalizer is removed
//	syncFinalStatus   runs.go: the workspace is deleted, the final status of the DagRun is written
//
// The tests of these files are tables. Each case lists what exists before one sync, and after it.
//
// Other files:
//
//	controller.go   configuration; what outlives a term of leadership
//	term.go         one term: its parts, its workers, its start; core.go what all parts use
//	informers.go    watches, and which change enqueues what
//	status.go       the final status of DagRuns, and their Events; events.go the Events of DAGs
//	progress.go     the status of live DagRuns, the last runs of DAGs
//	transitions.go  which transitions change a status or notify
//	dags.go         DAGs: claimed (claims.go), compiled with their DagTasks (dagtasks.go), stored as versions
//	gatekeeper.go   refused creates
//	workspace.go    the PersistentVolumeClaim of a run
//	syncerrors.go    conditions of DAGs and DagRuns whose syncs fail; noteRun in runs.go records those of runs
//	outage.go       the status of DagRuns while the database is unavailable
//	pauses.go       namespaces that get no requests for a while after one has failed
//
// # Packages below
//
// None of them imports this package, except cmd/controller:
//
//	engine          the state machine of a run
//	leader          the Lease, the epoch, the check before every request
//	queue           the workqueue contract, fair shares of workers and of --max-pods, pending changes of runs,
//	                gates for namespaces that refuse creates
//	informer        caches across namespaces, and sets that bridge their lag
//	pod             the spec of a Pod, what its status says
//	versions        stored versions of DAGs
//	schedule        turns due times into DagRuns
//	logs            the logs of task containers
//	podlog          the head and the tail of a log, in bounded memory
//	podevents       Events of Pods
//	webhook         notifications when tasks and runs end
//	retention       deletes expired DagRuns and history
//	existing        removes finalizers of the existing Kontroler
//	install         preflight checks; uninstalling
//	conditions      conditions of objects whose syncs fail
//	cmd/controller  the main of the controller: flags, clients, shutdown
//	metrics, clock, names, kube, text, wait, fault   small tools
//
// # Invariants
//
//   - A Pod is created or deleted only after the commit that decided it. The exceptions are Pods without a row. The
//     claim of a workspace is created first, and is recorded before a Pod uses it.
//   - Two writers of one run cannot both succeed, because a row is only written in the phase that the writer expects.
//     The worker that syncs a run decides for it. The reaper also writes, but records only what the cluster has already
//     done.
//   - What is in memory can be lost at any instant. Rows and a fresh list rebuild it.
//   - A namespace in which requests hang or are refused does not delay the others: each namespace has a share of the
//     workers of every queue, and of the slots.
//   - An object that is not ours by label and owner is never changed.
package controller
