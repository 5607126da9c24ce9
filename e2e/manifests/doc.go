// Package manifests tests what people apply to install Kontroler: the kustomizations of manifests, as kubectl renders
// them, and the examples of manifests/README.md, which the tests read from there.
//
// Every rendered object must pass the API server's dry run, and every Pod the admission of a namespace that enforces Pod
// Security restricted. The rights of the service account must be exactly those that the controller checks at start. No
// kustomization may have a Secret, and no overlay the custom resources or a namespace: deleting it would delete more
// than it should.
//
// KUBECONFIG names the API server, which needs no node. The tests make namespaces of their own there, install the custom
// resources, and otherwise only ask. They need kubectl: that of the cluster, or the one on the PATH. What is missing
// skips a test; with CI=true it fails the test instead.
package manifests
