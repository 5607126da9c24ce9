// Package v1alpha1 holds the wire types of Kontroler's custom resources: DAG,
// DagRun and DagTask, group kontroler.greedykomodo, version v1alpha1.
//
// A DAG is an order ("this is the workflow"), a DagRun is an order ("run it
// once, with these parameters"), a DagTask is a task that several DAGs share.
// Status is a projection of what PostgreSQL holds and never grows with the
// number of tasks.
//
// Invariants:
//   - A manifest written for Kontroler v0.5 to v0.11 decodes into these types
//     and means what it meant (but for dsl and WorkerPool).
//   - Whatever the schema accepts decodes into these types: a field that
//     could be accepted and not decoded would stop the informer of everybody.
//     Hence every bound and pattern below.
//
// The kubebuilder markers are the schema: `make generate` turns them into the
// CustomResourceDefinitions in manifests/crd.
//
// +k8s:deepcopy-gen=package
// +groupName=kontroler.greedykomodo
package v1alpha1
