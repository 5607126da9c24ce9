-- Events of Pods, kept with the attempt.
-- oldest-compatible: 1

-- at is the attempt's decided_at: its Events are in one partition. key is a hash over the texts: Events that say the same
-- are one row, whose count is the greatest that one of them told. Nothing refers to these rows: a partition may be dropped.
CREATE TABLE kontroler.pod_events (
    attempt_id bigint      NOT NULL,
    at         timestamptz NOT NULL,
    key        uuid        NOT NULL,
    container  text        NOT NULL,
    type       text        NOT NULL,
    reason     text        NOT NULL,
    message    text        NOT NULL,
    source     text        NOT NULL,
    count      integer     NOT NULL CHECK (count > 0),
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, key, at),
    CHECK (last_at >= first_at)
) PARTITION BY RANGE (at);
CREATE TABLE kontroler.pod_events_default PARTITION OF kontroler.pod_events DEFAULT;
CREATE INDEX pod_events_default_at ON kontroler.pod_events_default (at);

-- Through the attempt one partition is read, by attempt or by run.
CREATE VIEW kontroler_v1.pod_events AS
SELECT e.attempt_id, a.run_id, e.container, e.type, e.reason, e.message, e.source, e.count, e.first_at, e.last_at
FROM kontroler.attempts a JOIN kontroler.pod_events e ON e.attempt_id = a.id AND e.at = a.decided_at;
