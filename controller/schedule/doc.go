// Package schedule decides what becomes of the due times of a schedule. It is pure: no I/O, the time is passed in.
//
// Invariants:
//   - Every due time after the cursor and not after now is in exactly one tick, in order, until Decision.More is false.
//   - The cursor never goes back, whatever the clock does: nothing is accounted for twice, so nothing runs twice.
//   - One decision looks at a bounded number of due times: a gap of years is counted in several.
//   - A gap makes no more runs than its limit; what does not run is a stretch, one tick for many due times.
//
// Daylight saving is robfig/cron's, as in Kubernetes' CronJob: a wall-clock time that is skipped is not due on that day,
// one that is repeated is due both times. "@every" counts elapsed time and sees neither.
package schedule
