// Package controller is the core of Kontroler. It turns DAGs and DagRuns into Pods, and the outcomes of Pods into rows.
// It has no API but the custom resources.
//
// # The road
//
// A DagRun passes four syncs. Each gathers, decides, commits and acts, in this order:
//
//	admissions.go  a DagRun becomes a run: its row is written, then the DagRun is claimed
//	runs.go        the sync of a run: gather.go reads, package engine decides, act.go creates and stops Pods
//	reaper.go      a finished Pod: its log is stored, it is deleted, its finalizer is removed
//	status.go      the status of DagRuns and DAGs, the final status of a run, Events
//
// The tests of these files are tables of what may happen: each case says what is there before one sync, and after it.
//
// Beside the road:
//
//	controller.go  configuration; what outlives a term of leadership
//	term.go        one term: its parts, its workers, its start; core.go what all parts use
//	informers.go   watches, and which change enqueues what
//	dags.go        DAGs: claimed (claims.go), compiled with their DagTasks (dagtasks.go), stored as versions
//	gatekeeper.go  refused creates
//	workspace.go   the claim of a run
//	troubles.go    conditions of DAGs whose syncs fail; outage.go of DagRuns while the database is unavailable
//	existing.go    objects of the existing Kontroler
//
// # The rooms
//
// The packages below know nothing of this one:
//
//	engine      the state machine of a run
//	leader      the Lease, the epoch, the check before every request
//	queue       the workqueue contract, what changed of a run, --max-pods, namespaces that refuse objects
//	informer    caches across namespaces, and what bridges their lag
//	pod         the spec of a Pod, what its status says
//	versions    stored versions of DAGs
//	schedule    due times become DagRuns
//	logs        the logs of task containers
//	podevents   Events of Pods
//	webhook     notifications of endings
//	retention   DagRuns and history that expire
//	install     what a cluster must have and allow; uninstalling
//	conditions  objects whose syncs fail
//	metrics, clock, names, kube, text, wait, fault   small tools
//
// # Invariants
//
//   - A Pod is created or deleted only after the commit that decided it. Pods that are in no row are the exception. The
//     claim of a workspace is created first, and is recorded before a Pod uses it.
//   - Two writers of one run cannot both succeed, because a row is only written in the phase that the writer expects.
//     The worker that syncs a run decides for it. The reaper also writes: it records what the cluster has already done.
//   - What is in memory can be lost at any instant. Rows and a fresh list rebuild it.
//   - An object that is not ours by label and owner is never changed.
package controller
