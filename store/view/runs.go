package view

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"kontroler/store/internal/postgres"
)

// Run is the row of a run. Zero times are NULL. DAGID and VersionID are 0 if the run has none.
type Run struct {
	ID                           int64
	UID, Namespace, Name, DAG    string
	DAGID, VersionID             int64
	Phase, Reason, Message, Stop string
	Hold                         string
	// Parameters is JSON. Only Run and NewestRun read it: it may have more than a megabyte.
	Parameters                        []byte
	Counts                            Counts
	CreatedAt, AdmittedAt             time.Time
	StartedAt, DeadlineAt, FinishedAt time.Time
	// Trigger is Schedule, API or Manual. It is empty for a run of an earlier version. RequestedBy and DueAt are what
	// the DagRun claims.
	Trigger, RequestedBy string
	DueAt                time.Time
}

// Counts are the numbers of a run's tasks by phase.
type Counts struct {
	Total, Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled int
}

// RunFilter selects runs. Empty fields select all.
type RunFilter struct {
	Scope Scope
	// DAG is the name of a DAG.
	DAG string
	// Phases selects runs that are in one of these phases.
	Phases []string
	// Trigger is Schedule, API or Manual; RequestedBy the name of a requester, whose runs have the trigger API.
	Trigger, RequestedBy string
	// NamePrefix is the prefix of the names of the runs.
	NamePrefix string
	// Since and Until bound the admission: from Since on, before Until.
	Since, Until time.Time
}

const (
	runColumns = `r.id, r.uid::text, r.namespace, r.name, r.dag_name,
       coalesce(r.dag_id, 0), coalesce(r.dag_version_id, 0),
       r.phase, r.reason, r.message, r.stop, r.hold,
       r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
       r.created_at, r.admitted_at, r.started_at, r.deadline_at, r.finished_at,
       coalesce(r.trigger, ''), coalesce(r.requested_by, ''), r.due_at`
	sqlRunByUID = `
SELECT ` + runColumns + `, r.parameters FROM kontroler_v1.runs r WHERE r.uid = $1`
	sqlRunNewest = `
SELECT ` + runColumns + `, r.parameters FROM kontroler_v1.runs r
WHERE r.namespace = $1 AND r.name = $2 ORDER BY r.id DESC LIMIT 1`
)

// Run reads the run of the DagRun with this UID, whatever its namespace. found reports whether it exists.
func (db *DB) Run(ctx context.Context, uid string) (run Run, found bool, err error) {
	if !isUUID(uid) {
		return Run{}, false, nil
	}
	return db.oneRun(ctx, sqlRunByUID, uid)
}

// NewestRun reads the newest of the runs with this name. found reports whether there is one.
func (db *DB) NewestRun(ctx context.Context, namespace, name string) (run Run, found bool, err error) {
	return db.oneRun(ctx, sqlRunNewest, namespace, name)
}

func (db *DB) oneRun(ctx context.Context, query string, args ...any) (Run, bool, error) {
	runs, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (r Run, err error) {
		err = rows.Scan(append(r.columns(), &r.Parameters)...)
		return r, err
	}, query, args...)
	if err != nil {
		return Run{}, false, db.classify(ctx, "reading a run", err)
	}
	if len(runs) == 0 {
		return Run{}, false, nil
	}
	return runs[0], true, nil
}

// Runs lists runs, newest admission first. ErrCursor means that the cursor is not one of a page.
func (db *DB) Runs(ctx context.Context, filter RunFilter, request PageRequest) (Page[Run], error) {
	from, err := request.Cursor.decode()
	if err != nil {
		return Page[Run]{}, err
	}
	query, args := runsQuery(filter, from, request.limit()+1)
	if query == "" {
		return Page[Run]{}, nil
	}
	runs, err := postgres.ReadRows(ctx, db.pool, scanRun, query, args...)
	if err != nil {
		return Page[Run]{}, db.classify(ctx, "listing runs", err)
	}
	return newPage(runs, from, request, func(r Run) position { return position{at: r.AdmittedAt, id: r.ID} }), nil
}

func scanRun(rows *sql.Rows) (r Run, err error) {
	err = rows.Scan(r.columns()...)
	return r, err
}

// columns returns the destinations of runColumns.
func (r *Run) columns() []any {
	c := &r.Counts
	return []any{
		&r.ID, &r.UID, &r.Namespace, &r.Name, &r.DAG, &r.DAGID, &r.VersionID,
		&r.Phase, &r.Reason, &r.Message, &r.Stop, &r.Hold,
		&c.Total, &c.Waiting, &c.Ready, &c.Active, &c.Succeeded, &c.Failed, &c.Skipped, &c.Cancelled,
		nullTime(&r.CreatedAt), nullTime(&r.AdmittedAt), nullTime(&r.StartedAt), nullTime(&r.DeadlineAt),
		nullTime(&r.FinishedAt), &r.Trigger, &r.RequestedBy, nullTime(&r.DueAt),
	}
}

// The sources of a list: the keys whose runs it merges. Each key has an index with its runs in the order of the list.
const (
	ofNamespaces = `unnest(%s::text[]) AS s (key)`
	// ofAllNamespaces jumps from namespace to namespace in the index.
	ofAllNamespaces = `(
    WITH RECURSIVE n AS (
        (SELECT x.namespace FROM kontroler_v1.runs x ORDER BY x.namespace LIMIT 1)
        UNION ALL
        SELECT (SELECT x.namespace FROM kontroler_v1.runs x WHERE x.namespace > n.namespace
                ORDER BY x.namespace LIMIT 1)
        FROM n WHERE n.namespace IS NOT NULL)
    SELECT n.namespace AS key FROM n WHERE n.namespace IS NOT NULL) s`
	ofDAGs = `(SELECT d.id AS key FROM kontroler_v1.dags d WHERE d.name = %s%s) s`
)

