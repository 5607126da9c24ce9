-- Where a run comes from, what a change concerns, and the indexes by which readers filter runs. Building the indexes locks
-- kontroler.runs, for about ten seconds a million runs.
-- oldest-compatible: 1

-- trigger is NULL in runs that an earlier version admitted. requested_by and due_at are what the DagRun says.
ALTER TABLE kontroler.runs
    ADD COLUMN trigger text, ADD COLUMN requested_by text, ADD COLUMN due_at timestamptz,
    ADD CONSTRAINT runs_origin_check CHECK (CASE trigger
        WHEN 'Schedule' THEN requested_by IS NULL
        WHEN 'API' THEN requested_by IS NOT NULL AND due_at IS NULL
        WHEN 'Manual' THEN requested_by IS NULL AND due_at IS NULL
        ELSE trigger IS NULL AND requested_by IS NULL AND due_at IS NULL END) NOT VALID;

-- NULL in rows that an earlier version writes. dag_id is NULL also for a DagTask, and for a run that was refused before
-- its DAG had a row. They are stored here because the row of a run may be removed.
ALTER TABLE kontroler.changes ADD COLUMN namespace text, ADD COLUMN dag_id bigint;

-- Readers list runs by (admitted_at, id). Two indexes replace earlier ones, whose queries they serve too: every update of
-- a phase writes an entry to each index. The operators of text_pattern_ops compare bytes, whatever the collation of the
-- database: = and, for a range of names that begin alike, ~>=~ and ~<~.
DROP INDEX kontroler.runs_by_dag;
DROP INDEX kontroler.runs_by_name;
CREATE INDEX runs_by_namespace ON kontroler.runs (namespace, admitted_at, id);
CREATE INDEX runs_by_dag ON kontroler.runs (dag_id, admitted_at, id);
CREATE INDEX runs_by_name ON kontroler.runs (namespace, name text_pattern_ops, id);
-- Failed and Cancelled runs are rare. Succeeded ones are found among all, live ones through runs_live.
CREATE INDEX runs_unsuccessful_by_namespace ON kontroler.runs (namespace, phase, admitted_at, id)
    WHERE phase IN ('Failed', 'Cancelled');
CREATE INDEX runs_unsuccessful_by_dag ON kontroler.runs (dag_id, phase, admitted_at, id)
    WHERE phase IN ('Failed', 'Cancelled');
-- Runs that somebody requested may be rare among those of schedules, which have no entry.
CREATE INDEX runs_requested_by_namespace ON kontroler.runs (namespace, admitted_at, id) INCLUDE (trigger, requested_by)
    WHERE trigger IN ('API', 'Manual');

CREATE OR REPLACE VIEW kontroler_v1.runs AS
SELECT r.id, r.uid, r.namespace, r.name, r.dag_name, r.dag_id, r.dag_version_id, r.phase, r.reason, r.message, r.stop, r.hold,
       r.parameters, r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
       r.created_at, r.admitted_at, r.started_at, r.deadline_at, r.finished_at, r.workspace_uid,
       r.trigger, r.requested_by, r.due_at
FROM kontroler.runs r;

CREATE OR REPLACE VIEW kontroler_v1.changes AS
SELECT c.id, c.xid, c.run_id, c.kind, c.at, c.namespace, c.dag_id FROM kontroler.changes c;

-- The version of the schema, and whose database it is. The cluster is the UID of its namespace kube-system.
CREATE VIEW kontroler_v1.schema AS
SELECT max(m.version) AS version FROM kontroler.schema_migrations m;

CREATE VIEW kontroler_v1.identity AS
SELECT i.controller_id, i.cluster_uid, i.created_at FROM kontroler.identity i;
