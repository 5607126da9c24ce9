package harness

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// MaxLive returns the highest number of attempts of all runs that were live at the same time.
func (d *Database) MaxLive() int {
	d.t.Helper()
	most := d.Strings(`SELECT max(live)::text FROM (
		SELECT sum(delta) OVER (ORDER BY at, delta) AS live FROM (
			SELECT a.decided_at AS at, 1 AS delta FROM kontroler_v1.attempts a
			UNION ALL SELECT t.finished_at, -1 FROM kontroler_v1.tasks t WHERE t.attempts > 0) edges) counts`)
	var n int
	if _, err := fmt.Sscan(most[0], &n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// TaskVersions returns the stored versions of a DagTask. An asterisk marks its current version.
func (d *Database) TaskVersions(name string) string {
	return strings.Join(
		d.Strings(`SELECT v.version || CASE WHEN v.version = t.version THEN '*' ELSE '' END
FROM kontroler_v1.dag_tasks t JOIN kontroler_v1.dag_task_versions v ON v.dag_task_id = t.id
WHERE t.name = $1 ORDER BY v.version`, name),
		" ",
	)
}

// CheckEpochs checks the current epoch, and waits until the database sessions of earlier epochs have ended.
func (d *Database) CheckEpochs(want string) {
	d.t.Helper()
	if is := d.Strings(`SELECT epoch::text FROM kontroler.epochs`); len(is) != 1 || is[0] != want {
		d.t.Errorf("the epoch is %v, want %s", is, want)
	}
	d.w.Eventually("the sessions of earlier epochs to end", Patience, func(context.Context) (bool, string) {
		sessions := d.Strings(`SELECT DISTINCT application_name FROM pg_stat_activity
			WHERE datname = current_database()
			AND application_name ~ '^kontroler [a-z0-9]{10} ' AND application_name !~ $1`, " "+want+"$")
		return len(sessions) == 0, strings.Join(sessions, ", ")
	})
}

// TakenAt returns when the current epoch was taken.
func (d *Database) TakenAt() time.Time {
	d.t.Helper()
	var at time.Time
	if err := d.DB.QueryRowContext(d.t.Context(), `SELECT taken_at FROM kontroler.epochs`).Scan(&at); err != nil {
		d.t.Fatal(err)
	}
	return at
}

// Newest returns the names of the newest n scheduled runs of a DAG that have a phase, newest first.
func (d *Database) Newest(dag, phase string, n int) []string {
	names := d.Strings(
		`SELECT t.run_name FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
JOIN kontroler_v1.runs r ON r.id = t.run_id
WHERE d.name = $1 AND r.phase = $2 ORDER BY t.due_from DESC LIMIT $3`,
		dag,
		phase,
		n,
	)
	return names
}

// Ticks counts the ticks of a DAG with an outcome and a run in a phase. An empty phase counts them all.
func (d *Database) Ticks(dag, outcome, phase string) int {
	return len(d.Strings(`SELECT t.due_from::text FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
LEFT JOIN kontroler_v1.runs r ON r.id = t.run_id
WHERE d.name = $1 AND t.outcome = $2 AND ($3 = '' OR r.phase = $3)`, dag, outcome, phase))
}

// Notifications returns the event, state, tries and last error of each notification.
func (d *Database) Notifications() []string {
	return d.Strings(`SELECT r.name || ': ' || n.event || ' ' || n.state || ' ' || n.tries || ' ' || n.error
FROM kontroler_v1.notifications n JOIN kontroler_v1.runs r ON r.id = n.run_id ORDER BY n.id`)
}
