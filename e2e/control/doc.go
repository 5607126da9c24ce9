// Package control holds the end-to-end tests of Kontroler that need no kubelet, but a real API server, a real PostgreSQL and
// the real controller: schedules, retention, notifications, DagTasks, classes, kubectl, the start, the leader, databases that
// stop or are restored, wide runs, crash points. The cluster has no node: the completer (e2e/completer) plays the Pods, and
// how often a task ran is counted from the Pods that were created.
//
// CONTROL_KUBECONFIG names such a cluster (e2e/cluster/run up DIR --no-node); without it the tests start one, which needs
// root. They are skipped where there is none and with -short, but fail where CI is set.
package control
