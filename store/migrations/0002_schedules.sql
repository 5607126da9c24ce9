-- Schedules: how far each is accounted for, and its runs that have not ended.
-- oldest-compatible: 1

-- cursor is the last due time that is in the ledger, or when the schedule began: it only moves forward, in the
-- transaction that writes the ticks. held is the outcome of what is due until the next look, where it may not run.
-- stretch_from and stretch_outcome name the ledger's last row where that is a stretch that may go on.
CREATE TABLE kontroler.schedules (
    dag_id          bigint      PRIMARY KEY REFERENCES kontroler.dags (id),
    dag_uid         uuid        NOT NULL,
    schedule        text        NOT NULL,
    time_zone       text        NOT NULL,
    cursor          timestamptz NOT NULL,
    held            text        NOT NULL DEFAULT '' CHECK (held IN ('', 'Suspended', 'Missed')),
    stretch_from    timestamptz,
    stretch_outcome text        NOT NULL DEFAULT '',
    last_due        timestamptz,
    CHECK ((stretch_from IS NOT NULL) = (stretch_outcome <> ''))
);

-- From the tick to the end of its run: run_uid is NULL until its DagRun is known to be there.
CREATE TABLE kontroler.scheduled_runs (
    dag_id   bigint      NOT NULL REFERENCES kontroler.schedules (dag_id),
    due_at   timestamptz NOT NULL,
    run_name text        NOT NULL,
    dag_uid  uuid        NOT NULL,
    run_uid  uuid,
    replaced boolean     NOT NULL DEFAULT false,
    PRIMARY KEY (dag_id, due_at)
);

ALTER TABLE kontroler.ticks ADD COLUMN run_name text, ADD COLUMN run_uid uuid;

CREATE OR REPLACE VIEW kontroler_v1.ticks AS
SELECT t.dag_id, t.due_from, t.due_to, t.count, t.outcome, coalesce(t.run_id, r.id) AS run_id, t.decided_at, t.run_name, t.run_uid
FROM kontroler.ticks t LEFT JOIN kontroler.runs r ON r.uid = t.run_uid;

CREATE VIEW kontroler_v1.schedules AS
SELECT s.dag_id, s.schedule, s.time_zone, s.cursor, s.held, s.last_due FROM kontroler.schedules s;
