// Command crdbounds completes the CustomResourceDefinitions that controller-gen writes.
//
// controller-gen copies core/v1 into the schemas: its descriptions, which would make the CRDs too large for `kubectl
// apply`, and its types, which have no bounds. crdbounds
//   - keeps the descriptions of Kontroler's own fields, and replaces those of core/v1 and meta/v1 by the name of the
//     type;
//   - gives every array, string, map and integer without a bound a generous one, so that the API server can estimate
//     the cost of CEL rules;
//   - makes a schema accept only what the Go types decode. An object that the API server accepts and a typed informer
//     cannot decode would stop the informer for all objects.
//
// If it cannot bound a schema, it fails and names the path.
package main
