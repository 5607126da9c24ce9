// Package conditions keeps track of objects whose syncs fail, and sets their conditions.
//
// A failure becomes a condition only if it lasts. Errors that say nothing about the object are ignored.
package conditions
