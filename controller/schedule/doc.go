// Package schedule runs DAGs at the times that their specs name: it turns due times into DagRuns.
//
//	scheduler.go  the loop: one sync accounts for what is due, creates DagRuns and sets a timer
//	plan.go       pure: plans one transaction from the row of a schedule, its DAG and its runs
//	decide.go     pure: turns due times into ticks
//	runs.go       finds, creates, takes back and replaces the runs of a schedule
//	dagruns.go    requests for their DagRuns, and what the answers mean
//	refusals.go   DagRuns that the API server refuses, and when to try again
//	timers.go     when each schedule is due next
//	status.go     the last and the next due time in a DAG's status
//
// It knows DAGs, the rows of schedules and scheduled DagRuns. It knows nothing of tasks and Pods: the controller runs a
// DagRun once it exists. The ledger of a schedule is in the database. Each of its rows, a tick, is one due time that
// ran or overlapped, or a stretch of due times that did not run. The cursor is the last due time in the ledger.
//
// Invariants:
//   - Every due time up to the cursor is in exactly one tick, in order. A sync ends with the cursor at the last due
//     time up to now, unless it has more to decide.
//   - One transaction writes the ticks and moves the cursor. Only then are DagRuns created. After a crash between the
//     two, the next sync finds the DagRun, or takes its due time back and decides it again.
//   - A decision does not move the cursor back, whatever the clock does: no due time is accounted for twice, so none
//     runs twice. Only taking back a due time that has no DagRun moves it back.
//   - The name of a DagRun derives from its DAG and its due time: a create that is repeated finds the same DagRun.
//   - One decision reads a bounded number of due times: a gap of years takes several.
//   - A gap starts no more runs than its limit. Due times that do not run form a stretch: one tick for many of them.
//
// Daylight saving follows robfig/cron, as Kubernetes' CronJob does: a wall-clock time that is skipped is not due on
// that day, and one that is repeated is due both times. "@every" counts elapsed time and is not affected.
package schedule
