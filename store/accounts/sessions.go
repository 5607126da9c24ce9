package accounts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"kontroler/store/internal/postgres"
)

const (
	// MaxSessions is how many sessions a user may have. A further login ends the one that was unused for longest.
	MaxSessions = 100
	// MaxTokens is how many API tokens a user may have.
	MaxTokens = 50
	// expiredTokens is how long a token is listed after it has expired.
	expiredTokens = 30 * 24 * time.Hour
	// cleanBatch is how many rows one statement of Clean removes.
	cleanBatch = 1000
)

// Sessions are the logins of users.
type Sessions struct{ pool *sql.DB }

// Tokens are the API tokens of users.
type Tokens struct{ pool *sql.DB }

// Session is a login.
type Session struct {
	ID        string
	User      User
	Address   string // of the client that logged in
	CreatedAt time.Time
	ExpiresAt time.Time
	// SeenAt is when the session was last used. It may lag, because not every use is recorded.
	SeenAt time.Time
}

// Token is an API token, without its secret.
type Token struct {
	ID   int64
	User User // not set in lists
	Name string
	// Access bounds what the user may do with the token.
	Access    Access
	CreatedAt time.Time
	ExpiresAt time.Time
	SeenAt    time.Time // as in Session; zero means never
}

const (
	// sqlSessionMake locks the rows that Users.SetPassword and Users.Update change before they end sessions.
	sqlSessionMake = `
INSERT INTO kontroler_server.sessions (id, user_id, address, created_at, expires_at, seen_at)
SELECT $1, u.id, $4, $5, $6, $5 FROM ` + userTables + `
WHERE u.id = $2 AND c.hash = $3 AND NOT u.disabled FOR SHARE OF u, c`
	sqlSessionsTrim = `
DELETE FROM kontroler_server.sessions WHERE id = ANY (ARRAY(
    SELECT id FROM kontroler_server.sessions WHERE user_id = $1 ORDER BY seen_at DESC OFFSET $2))`
	sqlSessionAddress = `
SELECT address FROM kontroler_server.sessions WHERE user_id = $1 ORDER BY seen_at DESC`
	sqlSession = `
SELECT ` + userColumns + `, s.address, s.created_at, s.expires_at, s.seen_at
FROM kontroler_server.sessions s JOIN ` + userTables + ` ON u.id = s.user_id WHERE s.id = $1`
	sqlSessionSeen  = `UPDATE kontroler_server.sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2`
	sqlSessionEnd   = `DELETE FROM kontroler_server.sessions WHERE id = $1`
	sqlSessionClean = `
DELETE FROM kontroler_server.sessions WHERE id = ANY (ARRAY(
    SELECT id FROM kontroler_server.sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2))`

	tokenColumns = `t.id, t.name, t.admin, t.grants, t.created_at, t.expires_at, t.seen_at`

	sqlTokenMake = `
INSERT INTO kontroler_server.tokens (user_id, name, hash, admin, grants, created_at, expires_at)
SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM kontroler_server.tokens WHERE user_id = $1) < $8
RETURNING id`
	sqlToken = `
SELECT ` + userColumns + `, ` + tokenColumns + `
FROM kontroler_server.tokens t JOIN ` + userTables + ` ON u.id = t.user_id WHERE t.hash = $1`
	sqlTokens    = `SELECT ` + tokenColumns + ` FROM kontroler_server.tokens t WHERE t.user_id = $1 ORDER BY t.name`
	sqlTokenSeen = `
UPDATE kontroler_server.tokens SET seen_at = $2 WHERE id = $1 AND (seen_at IS NULL OR seen_at < $2)`
	sqlTokenDelete = `DELETE FROM kontroler_server.tokens WHERE user_id = $1 AND id = $2`
	sqlTokenClean  = `
DELETE FROM kontroler_server.tokens WHERE id = ANY (ARRAY(
    SELECT id FROM kontroler_server.tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2))`
)

