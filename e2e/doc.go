// Package e2e holds the end-to-end tests of Kontroler that need a kubelet: live Pods, logs, Events, nodes, volumes,
// scripts, and one path of everything else. The real controller, built with the race detector and with crash points, runs
// on a real Kubernetes node and a real PostgreSQL, seen from outside only: by custom resources, Pods, and the views of the
// read contract. Each test has a namespace, a database and controllers of its own, so that they run beside one another, and
// checks the final rows of its runs. What is about rows, resources and time is in e2e/control; what both share, in
// e2e/harness.
//
// KUBECONFIG names a cluster whose node shares this machine's temporary directory, where tasks leave their side effects;
// without it the tests start one (see cluster), which needs root. They are skipped where there is none and with -short,
// but fail where CI is set.
package e2e
