// Package strict finds faults in a JSON text that encoding/json would accept silently, or report without their place.
// It does no I/O.
//
// # Invariants
//
//   - encoding/json can decode a text without faults into the type, without dropping a field.
//   - Each fault has the JSON pointer of its value. In a pointer that is too long, an ellipsis replaces names. All
//     faults are reported, up to MaxFaults.
//   - The work is linear in the text. Nesting is bounded, so that no text exhausts the stack.
//   - No fault quotes a value.
package strict