// Create begins a session for the user of s. hash is that of the password that was checked. If the user has
// another password now, or is disabled or deleted, the error is ErrNotFound.
func (db Sessions) Create(ctx context.Context, s Session, hash string) error {
	return postgres.InTx(ctx, db.pool, func(tx *sql.Tx) error {
		n, err := postgres.Affected(tx.ExecContext(ctx, sqlSessionMake,
			s.ID, s.User.ID, hash, s.Address, s.CreatedAt.UTC(), s.ExpiresAt.UTC()))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		_, err = tx.ExecContext(ctx, sqlSessionsTrim, s.User.ID, MaxSessions)
		return err
	})
}

// Get returns a session with its user as it is now, or ErrNotFound. The session may have expired.
func (db Sessions) Get(ctx context.Context, id string) (Session, error) {
	s := Session{ID: id}
	u := &s.User
	err := scanRow(ctx, db.pool.QueryRowContext(ctx, sqlSession, id),
		&u.ID, &u.Name, &u.Admin, jsonGrants{&u.Grants}, &u.Disabled, &u.Generation, utc(&u.CreatedAt),
		utc(&u.PasswordChangedAt), &s.Address, utc(&s.CreatedAt), utc(&s.ExpiresAt), utc(&s.SeenAt))
	return s, err
}

// Addresses returns from where the sessions of a user began, that of the session that was used last first.
func (db Sessions) Addresses(ctx context.Context, userID int64) ([]string, error) {
	return postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (address string, err error) {
		err = rows.Scan(&address)
		return address, err
	}, sqlSessionAddress, userID)
}

// See records that a session was used.
func (db Sessions) See(ctx context.Context, id string, now time.Time) error {
	_, err := db.pool.ExecContext(ctx, sqlSessionSeen, id, now.UTC())
	return postgres.Classify(ctx, err)
}

// End ends a session. A session that does not exist is no error.
func (db Sessions) End(ctx context.Context, id string) error {
	_, err := db.pool.ExecContext(ctx, sqlSessionEnd, id)
	return postgres.Classify(ctx, err)
}

// Create creates an API token of a user. hash is the SHA-256 of its secret. ErrExists means that the user has a
// token of this name, ErrTooMany that the user has MaxTokens.
func (db Tokens) Create(ctx context.Context, userID int64, t Token, hash []byte) (id int64, err error) {
	err = db.pool.QueryRowContext(ctx, sqlTokenMake, userID, t.Name, hash, t.Access.Admin, grantsValue(t.Access.Grants),
		t.CreatedAt.UTC(), t.ExpiresAt.UTC(), MaxTokens).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrTooMany
	}
	return id, insertError(ctx, err)
}

// Get returns the token with this hash and its user as it is now, or ErrNotFound. The token may have expired.
func (db Tokens) Get(ctx context.Context, hash []byte) (Token, error) {
	var t Token
	u := &t.User
	err := scanRow(ctx, db.pool.QueryRowContext(ctx, sqlToken, hash),
		&u.ID, &u.Name, &u.Admin, jsonGrants{&u.Grants}, &u.Disabled, &u.Generation, utc(&u.CreatedAt),
		utc(&u.PasswordChangedAt), &t.ID, &t.Name, &t.Access.Admin, jsonGrants{&t.Access.Grants}, utc(&t.CreatedAt),
		utc(&t.ExpiresAt), utc(&t.SeenAt))
	return t, err
}

// List returns the tokens of a user in the order of their names, also those that have expired.
func (db Tokens) List(ctx context.Context, userID int64) ([]Token, error) {
	return postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (t Token, err error) {
		err = rows.Scan(&t.ID, &t.Name, &t.Access.Admin, jsonGrants{&t.Access.Grants},
			utc(&t.CreatedAt), utc(&t.ExpiresAt), utc(&t.SeenAt))
		return t, err
	}, sqlTokens, userID)
}

// See records that a token was used.
func (db Tokens) See(ctx context.Context, id int64, now time.Time) error {
	_, err := db.pool.ExecContext(ctx, sqlTokenSeen, id, now.UTC())
	return postgres.Classify(ctx, err)
}

// Delete deletes a token of a user, or returns ErrNotFound.
func (db Tokens) Delete(ctx context.Context, userID, id int64) error {
	n, err := postgres.Affected(db.pool.ExecContext(ctx, sqlTokenDelete, userID, id))
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return postgres.Classify(ctx, err)
}