// phaseGroups are sets of phases, each with the condition that selects it. Conditions on phases and triggers are
// constants, so that a plan for any argument can use the indexes that have these phases or triggers alone.
var phaseGroups = []struct {
	phases    []string
	condition string
}{
	{[]string{"Pending", "Running"}, ` AND r.phase IN ('Pending', 'Running')`},
	{[]string{"Pending"}, ` AND r.phase = 'Pending'`},
	{[]string{"Running"}, ` AND r.phase = 'Running'`},
	{[]string{"Succeeded"}, ` AND r.phase = 'Succeeded'`},
	{[]string{"Failed"}, ` AND r.phase = 'Failed'`},
	{[]string{"Cancelled"}, ` AND r.phase = 'Cancelled'`},
}

var triggerConditions = map[string]string{
	"":         "",
	"Schedule": ` AND r.trigger = 'Schedule'`,
	"API":      ` AND r.trigger = 'API'`,
	"Manual":   ` AND r.trigger = 'Manual'`,
}

// runsQuery returns the query of a page, or "" if no run can match. Each key of the source, and each group of phases,
// contributes its first rows. The query merges them, and reads whole rows only for the page.
func runsQuery(filter RunFilter, from position, limit int) (query string, args []any) {
	parameter := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	after, order := "<", "DESC"
	if from.isBackward {
		after, order = ">", "ASC"
	}
	groups := conditionsOf(filter.Phases)
	upper, isName := afterPrefix(filter.NamePrefix)
	trigger, isTrigger := triggerConditions[filter.Trigger]
	if filter.Scope.isEmpty() || len(groups) == 0 || !isName || !isTrigger {
		return "", nil
	}
	source, key := sourceOf(filter, parameter)
	where := fmt.Sprintf(`%s = s.key AND (r.admitted_at, r.id) %s (%s::timestamptz, %s::bigint)`,
		key, after, parameter(from.at), parameter(from.id)) + trigger
	for _, condition := range []struct {
		sql   string
		value any
		holds bool
	}{
		{`r.admitted_at >= %s`, filter.Since, !filter.Since.IsZero()},
		{`r.admitted_at < %s`, filter.Until, !filter.Until.IsZero()},
		{`r.trigger = 'API' AND r.requested_by = %s`, filter.RequestedBy, filter.RequestedBy != ""},
		{`r.name ~>=~ %s`, filter.NamePrefix, filter.NamePrefix != ""},
		{`r.name ~<~ %s`, upper, filter.NamePrefix != ""},
	} {
		if condition.holds {
			where += " AND " + fmt.Sprintf(condition.sql, parameter(condition.value))
		}
	}
	page := fmt.Sprintf(`ORDER BY admitted_at %[1]s, id %[1]s LIMIT %[2]s`, order, parameter(limit))
	branches := make([]string, len(groups))
	for i, group := range groups {
		branches[i] = `(SELECT r.id, r.admitted_at FROM kontroler_v1.runs r WHERE ` + where + group +
			"\n     " + page + `)`
	}
	return `
SELECT ` + runColumns + `
FROM (SELECT k.id FROM ` + source + ` CROSS JOIN LATERAL (
    ` + strings.Join(branches, "\n    UNION ALL\n    ") + `) k
    ` + page + `) page
CROSS JOIN LATERAL (SELECT x.* FROM kontroler_v1.runs x WHERE x.id = page.id LIMIT 1) r
ORDER BY r.admitted_at ` + order + `, r.id ` + order, args
}

// sourceOf returns the source of a list and the column of a run that is its key.
func sourceOf(filter RunFilter, parameter func(any) string) (source, key string) {
	switch scope := filter.Scope; {
	case filter.DAG != "" && scope.isAll:
		return fmt.Sprintf(ofDAGs, parameter(filter.DAG), ""), "r.dag_id"
	case filter.DAG != "":
		name := parameter(filter.DAG)
		return fmt.Sprintf(ofDAGs, name, " AND d.namespace = ANY ("+parameter(scope.namespaces)+"::text[])"), "r.dag_id"
	case scope.isAll:
		return ofAllNamespaces, "r.namespace"
	default:
		return fmt.Sprintf(ofNamespaces, parameter(scope.namespaces)), "r.namespace"
	}
}

// conditionsOf returns the conditions of groups that have exactly these phases, or none if no run has such a phase.
// Without phases it returns one empty condition.
func conditionsOf(phases []string) (conditions []string) {
	if len(phases) == 0 {
		return []string{""}
	}
	left := slices.Clone(phases)
	for _, group := range phaseGroups {
		isWanted := func(phase string) bool { return slices.Contains(left, phase) }
		if !slices.ContainsFunc(group.phases, func(phase string) bool { return !isWanted(phase) }) {
			conditions = append(conditions, group.condition)
			left = slices.DeleteFunc(left, func(phase string) bool { return slices.Contains(group.phases, phase) })
		}
	}
	return conditions
}

// afterPrefix returns the first text after all that begin with a prefix, by bytes. isName is false if no name of a run
// can have this prefix.
func afterPrefix(prefix string) (upper string, isName bool) {
	if strings.ContainsFunc(prefix, func(c rune) bool {
		return c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
	}) {
		return "", false
	}
	if prefix == "" {
		return "", true
	}
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1), true
}

// isUUID reports whether s is a UUID as Kubernetes writes it.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		isDash := i == 8 || i == 13 || i == 18 || i == 23
		isHex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if isDash && c != '-' || !isDash && !isHex {
			return false
		}
	}
	return true
}
