-- The truth of execution. Every table but changes and ticks is trimmed by id in small batches; those two are
-- partitioned by month and trimmed by partition.
-- oldest-compatible: 1

-- Who this database belongs to: one controller, one cluster.
CREATE TABLE kontroler.identity (
    singleton     boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    controller_id text        NOT NULL CHECK (controller_id ~ '^[a-z][a-z0-9]{9}$'),
    cluster_uid   text,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- The fence. Every transaction of a leader begins with SELECT … FOR SHARE of its shard's row; a successor's UPDATE
-- waits for those and everything after it sees the higher epoch.
CREATE TABLE kontroler.epochs (
    shard    integer     PRIMARY KEY CHECK (shard >= 0),
    epoch    bigint      NOT NULL CHECK (epoch >= 0),
    holder   text        NOT NULL,
    taken_at timestamptz NOT NULL
);

CREATE TABLE kontroler.dags (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    uid        uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    UNIQUE (namespace, name)
);

-- Immutable. spec is the canonical encoding of what a run reads; hash its SHA-256.
CREATE TABLE kontroler.dag_versions (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag_id     bigint      NOT NULL REFERENCES kontroler.dags (id),
    version    bigint      NOT NULL CHECK (version > 0),
    hash       bytea       NOT NULL CHECK (length(hash) = 32),
    spec       jsonb       NOT NULL,
    tasks      integer     NOT NULL CHECK (tasks > 0),
    created_at timestamptz NOT NULL,
    UNIQUE (dag_id, version)
);

CREATE TABLE kontroler.runs (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid            uuid        NOT NULL UNIQUE,
    namespace      text        NOT NULL,
    name           text        NOT NULL,
    dag_name       text        NOT NULL,
    dag_id         bigint      REFERENCES kontroler.dags (id),
    dag_version_id bigint      REFERENCES kontroler.dag_versions (id),
    shard          integer     NOT NULL DEFAULT 0,
    phase          text        NOT NULL CHECK (phase IN ('Pending', 'Running', 'Succeeded', 'Failed', 'Cancelled')),
    reason         text        NOT NULL DEFAULT '',
    message        text        NOT NULL DEFAULT '',
    -- Why the run is being stopped; its live attempts end first.
    stop           text        NOT NULL DEFAULT '' CHECK (stop IN ('', 'UserCancelled', 'Deleted', 'DeadlineExceeded', 'HistoryLost')),
    -- Why its Ready tasks do not start, where that is one reason for all of them.
    hold           text        NOT NULL DEFAULT '' CHECK (hold IN ('', 'MaxParallel', 'Throttled', 'QuotaExceeded')),
    parameters     jsonb       NOT NULL DEFAULT '[]',
    total          integer     NOT NULL DEFAULT 0 CHECK (total >= 0),
    waiting        integer     NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    ready          integer     NOT NULL DEFAULT 0 CHECK (ready >= 0),
    active         integer     NOT NULL DEFAULT 0 CHECK (active >= 0),
    succeeded      integer     NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed         integer     NOT NULL DEFAULT 0 CHECK (failed >= 0),
    skipped        integer     NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    cancelled      integer     NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    created_at     timestamptz NOT NULL,
    admitted_at    timestamptz NOT NULL,
    started_at     timestamptz,
    deadline_at    timestamptz,
    finished_at    timestamptz,
    CHECK (total = waiting + ready + active + succeeded + failed + skipped + cancelled),
    CHECK ((finished_at IS NOT NULL) = (phase IN ('Succeeded', 'Failed', 'Cancelled'))),
    CHECK (phase NOT IN ('Succeeded', 'Failed', 'Cancelled') OR waiting + ready + active = 0),
    CHECK (phase <> 'Succeeded' OR succeeded = total),
    CHECK (phase NOT IN ('Pending', 'Running') OR dag_version_id IS NOT NULL)
);
CREATE INDEX runs_live ON kontroler.runs (shard, id) WHERE phase IN ('Pending', 'Running');
CREATE INDEX runs_by_dag ON kontroler.runs (dag_id, id);
CREATE INDEX runs_by_version ON kontroler.runs (dag_version_id);
CREATE INDEX runs_by_name ON kontroler.runs (namespace, name, id);

CREATE TABLE kontroler.tasks (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint      NOT NULL REFERENCES kontroler.runs (id) ON DELETE CASCADE,
    position    integer     NOT NULL CHECK (position >= 0),
    index       integer     NOT NULL DEFAULT 0 CHECK (index >= 0),
    name        text        NOT NULL,
    phase       text        NOT NULL CHECK (phase IN ('Waiting', 'Ready', 'Active', 'Succeeded', 'Failed', 'Skipped', 'Cancelled')),
    reason      text        NOT NULL DEFAULT '',
    message     text        NOT NULL DEFAULT '',
    unmet       integer     NOT NULL CHECK (unmet >= 0),
    attempts    integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    retries     integer     NOT NULL DEFAULT 0 CHECK (retries >= 0),
    restarts    integer     NOT NULL DEFAULT 0 CHECK (restarts >= 0),
    -- Ready: it may start from this time on (later than ready_at: BackingOff).
    due_at      timestamptz,
    -- It will never succeed, and its children do not all know yet.
    cascade     boolean     NOT NULL DEFAULT false,
    ready_at    timestamptz,
    started_at  timestamptz,
    finished_at timestamptz,
    UNIQUE (run_id, position, index),
    UNIQUE (run_id, name, index),
    CHECK ((due_at IS NOT NULL) = (phase = 'Ready')),
    CHECK (phase <> 'Waiting' OR unmet > 0),
    CHECK (phase NOT IN ('Ready', 'Active', 'Succeeded', 'Failed') OR unmet = 0),
    CHECK ((finished_at IS NOT NULL) = (phase IN ('Succeeded', 'Failed', 'Skipped', 'Cancelled')))
);
CREATE INDEX tasks_ready ON kontroler.tasks (run_id, due_at, position) WHERE phase = 'Ready';
CREATE INDEX tasks_unstarted ON kontroler.tasks (run_id) WHERE phase IN ('Waiting', 'Ready');
CREATE INDEX tasks_failed ON kontroler.tasks (run_id, position) WHERE phase = 'Failed';
CREATE INDEX tasks_cascade ON kontroler.tasks (run_id, position) WHERE cascade;

CREATE TABLE kontroler.attempts (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       bigint      NOT NULL REFERENCES kontroler.runs (id) ON DELETE CASCADE,
    task_id      bigint      NOT NULL REFERENCES kontroler.tasks (id) ON DELETE CASCADE,
    number       integer     NOT NULL CHECK (number > 0),
    phase        text        NOT NULL CHECK (phase IN ('Decided', 'Pending', 'Running', 'Stopping', 'Succeeded', 'Failed', 'Lost', 'Cancelled')),
    reason       text        NOT NULL DEFAULT '',
    message      text        NOT NULL DEFAULT '',
    -- When the reason became this one: what a start grace is counted from.
    reason_at    timestamptz,
    -- When the message was last written: a text that keeps changing is written now and then only.
    message_at   timestamptz,
    -- Why it is being stopped, committed before its Pod is deleted.
    stop         text        NOT NULL DEFAULT '',
    pod_name     text        NOT NULL,
    pod_uid      uuid,
    node         text        NOT NULL DEFAULT '',
    exit_code    integer,
    -- When it next needs a look although nothing happens: a timeout, a start grace, a node that may be lost.
    due_at       timestamptz,
    -- The attempt of an earlier run whose outcome this one repeats.
    reused_from  bigint      REFERENCES kontroler.attempts (id) ON DELETE SET NULL,
    -- A Pod that appeared after the attempt had ended.
    stray_uid    uuid,
    decided_at   timestamptz NOT NULL,
    created_at   timestamptz,
    started_at   timestamptz,
    finished_at  timestamptz,
    UNIQUE (task_id, number),
    UNIQUE (run_id, pod_name),
    CHECK ((finished_at IS NOT NULL) = (phase IN ('Succeeded', 'Failed', 'Lost', 'Cancelled'))),
    CHECK (phase <> 'Running' OR started_at IS NOT NULL),
    CHECK (phase NOT IN ('Pending', 'Running') OR pod_uid IS NOT NULL),
    CHECK (phase <> 'Stopping' OR stop <> '')
);
-- One live attempt a task: the next begins only when this one has ended.
CREATE UNIQUE INDEX attempts_one_live ON kontroler.attempts (task_id) WHERE phase IN ('Decided', 'Pending', 'Running', 'Stopping');
CREATE INDEX attempts_live ON kontroler.attempts (run_id, id) WHERE phase IN ('Decided', 'Pending', 'Running', 'Stopping');
CREATE INDEX attempts_decided ON kontroler.attempts (run_id, id) WHERE phase = 'Decided';
CREATE INDEX attempts_due ON kontroler.attempts (run_id, due_at) WHERE phase IN ('Decided', 'Pending', 'Running', 'Stopping') AND due_at IS NOT NULL;
CREATE INDEX attempts_reused ON kontroler.attempts (reused_from) WHERE reused_from IS NOT NULL;

-- What happened to a schedule's due times. One row a due time that made a run or overlapped; one row for a stretch that did not.
CREATE TABLE kontroler.ticks (
    dag_id     bigint      NOT NULL,
    due_from   timestamptz NOT NULL,
    due_to     timestamptz NOT NULL,
    count      integer     NOT NULL CHECK (count > 0),
    outcome    text        NOT NULL CHECK (outcome IN ('Ran', 'Overlapped', 'Suspended', 'Missed', 'TooLate')),
    run_id     bigint,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (dag_id, due_from),
    CHECK (due_to >= due_from)
) PARTITION BY RANGE (due_from);
CREATE TABLE kontroler.ticks_default PARTITION OF kontroler.ticks DEFAULT;

-- What readers follow: at most one row a transaction and run. A reader stops below the oldest open transaction
-- (pg_snapshot_xmin): a lower xid may still commit.
CREATE TABLE kontroler.changes (
    id     bigint      GENERATED ALWAYS AS IDENTITY,
    xid    xid8        NOT NULL DEFAULT pg_current_xact_id(),
    run_id bigint,
    kind   text        NOT NULL CHECK (kind IN ('dag', 'run')),
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE kontroler.changes_default PARTITION OF kontroler.changes DEFAULT;
CREATE INDEX changes_xid ON kontroler.changes (xid, id);

-- The read contract: for Kontroler's server and for anybody's own reader, kept across migrations.
CREATE SCHEMA kontroler_v1;
COMMENT ON SCHEMA kontroler_v1 IS 'Read contract of Kontroler: columns are added, never changed or removed.';

CREATE VIEW kontroler_v1.dags AS
SELECT d.id, d.namespace, d.name, d.uid, d.created_at, d.deleted_at,
       (SELECT max(v.version) FROM kontroler.dag_versions v WHERE v.dag_id = d.id) AS version
FROM kontroler.dags d;

CREATE VIEW kontroler_v1.versions AS
SELECT v.id, v.dag_id, v.version, v.spec, v.tasks, v.created_at FROM kontroler.dag_versions v;

CREATE VIEW kontroler_v1.runs AS
SELECT r.id, r.uid, r.namespace, r.name, r.dag_name, r.dag_id, r.dag_version_id, r.phase, r.reason, r.message, r.stop, r.hold,
       r.parameters, r.total, r.waiting, r.ready, r.active, r.succeeded, r.failed, r.skipped, r.cancelled,
       r.created_at, r.admitted_at, r.started_at, r.deadline_at, r.finished_at
FROM kontroler.runs r;

-- A task's reason: its own, else that of its live attempt, else what follows from the graph or the run's hold.
CREATE VIEW kontroler_v1.tasks AS
SELECT t.id, t.run_id, t.position, t.index, t.name, t.phase,
       CASE WHEN t.phase = 'Waiting' THEN 'NeedsParents'
            WHEN t.phase = 'Active' THEN coalesce(a.reason, '')
            WHEN t.phase = 'Ready' AND (t.reason = '' OR t.due_at <= now()) THEN r.hold
            ELSE t.reason END AS reason,
       CASE WHEN t.phase = 'Waiting' THEN 'needs ' || t.unmet || CASE WHEN t.unmet = 1 THEN ' more task' ELSE ' more tasks' END
            WHEN t.phase = 'Active' THEN coalesce(a.message, '')
            WHEN t.phase = 'Ready' AND (t.reason = '' OR t.due_at <= now()) THEN
                CASE r.hold WHEN 'QuotaExceeded' THEN 'the quota of the namespace is exceeded' WHEN 'MaxParallel' THEN 'the run has maxParallel tasks active'
                            WHEN 'Throttled' THEN 'the controller has --max-pods Pods'
                            ELSE '' END
            ELSE t.message END AS message,
       t.unmet, t.attempts, t.retries, t.restarts, t.due_at, t.ready_at, t.started_at, t.finished_at
FROM kontroler.tasks t
JOIN kontroler.runs r ON r.id = t.run_id
LEFT JOIN kontroler.attempts a ON a.task_id = t.id AND a.phase IN ('Decided', 'Pending', 'Running', 'Stopping');

CREATE VIEW kontroler_v1.attempts AS
SELECT a.id, a.run_id, a.task_id, a.number, a.phase, a.reason, a.message, a.stop, a.pod_name, a.pod_uid, a.node, a.exit_code,
       a.due_at, a.reused_from, a.stray_uid, a.decided_at, a.created_at, a.started_at, a.finished_at
FROM kontroler.attempts a;

CREATE VIEW kontroler_v1.ticks AS
SELECT dag_id, due_from, due_to, count, outcome, run_id, decided_at FROM kontroler.ticks;

CREATE VIEW kontroler_v1.changes AS
SELECT id, xid, run_id, kind, at FROM kontroler.changes;
