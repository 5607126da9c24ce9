// Package manifests tests what people apply to install Kontroler: the kustomizations of manifests, as kubectl renders
// them, and the examples of manifests/README.md, which the tests read from there.
//
// Every rendered object must pass the API server's dry run, and every Pod the admission of a namespace that enforces
// Pod Security restricted. The rights of the service account must be exactly those that the controller checks at start.
// No kustomization may have a Secret, and no overlay the custom resources or a namespace: deleting it would delete more
// than it should.
//
// The SQL of manifests/README.md, and its commands for backups and moves of the database, run on a PostgreSQL of their
// own, as a role that is no superuser.
//
// KUBECONFIG names the API server, which needs no node. The tests install the custom resources there, and make
// namespaces and ClusterRoles of their own; all else is a dry run. They need kubectl: that of the cluster, or the one
// on the PATH. Without one of them a test is skipped; with CI=true it fails instead.
package manifests
