// House checks that the repository is built as its design says: which package may import what, which modules the root
// go.mod may require, what lies at the top of the repository, how long a function may be, and that what is exported is
// documented. What may be is in table.go, and only there.
//
//	go run ./house -root ..
//
// prints one line for each fault and exits 1 when there is any. Generated files are not looked at; tests are held to the
// imports only.
package main
