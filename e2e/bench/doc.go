// Package bench measures what no test may assert: times. Its benchmarks are run by hand, by `make bench`, against a bare
// Kubernetes (etcd, API server, controller manager: no node) and a PostgreSQL, both of their own, with the controller as it
// is shipped. The completer (e2e/completer) ends every Pod as soon as it is created, so that all that is measured is
// Kontroler and what it asks of the other two.
//
//	shapes_linux_test.go     a chain, many small runs, a wide run: by the controller, and raw beside it
//	raw_linux_test.go        the writes of a shape without Kontroler
//	schedules_linux_test.go  many DAGs that are due in one minute
//	limit_linux_test.go      what the requests of that take without Kontroler
//	rig_linux_test.go        cluster, database, controller, completer; processor time
//
// Everything shares one machine: look at the processor time of each part, which others on the machine change little, before
// the seconds on the clock.
package bench
