// Package view reads the history of runs from the views of schema kontroler_v1, for Kontroler's server.
//
// # Invariants
//
//   - It reads no table. Its queries name only views and their columns. A role that was named in --reader-roles may run
//     all of them.
//   - It writes nothing. Its sessions are read-only, and the server ends a statement after a timeout.
//   - A list has a Scope: the namespaces that its caller may see. The zero Scope is empty, and so is a list with it. A
//     row outside of the scope is neither returned nor counted. A method without a Scope reads what belongs to a row
//     that the caller already has.
//   - A list has at most MaxPage rows, and a page costs the same wherever it is in the list. Nothing counts rows to
//     number pages. A Cursor is a position in the order of the list, so that rows that appear or go meanwhile shift
//     nothing. A filter without an index of its own, such as a trigger together with a DAG, reads past the rows that it
//     drops.
//   - The text of a query is made of constants. Values are parameters.
//   - Tests read the plans of the queries, with default settings and fresh statistics.
//
// Errors have the kinds of package store: ErrUnavailable when a later try may succeed, and a *ContractError when the
// views are missing, too old, or not granted.
package view
