package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// RunKey identifies a run. ID is the database's, the other fields are the DagRun's.
type RunKey struct {
	ID                   int64
	UID, Namespace, Name string
}

// Counts are the numbers of a run's tasks by phase.
type Counts struct {
	Total, Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled int
}

// Run is the row of a run. Zero times are NULL. IDs and VersionNumber are 0 if the run has none.
type Run struct {
	RunKey
	DAGName                            string
	DAGID, VersionID, VersionNumber    int64
	Phase, Reason, Message, Stop, Hold string
	Parameters                         []byte
	Counts                             Counts
	CreatedAt, AdmittedAt              time.Time
	StartedAt, DeadlineAt, FinishedAt  time.Time
	// WorkspaceUID is the UID of the claim that the run's Pods use. It is empty until the claim is known to exist.
	WorkspaceUID string
}

// NewRun is a run to admit or refuse. If DAGID is 0, the run belongs to the DAG with its name, if there is a row.
// Parameters is JSON; nil is the empty list. DeadlineSeconds counts from AdmittedAt; 0 means no deadline.
type NewRun struct {
	UID, Namespace, Name, DAGName string
	DAGID, VersionID              int64
	Parameters                    []byte
	CreatedAt, AdmittedAt         time.Time
	DeadlineSeconds               int64
	// NotifyFailed means that Refuse writes a notification.
	NotifyFailed bool
	Origin       Origin
}

// Origin is what a DagRun says about where it comes from. The zero value means that it is not known.
type Origin struct {
	// Trigger is Schedule, API or Manual.
	Trigger string
	// RequestedBy is the name of the requester. It is set if and only if Trigger is API. PostgreSQL indexes at most
	// 2,700 bytes.
	RequestedBy string
	// DueAt is the due time. It is zero unless Trigger is Schedule.
	DueAt time.Time
}

// NewTask is a task of a run to admit. Parents are the positions of the tasks that must succeed before it, in ascending
// order. A task without parents is admitted as Ready.
type NewTask struct {
	Position int
	Name     string
	Parents  []int32
}

const (
	runColumns = `r.id, r.uid::text, r.namespace, r.name, r.dag_name,
       coalesce(r.dag_id, 0), coalesce(r.dag_version_id, 0), coalesce(v.version, 0),
       r.phase, r.reason, r.message, r.stop, r.hold, r.parameters,
       r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
       r.created_at, r.admitted_at, r.started_at, r.deadline_at, r.finished_at, coalesce(r.workspace_uid::text, '')`
	sqlRunByUID = `
SELECT ` + runColumns + `
FROM kontroler.runs r LEFT JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
WHERE r.uid = $1`
	// sqlRunAdmit writes a run and its tasks, and the change for readers, as one transaction. It returns no row if
	// there is a run with this UID. A run that is refused because its DAG is invalid now belongs to that DAG, if it has
	// a row.
	sqlRunAdmit = `
WITH fence AS (
    SELECT e.epoch FROM kontroler.epochs e WHERE e.shard = $7 FOR SHARE
), r AS (
    INSERT INTO kontroler.runs (uid, namespace, name, dag_name, dag_id, dag_version_id, shard, phase, reason, message,
                                parameters, total, waiting, ready, created_at, admitted_at, deadline_at, finished_at,
                                trigger, requested_by, due_at)
    VALUES ($1, $2, $3, $4, coalesce($5, (SELECT d.id FROM kontroler.dags d WHERE d.namespace = $2 AND d.name = $4)),
            $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $23, $24, $25)
    ON CONFLICT (uid) DO NOTHING
    RETURNING *
), tasks AS (
    INSERT INTO kontroler.tasks (run_id, position, name, parents, unmet, phase, due_at, ready_at)
    SELECT r.id, c.position, c.name, c.parents::integer[], cardinality(c.parents::integer[]),
           CASE WHEN c.parents = '{}' THEN 'Ready' ELSE 'Waiting' END,
           CASE WHEN c.parents = '{}' THEN $16::timestamptz END, CASE WHEN c.parents = '{}' THEN $16::timestamptz END
    FROM r CROSS JOIN unnest($20::integer[], $21::text[], $22::text[]) AS c (position, name, parents)
    RETURNING id
), change AS (
    INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id)
    SELECT 'run', r.id, r.namespace, r.dag_id FROM r
)
SELECT ` + runColumns + `
FROM r LEFT JOIN kontroler.dag_versions v ON v.id = r.dag_version_id
WHERE kontroler.check_write((SELECT epoch FROM fence), $19, (SELECT count(*) FROM tasks), $12)::text = ''`
	sqlRunDiscard = `
WITH gone AS (DELETE FROM kontroler.runs WHERE id = $1 AND phase = 'Pending' RETURNING id, namespace, dag_id)
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id) SELECT 'run', id, namespace, dag_id FROM gone`
	sqlRunWorkspace = `
UPDATE kontroler.runs SET workspace_uid = $2
WHERE id = $1 AND phase IN ('Pending', 'Running') AND coalesce(workspace_uid, $2) = $2`
	sqlRunNewest = `
SELECT r.name, r.phase, coalesce(r.finished_at, r.admitted_at) FROM kontroler.runs r
WHERE r.dag_id = (SELECT d.id FROM kontroler.dags d WHERE d.namespace = $1 AND d.name = $2)
ORDER BY r.admitted_at DESC, r.id DESC LIMIT 1`
	sqlRunExists = `SELECT EXISTS (SELECT FROM kontroler.runs WHERE id = $1)`
	sqlRunsLive  = `
SELECT r.id, r.uid::text, r.namespace, r.name FROM kontroler.runs r
WHERE r.shard = $1 AND r.id > $2 AND r.phase IN ('Pending', 'Running')
ORDER BY r.id LIMIT $3`
)

