package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// RunProgress says what a run waits for and which of its tasks have failed.
type RunProgress struct {
	// Pending is the number of live attempts whose container has not started.
	Pending int
	// Waiting are the first tasks that wait for something outside the graph: those with an attempt first, then those
	// whose next attempt is backing off. WaitingTotal counts all such tasks.
	Waiting      []TaskReason
	WaitingTotal int
	// Failed are the first failed tasks, by position.
	Failed []TaskReason
	// Stopping are the first attempts whose Pods are being stopped. StoppingTotal is how many there are.
	Stopping      []StoppingPod
	StoppingTotal int
}

// TaskReason is the name of a task and the reason of its phase.
type TaskReason struct{ Task, Reason, Message string }

// StoppingPod is the Pod of an attempt that is being stopped, and why. Node is empty if it is not known.
type StoppingPod struct{ Task, Reason, Pod, Node string }

// sqlRunProgress reads names only if the counts show that there are some: its cost must not grow with the run.
const sqlRunProgress = `
SELECT ` + runColumns + `, live.pending, live.waiting + backing_off.n, live.stopping,
       (SELECT coalesce(json_agg(w), '[]') FROM (
           SELECT t.name AS task, a.reason, a.message FROM (
               SELECT x.id, x.task_id, x.reason, x.message FROM kontroler.attempts x
               WHERE x.run_id = r.id AND x.phase IN ('Decided', 'Pending') AND x.reason <> ''
               ORDER BY x.id LIMIT CASE WHEN live.waiting > 0 THEN $3::integer ELSE 0 END) a
           JOIN kontroler.tasks t ON t.id = a.task_id ORDER BY a.id) w),
       (SELECT coalesce(json_agg(w), '[]') FROM (
           SELECT t.name AS task, t.reason, t.message FROM kontroler.tasks t
           WHERE t.run_id = r.id AND t.phase = 'Ready' AND t.reason <> '' AND t.due_at > $2
           ORDER BY t.due_at, t.position LIMIT $3) w),
       (SELECT coalesce(json_agg(f), '[]') FROM (
           SELECT t.name AS task, t.reason, t.message FROM kontroler.tasks t
           WHERE t.run_id = r.id AND t.phase = 'Failed'
           ORDER BY t.position, t.index LIMIT least($3::integer, r.failed)) f),
       (SELECT coalesce(json_agg(s), '[]') FROM (
           SELECT t.name AS task, a.stop AS reason, a.pod_name AS pod, a.node FROM (
               SELECT x.id, x.task_id, x.stop, x.pod_name, x.node FROM kontroler.attempts x
               WHERE x.run_id = r.id AND x.phase = 'Stopping'
               ORDER BY x.id LIMIT CASE WHEN live.stopping > 0 THEN $3::integer ELSE 0 END) a
           JOIN kontroler.tasks t ON t.id = a.task_id ORDER BY a.id) s)
FROM kontroler.runs r LEFT JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE a.phase <> 'Stopping') AS pending,
           count(*) FILTER (WHERE a.phase <> 'Stopping' AND a.reason <> '') AS waiting,
           count(*) FILTER (WHERE a.phase = 'Stopping') AS stopping
    FROM kontroler.attempts a WHERE a.run_id = r.id AND a.phase IN ('Decided', 'Pending', 'Stopping')) live
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM kontroler.tasks t
    WHERE t.run_id = r.id AND t.phase = 'Ready' AND t.reason <> '' AND t.due_at > $2) backing_off
WHERE r.uid = $1`

// Progress reads the run of a DagRun, and what it waits for at a time. It names at most limit tasks of each kind. found
// reports whether the run exists.
func (l *Leader) Progress(
	ctx context.Context, uid string, now time.Time, limit int,
) (run Run, p RunProgress, found bool, err error) {
	var waiting, backingOff, failed, stopping []byte
	fields := append(runFields(&run), &p.Pending, &p.WaitingTotal, &p.StoppingTotal,
		&waiting, &backingOff, &failed, &stopping)
	row := l.pool.reader().QueryRowContext(ctx, sqlRunProgress, uid, timestamp(now), limit)
	if found, err = postgres.ScanRow(ctx, row, fields...); !found {
		return run, p, false, postgres.Failed(ctx, err, "reading the progress of the run with UID %s", uid)
	}
	var later []TaskReason
	if err := errors.Join(json.Unmarshal(waiting, &p.Waiting), json.Unmarshal(backingOff, &later),
		json.Unmarshal(failed, &p.Failed), json.Unmarshal(stopping, &p.Stopping)); err != nil {
		return Run{}, RunProgress{}, false, fmt.Errorf("decoding the progress of the run with UID %s: %w", uid, err)
	}
	p.Waiting = append(p.Waiting, later...)
	p.Waiting = p.Waiting[:min(len(p.Waiting), limit)]
	return run, p, true, nil
}
