// Package bench measures times, which no test may assert. `make bench` runs it with the controller as it is shipped,
// against a Kubernetes without nodes (etcd, API server, controller manager) and a PostgreSQL of its own. The completer
// (e2e/completer) ends every Pod as soon as it is created. The results therefore show only Kontroler, the API server
// and PostgreSQL.
//
//	shapes_linux_test.go     a chain, many small runs, a wide run: by the controller, and by raw writes
//	chart_linux_test.go      their results as an SVG
//	raw_linux_test.go        the writes of a shape without Kontroler
//	release_linux_test.go    ways to delete a finished Pod and remove its finalizer
//	years_linux_test.go      the controller on the first day, and with the runs of a year in its database
//	schedules_linux_test.go  many DAGs that are due in one minute
//	limit_linux_test.go      the requests for the first Pods of these runs, without Kontroler
//	idle_linux_test.go       a controller with many DAGs and DagRuns and nothing to do
//	server_linux_test.go     reading over REST from a database with a year of history, which needs no cluster
//	listeners_linux_test.go  1,000 listeners of events
//	beside_linux_test.go     what server and listeners cost the controller
//	history_linux_test.go    that database
//	pgbench_linux_test.go    the statements of these requests, by pgbench
//	rig_linux_test.go        cluster, database, controller, completer; processor time
//
// All parts share one machine. Compare the processor time of each part rather than elapsed time, because other work on
// the machine changes it little.
package bench
