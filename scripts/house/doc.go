// Command house checks the structure of the repository: which package may import what, which modules the root go.mod
// may require, what may be at the top of the repository, how large packages, types and functions and how wide lines may
// be, and that exported names are documented. table.go states the rules.
//
//	go run ./house -root ..
//
// prints a line for each fault, and exits with 1 if there is one. With -sizes it prints the sizes of the packages
// instead. Generated files are not checked. In tests only imports and lines are checked.
package main
