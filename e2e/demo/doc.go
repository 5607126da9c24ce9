// Command demo shows Kontroler at work: it starts a real Kubernetes node, a throwaway PostgreSQL, the controller and the
// server, runs manifests/examples/demo.yaml and follows the run in the terminal. Then it shows where the server is, and
// how to log in. `make demo` builds and runs it at the top of the repository.
//
//	ONCE=1           exits when the run has ended, with 0 if it succeeded
//	CLUSTER=current  uses the cluster of KUBECONFIG instead of starting a node
//	NO_COLOR=1       prints no colours
//
// It reads what every user can read: the views of schema kontroler_v1, the status of the DagRun and the logs of the
// Pods.
//
//	main.go       the sequence of steps
//	steps.go      a step that reports its progress; cleanup
//	node.go       the cluster; database.go, controller.go, server.go: the other parts
//	manifests.go  what is applied
//	rows.go       the rows of a run
//	podlogs.go    the logs of its containers
//	follow.go     the live run
//	table.go      the table of a live run (pure)
//	layout.go     the layout of a DAG (pure)
//	picture.go    the drawing of a DAG (pure)
//	terminal.go   output, to a terminal or not
//
// When it ends, also after Ctrl-C, it stops what it has started, in reverse order. If it is killed, only the files in
// its temporary directory stay.
package main
