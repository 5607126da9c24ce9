// Package install checks that a cluster is ready for a controller, and removes the finalizers that a controller leaves
// in a cluster.
//
//	preflight.go    the API server, the custom resources, the UID of the cluster
//	permissions.go  the permissions that a controller needs
//	uninstall.go    the finalizers of Pods, after the controller has stopped
//
// Both run once, from the command line, and need no database. Invariants:
//   - Preflight changes nothing in the cluster.
//   - An error of Preflight is one line that says what to do.
//   - Uninstall removes Kontroler's own finalizer only, and only while no controller that it concerns holds its Lease.
package install
