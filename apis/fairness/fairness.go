// Package fairness divides a shared resource between its users: the workers of a queue and the memory for logs between
// namespaces, and the places for hashing passwords between networks.
//
// It is below apis because the controller and the server both use it and do not import each other.
package fairness

// Share returns how much of all one party may have: half of what the others leave, and at least one. No party can
// take everything, however early it comes, so a party that comes later also gets a share.
func Share[N int | int64](all, ofOthers N) N { return max(1, (all-ofOthers)/2) }