// NewestRun is the run of a DAG that was admitted last. At is the time when it ended, or was admitted if it is live.
type NewestRun struct {
	Name, Phase string
	At          time.Time
}

// NewestRun reads the newest run of a DAG. found reports whether it exists.
func (l *Leader) NewestRun(ctx context.Context, namespace, dag string) (run NewestRun, found bool, err error) {
	row := l.pool.reader().QueryRowContext(ctx, sqlRunNewest, namespace, dag)
	found, err = postgres.ScanRow(ctx, row, &run.Name, &run.Phase, nullTime(&run.At))
	return run, found, postgres.Failed(ctx, err, "reading the newest run of DAG %s/%s", namespace, dag)
}

// Admit writes a run and its tasks in one transaction. If a run with its UID exists, in whatever phase, Admit returns
// it unchanged.
func (l *Leader) Admit(ctx context.Context, run NewRun, tasks []NewTask) (Run, error) {
	admitted, err := l.pool.writeNewRun(ctx, run, "Pending", "", "", tasks)
	return admitted, postgres.Failed(ctx, err, "admitting run %s/%s", run.Namespace, run.Name)
}

// Refuse writes a run that has Failed and has no tasks. If a run with its UID exists, in whatever phase, Refuse returns
// it unchanged.
func (l *Leader) Refuse(ctx context.Context, run NewRun, reason, message string) (Run, error) {
	refused, err := l.pool.writeNewRun(ctx, run, "Failed", reason, message, nil)
	return refused, postgres.Failed(ctx, err, "refusing run %s/%s", run.Namespace, run.Name)
}

// writeNewRun writes a run, or reads the one with its UID.
func (p *termPool) writeNewRun(
	ctx context.Context, run NewRun, phase, reason, message string, tasks []NewTask,
) (written Run, err error) {
	insert := func(q querier) (err error) {
		written, err = insertRun(ctx, q, p.term, run, phase, reason, message, tasks)
		return err
	}
	if run.NotifyFailed && phase == "Failed" {
		err = p.write(ctx, func(q querier) error {
			if err := insert(q); err != nil {
				return err
			}
			return writeNotices(ctx, q, written.ID, []Notice{{Event: "RunFailed", At: run.AdmittedAt}})
		})
	} else {
		err = p.writeAutocommit(ctx, insert)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return written, err
	}
	written, err = scanRun(p.reader().QueryRowContext(ctx, sqlRunByUID, run.UID))
	return written, postgres.Classify(ctx, err)
}

