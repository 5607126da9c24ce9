package view

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
)

// Node is a task as a graph shows it.
type Node struct {
	Position            int
	Name, Phase, Reason string
}

// Edges are the tasks of a version of a DAG by position, each with the names of its parents.
type Edges []NamedTask

// NamedTask is a task of a version of a DAG.
type NamedTask struct {
	Name    string
	Parents []string
}

// RunTasks are the tasks of a run in a grid, as arrays in the order of the DAG. Retried and Restarted are the names of
// those that were retried or restarted.
type RunTasks struct{ Names, Phases, Retried, Restarted []string }

// RunAttempt is an attempt of a task as a timeline shows it. Zero times are NULL.
type RunAttempt struct {
	Task                  string
	Number                int
	Phase, Reason         string
	StartedAt, FinishedAt time.Time
}

// MaxCells is the maximum number of cells of a grid and of attempts of a run, and MaxNodes that of tasks of a graph.
const (
	MaxCells = 50_000
	MaxNodes = 10_000
)

const (
	sqlNodes = `
SELECT t.position, t.name, t.phase, t.reason FROM kontroler_v1.tasks t
WHERE t.run_id = $1 AND t.index = 0 ORDER BY t.position LIMIT $2`
	sqlPhases = `
SELECT t.name, t.phase FROM kontroler_v1.tasks t WHERE t.run_id = $1 AND t.name = ANY ($2::text[]) AND t.index = 0`
	sqlEdges = `
SELECT coalesce(e.task->>'name', ''),
       ARRAY(SELECT jsonb_array_elements_text(coalesce(nullif(e.task->'runAfter', 'null'), '[]')))
FROM kontroler_v1.versions v CROSS JOIN LATERAL jsonb_array_elements(v.spec->'task') WITH ORDINALITY AS e (task, nth)
WHERE v.id = $1 ORDER BY e.nth`
	// A task that has no attempt is not looked up.
	sqlRunAttempts = `
SELECT t.name, a.number, a.phase, a.reason, a.started_at, a.finished_at
FROM kontroler_v1.tasks t CROSS JOIN LATERAL (
    SELECT x.* FROM kontroler_v1.attempts x WHERE x.task_id = t.id ORDER BY x.number DESC LIMIT $2) a
WHERE t.run_id = $1 AND t.index = 0 AND t.attempts > 0 ORDER BY t.position, a.number DESC LIMIT $3`
	// One row for each run: 50,000 rows with one task each would take three times as long. No name and no phase has a
	// comma.
	sqlCells = `
SELECT t.names, t.phases, t.retried, t.restarted
FROM unnest($1::bigint[]) WITH ORDINALITY AS w (run_id, nth)
CROSS JOIN LATERAL (
    SELECT string_agg(o.name, ',') AS names, string_agg(o.phase, ',') AS phases,
           string_agg(o.name, ',') FILTER (WHERE o.retries > 0) AS retried,
           string_agg(o.name, ',') FILTER (WHERE o.restarts > 0) AS restarted
    FROM (SELECT x.name, x.phase, x.retries, x.restarts FROM kontroler_v1.tasks x
          WHERE x.run_id = w.run_id AND x.index = 0 ORDER BY x.position LIMIT $2) o) t
ORDER BY w.nth`
)

// Nodes reads all tasks of a run, by position.
func (db TaskReader) Nodes(ctx context.Context, runID int64) ([]Node, error) {
	nodes, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (n Node, err error) {
		err = rows.Scan(&n.Position, &n.Name, &n.Phase, &n.Reason)
		return n, err
	}, sqlNodes, runID, MaxNodes)
	return nodes, db.classify(ctx, "reading the tasks of a run", err)
}

// Phases returns the phases of tasks of a run by their names.
func (db TaskReader) Phases(ctx context.Context, runID int64, names []string) (map[string]string, error) {
	phases := map[string]string{}
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (struct{}, error) {
		var name, phase string
		err := rows.Scan(&name, &phase)
		phases[name] = phase
		return struct{}{}, err
	}, sqlPhases, runID, names)
	return phases, db.classify(ctx, "reading the phases of tasks", err)
}

// Edges reads the tasks of a version with their parents, without what they run.
func (db TaskReader) Edges(ctx context.Context, versionID int64) (Edges, error) {
	edges, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (t NamedTask, err error) {
		err = rows.Scan(&t.Name, (*pq.StringArray)(&t.Parents))
		return t, err
	}, sqlEdges, versionID)
	return edges, db.classify(ctx, "reading the graph of a version", err)
}

// RunAttempts reads the attempts of a run, by the position of their tasks and newest first: at most MaxPage of each
// task, and at most MaxCells in all. hasMore reports that the run has more than MaxCells.
func (db TaskReader) RunAttempts(ctx context.Context, runID int64) (attempts []RunAttempt, hasMore bool, err error) {
	attempts, err = postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (a RunAttempt, err error) {
		err = rows.Scan(&a.Task, &a.Number, &a.Phase, &a.Reason, nullTime(&a.StartedAt), nullTime(&a.FinishedAt))
		return a, err
	}, sqlRunAttempts, runID, MaxPage, MaxCells+1)
	hasMore = len(attempts) > MaxCells
	return attempts[:min(len(attempts), MaxCells)], hasMore, db.classify(ctx, "reading the attempts of a run", err)
}

// Cells reads the tasks of each of the runs, in their order. Together the runs must have at most MaxCells tasks.
func (db TaskReader) Cells(ctx context.Context, runIDs []int64) ([]RunTasks, error) {
	cells, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (r RunTasks, err error) {
		var names, phases, retried, restarted sql.NullString
		err = rows.Scan(&names, &phases, &retried, &restarted)
		return RunTasks{split(names), split(phases), split(retried), split(restarted)}, err
	}, sqlCells, runIDs, MaxNodes)
	return cells, db.classify(ctx, "reading the tasks of runs", err)
}

// split returns texts that are joined by commas. NULL is none.
func split(joined sql.NullString) []string {
	if !joined.Valid {
		return nil
	}
	return strings.Split(joined.String, ",")
}
