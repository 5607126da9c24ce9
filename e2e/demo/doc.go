// Command demo shows Kontroler at work: it starts a real Kubernetes node, a throwaway PostgreSQL and the controller, runs
// manifests/examples/demo.yaml and follows the run in the terminal. `make demo` builds and runs it at the top of the
// repository.
//
//	ONCE=1           end when the run has ended, with exit code 0 when it succeeded
//	CLUSTER=current  use the cluster of KUBECONFIG instead of starting a node
//	NO_COLOR=1       no colours
//
// It reads what happens where anybody may: the views of schema kontroler_v1, the DagRun's status and the Pods' logs.
//
//	main.go       the story, from the first step to the last
//	steps.go      steps that say what they do; what is to be undone
//	node.go       the cluster; database.go, controller.go the two other parts
//	manifests.go  what is applied
//	rows.go       what the database says
//	podlogs.go    what the containers say
//	follow.go     the run, live
//	table.go      the picture of a live run: pure
//	layout.go     where the tasks of a DAG are drawn: pure
//	picture.go    the picture of the DAG: pure
//	terminal.go   a terminal, or what is none
//
// Whatever it started is ended when it ends, also on Ctrl-C, in the opposite order; also when it is killed, but for the
// files in its temporary directory.
package main
