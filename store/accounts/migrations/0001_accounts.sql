-- Users of the server, what they may do, how they prove who they are, and what they did.
-- oldest-compatible: 1

-- grants is an array of {"namespace": …, "role": …}. Namespace * means all.
CREATE TABLE kontroler_server.users (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$'),
    admin      boolean     NOT NULL,
    grants     jsonb       NOT NULL CHECK (jsonb_typeof(grants) = 'array'),
    disabled   boolean     NOT NULL DEFAULT false,
    generation bigint      NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL
);
CREATE INDEX users_admins ON kontroler_server.users (id) WHERE admin AND NOT disabled;

-- hash is an Argon2id hash in PHC format.
CREATE TABLE kontroler_server.credentials (
    user_id    bigint      PRIMARY KEY REFERENCES kontroler_server.users (id) ON DELETE CASCADE,
    hash       text        NOT NULL,
    changed_at timestamptz NOT NULL
);

-- The id is in a signed token. Nobody can use it without the key.
CREATE TABLE kontroler_server.sessions (
    id         text        PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES kontroler_server.users (id) ON DELETE CASCADE,
    address    text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);
CREATE INDEX sessions_by_user ON kontroler_server.sessions (user_id, seen_at);
CREATE INDEX sessions_by_expiry ON kontroler_server.sessions (expires_at);

-- An API token. hash is the SHA-256 of the token, which is random. admin and grants bound what its user may do with it.
CREATE TABLE kontroler_server.tokens (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint      NOT NULL REFERENCES kontroler_server.users (id) ON DELETE CASCADE,
    name       text        COLLATE "C" NOT NULL CHECK (name <> ''),
    hash       bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    admin      boolean     NOT NULL,
    grants     jsonb       NOT NULL CHECK (jsonb_typeof(grants) = 'array'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    seen_at    timestamptz,
    UNIQUE (user_id, name)
);
CREATE INDEX tokens_by_expiry ON kontroler_server.tokens (expires_at);

-- A row is written before its action, without an outcome, and completed afterwards. It names its user, who may be deleted
-- later.
CREATE TABLE kontroler_server.audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    request_id text        NOT NULL,
    user_id    bigint,
    user_name  text        COLLATE "C" NOT NULL,
    token_id   bigint,
    address    text        NOT NULL,
    action     text        NOT NULL,
    object     text        COLLATE "C" NOT NULL,
    outcome    text,
    ended_at   timestamptz
);
CREATE INDEX audit_by_time ON kontroler_server.audit (at, id);
CREATE INDEX audit_by_user ON kontroler_server.audit (user_name, at, id);
CREATE INDEX audit_by_object ON kontroler_server.audit (object, at, id);
