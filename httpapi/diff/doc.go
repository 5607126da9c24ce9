// Package diff compares JSON values. It matches the items of a list by their names, not by their positions. It does no
// I/O.
package diff
