package accounts

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// Users are the users and their passwords.
type Users struct{ pool *sql.DB }

// Grant is a role in a namespace. Namespace * means all.
type Grant struct {
	Namespace string `json:"namespace"`
	Role      string `json:"role"`
}

// Access is what a user or a token may do.
type Access struct {
	Admin  bool
	Grants []Grant
}

// User is a user.
type User struct {
	ID   int64
	Name string
	Access
	Disabled bool
	// Generation counts the changes of Access and Disabled. It begins at 1.
	Generation        int64
	CreatedAt         time.Time
	PasswordChangedAt time.Time
}

const (
	userColumns = `u.id, u.name, u.admin, u.grants, u.disabled, u.generation, u.created_at, c.changed_at`
	userTables  = `kontroler_server.users u JOIN kontroler_server.credentials c ON c.user_id = u.id`

	sqlUser        = `SELECT ` + userColumns + ` FROM ` + userTables + ` WHERE u.name = $1`
	sqlUsersAfter  = `SELECT ` + userColumns + ` FROM ` + userTables + ` WHERE u.name > $1 ORDER BY u.name LIMIT $2`
	sqlUsersBefore = `
SELECT ` + userColumns + ` FROM ` + userTables + ` WHERE u.name < $1 ORDER BY u.name DESC LIMIT $2`
	sqlUserMake = `
INSERT INTO kontroler_server.users (name, admin, grants, created_at) VALUES ($1, $2, $3, $4) RETURNING id`
	sqlUserAny       = `SELECT EXISTS (SELECT FROM kontroler_server.users)`
	sqlUserFirstLock = `LOCK TABLE kontroler_server.users IN SHARE ROW EXCLUSIVE MODE`
	sqlUserSet       = `
UPDATE kontroler_server.users SET admin = $2, grants = $3, disabled = $4, generation = generation + 1 WHERE id = $1`
	sqlUserDelete     = `DELETE FROM kontroler_server.users WHERE name = $1`
	sqlAdminsLock     = `SELECT id FROM kontroler_server.users WHERE admin AND NOT disabled ORDER BY id FOR UPDATE`
	sqlAdminsExist    = `SELECT EXISTS (SELECT FROM kontroler_server.users WHERE admin AND NOT disabled)`
	sqlCredential     = `SELECT hash FROM kontroler_server.credentials WHERE user_id = $1`
	sqlCredentialMake = `INSERT INTO kontroler_server.credentials (user_id, hash, changed_at) VALUES ($1, $2, $3)`
	sqlCredentialSet  = `UPDATE kontroler_server.credentials SET hash = $2, changed_at = $3 WHERE user_id = $1`
	// sqlCredentialRenew replaces the hash of a password by another hash of the same password.
	sqlCredentialRenew = `UPDATE kontroler_server.credentials SET hash = $3 WHERE user_id = $1 AND hash = $2`
	sqlSessionsEnd     = `DELETE FROM kontroler_server.sessions WHERE user_id = $1 AND id <> $2`
)

type scanner interface{ Scan(...any) error }

func scanUser(row scanner) (User, error) {
	var u User
	err := row.Scan(&u.ID, &u.Name, &u.Admin, jsonGrants{&u.Grants}, &u.Disabled, &u.Generation, utc(&u.CreatedAt),
		utc(&u.PasswordChangedAt))
	return u, err
}

// jsonGrants scans grants.
type jsonGrants struct{ to *[]Grant }

// Scan makes jsonGrants a sql.Scanner.
func (g jsonGrants) Scan(src any) error {
	text, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("grants are of type %T", src)
	}
	return json.Unmarshal(text, g.to)
}

// grantsValue are grants as a parameter.
type grantsValue []Grant

// Value makes grantsValue a driver.Valuer.
func (g grantsValue) Value() (driver.Value, error) {
	if len(g) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal([]Grant(g))
	return string(text), err
}

// Get returns a user by name, or ErrNotFound.
func (db Users) Get(ctx context.Context, name string) (User, error) {
	u, err := scanUser(db.pool.QueryRowContext(ctx, sqlUser, name))
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrNotFound
	}
	return u, postgres.Classify(ctx, err)
}

// After returns the first users whose names follow name, at most limit of them, in order.
func (db Users) After(ctx context.Context, name string, limit int) ([]User, error) {
	return postgres.ReadRows(ctx, db.pool, scanUserRows, sqlUsersAfter, name, limit)
}

// Before returns the last users whose names precede name, at most limit of them, in order.
func (db Users) Before(ctx context.Context, name string, limit int) ([]User, error) {
	users, err := postgres.ReadRows(ctx, db.pool, scanUserRows, sqlUsersBefore, name, limit)
	slices.Reverse(users)
	return users, err
}

