// Package compat holds the wire contract of Kontroler's custom resources, tested against a real Kubernetes API server.
//
// The fixtures are manifests of every form that Kontroler v0.5 to v0.11 took, named after the version that brought the
// form, and of the forms since. They must apply unchanged, with strict field validation, and decode into the Go types
// with nothing lost. Bad input must be refused with a message that names the fault, and whatever is accepted must decode:
// one object that does not would stop every typed informer.
//
// KUBECONFIG names the API server; the tests install the CRDs of manifests/crd there. Without it they are skipped, but
// fail where CI is set. What can be told from the CRDs alone is tested without an API server.
package compat
