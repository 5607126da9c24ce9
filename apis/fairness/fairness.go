// Package fairness divides what many use between those who use it: the workers of a queue and the memory for logs
// between namespaces, the places to hash passwords between networks.
//
// It lies in apis because the controller and the server both divide something, and do not import each other.
package fairness

// Share returns how much of all one party may have: half of what the others leave, and at least one. So no party takes
// everything, however early it comes, and a party that comes later has a share, too.
func Share[N int | int64](all, ofOthers N) N { return max(1, (all-ofOthers)/2) }
