// Package install installs Kontroler as its READMEs say, from its images, on a real node, and removes it again.
//
//	install_test.go     the steps, one after the other
//	quickstart_test.go  the lines of README.md, a schedule with a time zone
//	people_test.go      two people who live the whole life of a DAG with the server; api_test.go: their curl
//	password_test.go    an administrator without a password: the lines of manifests/README.md and httpapi/README.md
//	wrong_test.go       what kubectl tells after a mistake: the table What if of manifests/README.md
//	production_test.go  another PostgreSQL, mTLS, webhooks, a killed leader, an upgrade
//	uninstall_test.go   the lines of manifests/README.md
//	site_test.go        the cluster and its images
//	database_test.go    a PostgreSQL outside of the cluster; receiver_test.go: an HTTPS server
//	postgres            a stand-in for the official image of PostgreSQL
//
// The commands are read from the READMEs (package readme). On a node of this machine, the push to a registry is
// replaced by a load into the node's registry, whose name is new in each run, so that no earlier image is taken for
// this one.
//
// The package needs the cluster for itself: it installs for all namespaces, and removes the custom resources in the
// end. It refuses a cluster that has a namespace kontroler or DAGs. With CLUSTER=current it uses the reader's cluster
// and pushes to REGISTRY. What needs a server on this machine that Pods reach is skipped there: production, and with it
// the webhook, the killed leader and the upgrade.
package install
