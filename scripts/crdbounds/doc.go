// Crdbounds finishes the CustomResourceDefinitions that controller-gen writes.
//
// controller-gen copies the whole of core/v1 into the schemas: its prose, which would make the CRDs too large for
// `kubectl apply`, and its types without limits. Crdbounds
//   - keeps the descriptions of Kontroler's own fields and drops those of the fields below them that belong to core/v1
//     or meta/v1, leaving the name of the type to look up;
//   - gives every array, string, map and integer that has no bound a generous one, so that CEL costs can be estimated;
//   - closes the gaps between what a schema accepts and what the Go types decode: an object that the API server accepts
//     and a typed informer cannot decode would stop the informer for everybody.
//
// It fails on a construct that it cannot bound, and names its path.
package main
