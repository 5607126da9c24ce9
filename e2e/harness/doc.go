// Package harness is what end-to-end tests share: the cluster, a database and a namespace for each test, controllers that
// are started and killed, tasks whose side effects are counted, and the checks of final rows. Only tests import it.
//
//	suite.go       what all tests of a package share: the cluster, the CRDs, the controller's binary
//	world.go       what one test has to itself
//	process.go     a controller's process: started, stopped, killed at a crash point
//	tasks.go       tasks, gates, and how often tasks ran
//	watch.go       every Pod that was created
//	rows.go        the rows of the read contract; ledger.go: schedules, versions, epochs
//	final.go       what holds of every run that has ended
//	scenes.go      runs during which a controller dies; points.go: where it can
//	receiver.go    a receiver of notifications
//
// A package of tests runs on one of two stages, which Main is told. On a node tasks are containers that run shell scripts
// and leave their side effects in a directory that the test shares with them. Without a node the completer
// (e2e/completer) plays the Pods, and what ran is counted from the Pods that were created. Tests are written in the same
// words for both: see Until, Once, Sh and Play.
package harness
