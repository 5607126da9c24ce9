// Package harness is the code that end-to-end tests share. It starts the cluster, gives each test a namespace and a
// database, starts and kills controllers, counts the side effects of tasks, and checks final rows. Only tests import
// it.
//
//	suite.go       what all tests of a package share: the cluster, the CRDs, the controller's binary
//	accounts.go    the service accounts that controllers run as; account.go: one of them, as kustomize renders it
//	world.go       what one test has to itself
//	process.go     the process of a controller: start it, stop it, kill it at a crash point
//	tasks.go       tasks, gates, and how often tasks ran
//	watch.go       every Pod that was created
//	rows.go        rows of the views; ledger.go: schedules, versions, epochs
//	final.go       what must be true of every run that has ended
//	scenes.go      runs during which a controller dies; points.go: the crash points
//	receiver.go    a receiver of notifications
//
// The Options of Main say whether the cluster of a package has a node. With a node, tasks are containers that run shell
// scripts and leave their side effects in a directory that they share with the test. Without a node, the completer
// (e2e/completer) plays the Pods, and side effects are counted from the Pods that were created. Both kinds of tests use
// the same functions: see Until, Once, Sh and Play.
package harness
