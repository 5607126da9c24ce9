// Package manifest reads the manifests of DAGs and DagTasks that clients send: one object, as JSON or YAML. It is pure.
//
// # What it takes
//
// It takes the name, labels, annotations and spec of a manifest, as kubectl would. Output of kubectl get -o yaml may be
// sent as it is: status and the fields of metadata that Kubernetes writes are dropped, and so are finalizers, owner
// references and the annotation of kubectl apply, which are others' business.
//
// # Invariants
//
//   - A manifest means what it means to kubectl, or it is refused: YAML is converted by the same package.
//   - Unknown and duplicate fields, a second object, and another kind, namespace or name than the path has are refused.
//   - Each fault has a JSON pointer, and the line if the manifest is YAML. No fault quotes a value of the spec.
//   - Depth and size are bounded, also of what the aliases of YAML expand to. Nothing panics.
package manifest