// insertRun writes the row of a run, its tasks and a change. sql.ErrNoRows means that a run with its UID exists.
func insertRun(
	ctx context.Context, q querier, term Term, run NewRun, phase, reason, message string, tasks []NewTask,
) (Run, error) {
	ready := 0
	positions, names, parents := make([]int64, len(tasks)), make([]string, len(tasks)), make([]string, len(tasks))
	for i, t := range tasks {
		positions[i], names[i], parents[i] = int64(t.Position), t.Name, arrayText(t.Parents)
		if len(t.Parents) == 0 {
			ready++
		}
	}
	parameters := "[]"
	if len(run.Parameters) > 0 {
		parameters = string(run.Parameters)
	}
	var deadline, finished time.Time
	if run.DeadlineSeconds > 0 {
		deadline = run.AdmittedAt.Add(time.Duration(run.DeadlineSeconds) * time.Second)
	}
	if phase == "Failed" {
		finished = run.AdmittedAt
	}
	row := q.QueryRowContext(ctx, sqlRunAdmit,
		run.UID, run.Namespace, run.Name, run.DAGName, nullID(run.DAGID), nullID(run.VersionID), term.Shard,
		phase, reason, clean(message), parameters, len(tasks), len(tasks)-ready, ready,
		timestamp(run.CreatedAt), timestamp(run.AdmittedAt), timestamp(deadline), timestamp(finished), term.Epoch,
		positions, names, parents,
		nullText(run.Origin.Trigger), nullText(clean(run.Origin.RequestedBy)), timestamp(run.Origin.DueAt))
	return scanRun(row)
}

// Discard removes a run that is still Pending, with its tasks. A run that does not exist is no error. If the run has
// begun, the error is ErrConflict.
func (l *Leader) Discard(ctx context.Context, runID int64) error {
	err := l.pool.write(ctx, func(q querier) error {
		discarded, err := postgres.Affected(q.ExecContext(ctx, sqlRunDiscard, runID))
		if err != nil || discarded > 0 {
			return err
		}
		var hasBegun bool
		if err := q.QueryRowContext(ctx, sqlRunExists, runID).Scan(&hasBegun); err != nil {
			return err
		}
		if hasBegun {
			return fmt.Errorf("%w: it has begun", ErrConflict)
		}
		return nil
	})
	return postgres.Failed(ctx, err, "discarding run %d", runID)
}

// RecordWorkspace records the claim that a live run's Pods will use. ErrConflict means that the run has another claim,
// or has ended.
func (l *Leader) RecordWorkspace(ctx context.Context, runID int64, uid string) error {
	err := l.pool.write(ctx, func(q querier) error {
		updated, err := q.ExecContext(ctx, sqlRunWorkspace, runID, uid)
		if err := postgres.Expect(1, updated, err); err != nil {
			return err
		}
		return recordRunChanges(ctx, q, runID)
	})
	return postgres.Failed(ctx, err, "recording the workspace of run %d", runID)
}

// RunByUID reads the run of a DagRun. found reports whether it exists.
func (l *Leader) RunByUID(ctx context.Context, uid string) (run Run, found bool, err error) {
	found, err = postgres.ScanRow(ctx, l.pool.reader().QueryRowContext(ctx, sqlRunByUID, uid), runFields(&run)...)
	return run, found, postgres.Failed(ctx, err, "reading the run with UID %s", uid)
}

func scanRun(row *sql.Row) (r Run, err error) {
	err = row.Scan(runFields(&r)...)
	return r, err
}

// runFields are the destinations of runColumns.
func runFields(r *Run) []any {
	c := &r.Counts
	return []any{
		&r.ID, &r.UID, &r.Namespace, &r.Name, &r.DAGName, &r.DAGID, &r.VersionID, &r.VersionNumber,
		&r.Phase, &r.Reason, &r.Message, &r.Stop, &r.Hold, &r.Parameters,
		&c.Total, &c.Waiting, &c.Ready, &c.Active, &c.Succeeded, &c.Failed, &c.Skipped, &c.Cancelled,
		nullTime(&r.CreatedAt), nullTime(&r.AdmittedAt), nullTime(&r.StartedAt), nullTime(&r.DeadlineAt),
		nullTime(&r.FinishedAt), &r.WorkspaceUID,
	}
}

// LiveRuns lists up to limit live runs of a shard whose ID is above afterID, by ID.
func (l *Leader) LiveRuns(ctx context.Context, shard int, afterID int64, limit int) ([]RunKey, error) {
	runs, err := postgres.ReadRows(ctx, l.pool.db, func(rows *sql.Rows) (k RunKey, err error) {
		err = rows.Scan(&k.ID, &k.UID, &k.Namespace, &k.Name)
		return k, err
	}, sqlRunsLive, shard, afterID, limit)
	return runs, postgres.Failed(ctx, err, "listing live runs")
}
