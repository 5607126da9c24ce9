// Package compat tests the schemas of Kontroler's custom resources against a real Kubernetes API server.
//
// The fixtures are manifests for the existing Kontroler, v0.5 to v0.11, each named after the version that introduced
// its form, and manifests with newer fields. They must apply unchanged, with strict field validation, and decode into
// the Go types without loss. Invalid input must be refused with a message that names the fault. Everything that is
// accepted must decode: one object that does not would stop every typed informer.
//
// KUBECONFIG names the API server. The tests install the CRDs of manifests/crd there. Without it they are skipped; with
// CI=true they fail instead. Tests that only read the CRDs need no API server.
package compat
