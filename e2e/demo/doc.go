// Command demo shows Kontroler at work: it starts a real Kubernetes node, a throwaway PostgreSQL, the controller and
// the server, runs manifests/examples/demo.yaml and follows the run in the terminal. Then it shows where the UI and the
// server are, and how to sign in. `make demo` builds and runs it at the top of the repository.
//
//	ONCE=1           exits when the run has ended, with 0 if it succeeded
//	CLUSTER=current  uses the cluster of KUBECONFIG instead of starting a node
//	NO_COLOR=1       prints no colours
//
// The flag -ui names the directory of the UI. scripts/demo builds it if it finds Node; without it the demo has no UI.
// The demo itself serves the UI, and passes the API on. It does not start nginx of the shipped image: that needs root,
// a root file system of its own and a package to download, and with CLUSTER=current the demo needs none of them. The
// suite web has nginx.
//
// It reads what every user can read: the views of schema kontroler_v1, the status of the DagRun and the logs of the
// Pods.
//
//	main.go       the sequence of steps
//	steps.go      a step that reports its progress; cleanup
//	node.go       the cluster; database.go, controller.go, server.go, ui.go: the other parts
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
