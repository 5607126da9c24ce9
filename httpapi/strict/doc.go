// Package strict finds what is wrong with a JSON text that encoding/json would accept silently, or report without its
// place. It is pure.
//
// # Invariants
//
//   - A text without faults is one that encoding/json decodes into the type, without losing a field.
//   - Each fault has the JSON pointer of its value, in which an ellipsis stands for names that make it too long. All
//     faults are reported, up to MaxFaults.
//   - The work is linear in the text. Nesting is bounded, so that no text exhausts the stack.
//   - No fault quotes a value.
package strict
