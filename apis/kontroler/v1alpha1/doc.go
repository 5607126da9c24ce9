// Package v1alpha1 has the wire types of Kontroler's custom resources: DAG, DagRun and DagTask, group
// kontroler.greedykomodo, version v1alpha1.
//
// A DAG describes a workflow, a DagRun runs it once, a DagTask is a task that DAGs share. Status is a projection of
// PostgreSQL and does not grow with the number of tasks.
//
// Invariants:
//   - A manifest that was written for Kontroler v0.5 to v0.11 decodes into these types and keeps its meaning, except
//     for dsl and WorkerPool.
//   - Everything that the schema accepts decodes into these types. One object that the API server accepts and an
//     informer cannot decode would stop that informer. This is the reason for the bounds and patterns below.
//
// The kubebuilder markers define the schema. `make generate` turns them into the CustomResourceDefinitions in
// manifests/crd.
//
// +k8s:deepcopy-gen=package
// +groupName=kontroler.greedykomodo
package v1alpha1
