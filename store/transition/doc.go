// Package transition is the state machine of runs, tasks and attempts as values: one type for each transition.
//
// Package engine decides transitions, package store writes them. A transition names the phases that it leads from and
// to; the store refuses one that starts from any other phase. Times are UTC. A zero due time means that nothing is due.
//
//	run      Pending → Running → Succeeded | Failed | Cancelled
//	task     Waiting → Ready → Active → Succeeded | Failed | Cancelled
//	                           Active → Ready       backed off before its next attempt
//	         Waiting → Skipped                      a parent did not succeed
//	         Waiting, Ready → Cancelled             the run is being stopped
//	attempt  Decided → Pending → Running → Succeeded | Failed | Lost | Cancelled
//	         Decided, Pending, Running → Stopping → Succeeded | Failed | Lost | Cancelled
//
// An attempt may skip phases that the controller did not observe, and may end from any live phase.
package transition