func scanUserRows(rows *sql.Rows) (User, error) { return scanUser(rows) }

// Create creates an enabled user with the hash of a password. It returns ErrExists if the name is taken.
func (db Users) Create(ctx context.Context, name string, access Access, hash string, now time.Time) error {
	return postgres.InTx(ctx, db.pool, func(tx *sql.Tx) error { return createUser(ctx, tx, name, access, hash, now) })
}

func createUser(ctx context.Context, tx *sql.Tx, name string, access Access, hash string, now time.Time) error {
	var id int64
	err := tx.QueryRowContext(ctx, sqlUserMake, name, access.Admin, grantsValue(access.Grants), now.UTC()).Scan(&id)
	if err != nil {
		return insertError(ctx, err)
	}
	_, err = tx.ExecContext(ctx, sqlCredentialMake, id, hash, now.UTC())
	return err
}

// Exist reports whether there is any user.
func (db Users) Exist(ctx context.Context) (exists bool, err error) {
	err = scanRow(ctx, db.pool.QueryRowContext(ctx, sqlUserAny), &exists)
	return exists, err
}

// CreateFirst creates an administrator if there is no user. If callers are concurrent, one of them creates it.
func (db Users) CreateFirst(ctx context.Context, name, hash string, now time.Time) (isCreated bool, err error) {
	err = postgres.InTx(ctx, db.pool, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlUserFirstLock); err != nil {
			return err
		}
		var exists bool
		if err := tx.QueryRowContext(ctx, sqlUserAny).Scan(&exists); err != nil || exists {
			return err
		}
		isCreated = true
		return createUser(ctx, tx, name, Access{Admin: true}, hash, now)
	})
	return isCreated && err == nil, err
}

// Update sets what a user may do. If the user has another generation than the given one, the error is ErrStale.
// Disabling a user ends the sessions of the user. ErrLastAdmin means that nothing was changed.
func (db Users) Update(ctx context.Context, name string, generation int64, access Access, disabled bool) error {
	return db.guardAdmins(ctx, func(tx *sql.Tx) error {
		u, err := scanUser(tx.QueryRowContext(ctx, sqlUser+` FOR UPDATE OF u`, name))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case u.Generation != generation:
			return ErrStale
		}
		if _, err := tx.ExecContext(ctx, sqlUserSet,
			u.ID, access.Admin, grantsValue(access.Grants), disabled); err != nil {
			return err
		}
		if disabled {
			_, err = tx.ExecContext(ctx, sqlSessionsEnd, u.ID, "")
		}
		return err
	})
}

// Delete deletes a user with all sessions and tokens. ErrLastAdmin means that nothing was changed.
func (db Users) Delete(ctx context.Context, name string) error {
	return db.guardAdmins(ctx, func(tx *sql.Tx) error {
		n, err := postgres.Affected(tx.ExecContext(ctx, sqlUserDelete, name))
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// guardAdmins runs fn in a transaction, which it rolls back with ErrLastAdmin if no enabled administrator is left. It
// locks the administrators, so that two of them cannot remove each other.
func (db Users) guardAdmins(ctx context.Context, fn func(*sql.Tx) error) error {
	return postgres.InTx(ctx, db.pool, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlAdminsLock); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		var exist bool
		if err := tx.QueryRowContext(ctx, sqlAdminsExist).Scan(&exist); err != nil {
			return err
		}
		if !exist {
			return ErrLastAdmin
		}
		return nil
	})
}

// PasswordHash returns the hash of a user's password.
func (db Users) PasswordHash(ctx context.Context, userID int64) (hash string, err error) {
	err = scanRow(ctx, db.pool.QueryRowContext(ctx, sqlCredential, userID), &hash)
	return hash, err
}

// SetPassword stores the hash of a new password and ends the sessions of the user, except keep, which may be empty.
func (db Users) SetPassword(ctx context.Context, userID int64, hash, keep string, now time.Time) error {
	return postgres.InTx(ctx, db.pool, func(tx *sql.Tx) error {
		n, err := postgres.Affected(tx.ExecContext(ctx, sqlCredentialSet, userID, hash, now.UTC()))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		_, err = tx.ExecContext(ctx, sqlSessionsEnd, userID, keep)
		return err
	})
}

// RenewHash replaces the hash of a password by another hash of the same password, if it is still the stored one.
func (db Users) RenewHash(ctx context.Context, userID int64, old, renewed string) error {
	_, err := db.pool.ExecContext(ctx, sqlCredentialRenew, userID, old, renewed)
	return postgres.Classify(ctx, err)
}
