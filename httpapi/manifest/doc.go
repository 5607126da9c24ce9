// Package manifest decodes the manifests of DAGs and DagTasks that clients send: one object, as JSON or YAML. It does
// no I/O.
//
// # What it takes
//
// It takes the name, labels, annotations and spec of a manifest, as kubectl would. Output of kubectl get -o yaml may be
// sent as it is: status and the fields of metadata that Kubernetes writes are dropped, and so are finalizers, owner
// references and the annotation of kubectl apply, which belong to other tools.
//
// # Invariants
//
//   - A manifest means what it means to kubectl, or it is refused: YAML is converted by the same package.
//   - Refused are unknown and duplicate fields, a second object, and a kind, namespace or name that differs from the
//     path.
//   - Each fault has a JSON pointer, and the line if the manifest is YAML. No fault quotes a value of the spec.
//   - Depth and size are bounded, including the expansion of YAML aliases. No input causes a panic.
package manifest
