// Package e2e contains the end-to-end tests of Kontroler that need a kubelet: live Pods, logs, Events, nodes, volumes,
// scripts, and one path through everything else. The real controller, built with the race detector and with crash
// points, runs against a real Kubernetes node and a real PostgreSQL. The tests see it only from outside: through custom
// resources, Pods, and the views of schema kontroler_v1. Each test has a namespace, a database and controllers of its
// own, so that tests run in parallel, and checks the final rows of its runs. Tests of rows, resources and time are in
// e2e/control. Both share e2e/harness. Tests of live logs also start the real server.
//
// KUBECONFIG names a cluster whose node shares the temporary directory of this machine, where tasks leave their side
// effects. Without it, the tests start a cluster (e2e/cluster), which needs root. Without a cluster, and with -short,
// they are skipped; with CI=true they fail instead.
package e2e
