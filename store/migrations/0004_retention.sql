-- Retention: what finds the history that is old enough to go.
-- oldest-compatible: 1

CREATE INDEX runs_finished ON kontroler.runs (finished_at, id) WHERE finished_at IS NOT NULL;

-- Runs that their schedule still looks for by name.
CREATE INDEX scheduled_runs_unnoted ON kontroler.scheduled_runs (run_name) WHERE run_uid IS NULL;

-- Of months that have a partition, the default one holds nothing; of others it may.
CREATE INDEX ticks_default_due_from ON kontroler.ticks_default (due_from);
CREATE INDEX changes_default_at ON kontroler.changes_default (at);
