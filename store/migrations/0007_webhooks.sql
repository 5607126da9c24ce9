-- Notifications: the outbox of endings, and the log of how each was delivered.
-- oldest-compatible: 1

-- What is to be told of an ending, written in the transaction that decides it. All that is told is in the rows of its run
-- and task, which change no more; where it is sent is in the run's version. task_id, NULL for the run's own end, refers to
-- a task of that run, and goes with it.
--
-- Of each run only the first that is Pending has a due_at: when it is tried next or, while it is being sent, when that is
-- given up. The others wait for it.
CREATE TABLE kontroler.notifications (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     bigint      NOT NULL REFERENCES kontroler.runs (id) ON DELETE CASCADE,
    dag_id     bigint      NOT NULL,
    task_id    bigint,
    event      text        NOT NULL CHECK (event IN ('TaskSucceeded', 'TaskFailed', 'RunSucceeded', 'RunFailed', 'RunCancelled')),
    state      text        NOT NULL DEFAULT 'Pending' CHECK (state IN ('Pending', 'Delivered', 'Parked')),
    tries      integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    due_at     timestamptz,
    error      text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CHECK ((task_id IS NULL) = (event LIKE 'Run%')),
    CHECK (due_at IS NULL OR state = 'Pending'),
    CHECK ((settled_at IS NOT NULL) = (state <> 'Pending'))
);
CREATE INDEX notifications_by_run ON kontroler.notifications (run_id, id);
CREATE INDEX notifications_pending ON kontroler.notifications (run_id, id) WHERE state = 'Pending';
CREATE INDEX notifications_due ON kontroler.notifications (dag_id, due_at, id) WHERE due_at IS NOT NULL;

-- One row a try that was noted. status is that of the answer, NULL when there was none.
CREATE TABLE kontroler.deliveries (
    notification_id bigint      NOT NULL,
    try             integer     NOT NULL CHECK (try > 0),
    at              timestamptz NOT NULL,
    status          integer,
    error           text        NOT NULL DEFAULT '',
    response        text        NOT NULL DEFAULT '',
    duration_ms     integer     NOT NULL CHECK (duration_ms >= 0),
    PRIMARY KEY (notification_id, try, at)
) PARTITION BY RANGE (at);
CREATE TABLE kontroler.deliveries_default PARTITION OF kontroler.deliveries DEFAULT;
CREATE INDEX deliveries_default_at ON kontroler.deliveries_default (at);

CREATE VIEW kontroler_v1.notifications AS
SELECT n.id, n.run_id, n.dag_id, n.task_id, n.event, n.state, n.tries, n.due_at, n.error, n.created_at, n.settled_at
FROM kontroler.notifications n;

CREATE VIEW kontroler_v1.deliveries AS
SELECT d.notification_id, d.try, d.at, d.status, d.error, d.response, d.duration_ms FROM kontroler.deliveries d;
