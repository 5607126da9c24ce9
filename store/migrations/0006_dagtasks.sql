-- DagTasks and their immutable versions. A change of one is told in kontroler.changes as that of a DAG is.
-- oldest-compatible: 1

-- generation is the highest of the object's that was seen: what was read before it is not stored after it. version is the
-- one that the object has, not always the highest.
CREATE TABLE kontroler.dag_tasks (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    uid        uuid        NOT NULL,
    generation bigint      NOT NULL,
    version    integer,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    UNIQUE (namespace, name)
);

-- spec is the canonical encoding of what a DAG takes; hash its SHA-256.
CREATE TABLE kontroler.dag_task_versions (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dag_task_id bigint      NOT NULL REFERENCES kontroler.dag_tasks (id),
    version     integer     NOT NULL CHECK (version > 0),
    hash        bytea       NOT NULL CHECK (length(hash) = 32),
    spec        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    UNIQUE (dag_task_id, version)
);

CREATE VIEW kontroler_v1.dag_tasks AS
SELECT t.id, t.namespace, t.name, t.uid, t.created_at, t.deleted_at, t.version FROM kontroler.dag_tasks t;

CREATE VIEW kontroler_v1.dag_task_versions AS
SELECT v.id, v.dag_task_id, v.version, v.spec, v.created_at FROM kontroler.dag_task_versions v;
