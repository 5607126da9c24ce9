// Package control contains the end-to-end tests of Kontroler that need a real API server, a real PostgreSQL and the
// real controller, but no kubelet: schedules, retention, notifications, DagTasks, classes, kubectl, start, leader
// election, databases that stop or are restored, wide runs, crash points. The cluster has no node. The completer
// (e2e/completer) plays the Pods, and tests count how often a task ran by the Pods that were created.
//
// CONTROL_KUBECONFIG names such a cluster (e2e/cluster/run up DIR --no-node). Without it, the tests start one, which
// needs root. Without a cluster, and with -short, they are skipped; with CI=true they fail instead.
package control
