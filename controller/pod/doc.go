// Package pod builds the Pods and the claims of runs, and interprets the status of Pods. It is pure: no I/O, no clock.
//
//	build.go       the spec of an attempt's Pod
//	claim.go       the claim of a run's workspace
//	facts.go       the facts about a Pod for the engine (Facts); what the informer keeps of a Pod (Trim)
//	startevent.go  Events about the start of a Pod
//
// A Pod belongs to a run by its owner reference and, unless somebody removed them, by its labels.
package pod
