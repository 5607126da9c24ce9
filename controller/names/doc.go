// Package names derives the names of what a controller creates: Pods, claims, scheduled DagRuns, Events.
//
// A name is a function of its inputs and is the same in every version: a create that is repeated after a crash finds
// its object instead of making another one. It ends in a hash, so that different inputs give different names even where
// the readable part is cut.
package names
