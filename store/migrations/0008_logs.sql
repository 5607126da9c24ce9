-- Logs of attempts, by the month in which the attempt ended.
-- oldest-compatible: 1

-- One row an attempt whose log was read, or is lost: written once, together with its chunks. at is the attempt's
-- finished_at. Of bytes, omitted ones from omitted_at on are in no chunk.
CREATE TABLE kontroler.logs (
    attempt_id  bigint      NOT NULL,
    at          timestamptz NOT NULL,
    state       text        NOT NULL CHECK (state IN ('Captured', 'Lost')),
    message     text        NOT NULL DEFAULT '',
    bytes       bigint      NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    omitted_at  bigint      NOT NULL DEFAULT 0 CHECK (omitted_at >= 0),
    omitted     bigint      NOT NULL DEFAULT 0 CHECK (omitted >= 0),
    -- The times of the first and the last line.
    begins_at   timestamptz,
    ends_at     timestamptz,
    -- Lines before the first one may have been rotated away; lines after the last one may be missing.
    rotated     boolean     NOT NULL DEFAULT false,
    incomplete  boolean     NOT NULL DEFAULT false,
    chunks      integer     NOT NULL DEFAULT 0 CHECK (chunks >= 0),
    captured_at timestamptz NOT NULL,
    PRIMARY KEY (attempt_id, at),
    CHECK (omitted_at + omitted <= bytes),
    CHECK (state = 'Captured' OR bytes = 0 AND chunks = 0 AND message <> '')
) PARTITION BY RANGE (at);
CREATE TABLE kontroler.logs_default PARTITION OF kontroler.logs DEFAULT;
CREATE INDEX logs_default_at ON kontroler.logs_default (at);

-- data is gzip, a member of its own: those of a log, in the order of seq, are one gzip stream. size is that of its content.
CREATE TABLE kontroler.log_chunks (
    attempt_id bigint      NOT NULL,
    at         timestamptz NOT NULL,
    seq        integer     NOT NULL CHECK (seq >= 0),
    size       integer     NOT NULL CHECK (size > 0),
    data       bytea       NOT NULL,
    PRIMARY KEY (attempt_id, at, seq)
) PARTITION BY RANGE (at);
ALTER TABLE kontroler.log_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE kontroler.log_chunks_default PARTITION OF kontroler.log_chunks DEFAULT;
CREATE INDEX log_chunks_default_at ON kontroler.log_chunks_default (at);
ALTER TABLE kontroler.log_chunks_default ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE VIEW kontroler_v1.logs AS
SELECT l.attempt_id, l.at, l.state, l.message, l.bytes, l.omitted_at, l.omitted, l.begins_at, l.ends_at, l.rotated, l.incomplete, l.chunks, l.captured_at
FROM kontroler.logs l;

CREATE VIEW kontroler_v1.log_chunks AS
SELECT c.attempt_id, c.at, c.seq, c.size, c.data FROM kontroler.log_chunks c;
