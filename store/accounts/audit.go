package accounts

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// Audit is the record of what users did.
type Audit struct{ pool *sql.DB }

// AuditEntry is a row of the audit.
type AuditEntry struct {
	ID        int64
	At        time.Time
	RequestID string
	UserID    int64  // 0 means none
	User      string // the name at that time
	TokenID   int64  // of the API token that was used; 0 means none
	Address   string
	Action    string
	Object    string
	// Outcome is empty if the server ended before the outcome was known.
	Outcome string
	EndedAt time.Time
}

// AuditFilter selects rows of the audit. The zero value of a field selects all.
type AuditFilter struct {
	User, Object string
	From, To     time.Time // From is included, To is not
}

// AuditPosition is the position of a row in the order of time.
type AuditPosition struct {
	At time.Time
	ID int64
}

const (
	sqlAuditMake = `
INSERT INTO kontroler_server.audit (at, request_id, user_id, user_name, token_id, address, action, object)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`
	sqlAuditDrop  = `DELETE FROM kontroler_server.audit WHERE id = $1`
	sqlAuditEnd   = `UPDATE kontroler_server.audit SET outcome = $2, ended_at = $3 WHERE id = $1`
	sqlAuditClean = `
DELETE FROM kontroler_server.audit WHERE id = ANY (ARRAY(
    SELECT id FROM kontroler_server.audit WHERE at < $1 ORDER BY at, id LIMIT $2))`
	sqlAudit = `
SELECT id, at, request_id, coalesce(user_id, 0), user_name, coalesce(token_id, 0), address, action, object,
       coalesce(outcome, ''), ended_at
FROM kontroler_server.audit`
)

// Begin records that an action is about to begin. Outcome and EndedAt of the entry are ignored.
func (db Audit) Begin(ctx context.Context, e AuditEntry) (id int64, err error) {
	err = scanRow(ctx, db.pool.QueryRowContext(ctx, sqlAuditMake, e.At.UTC(), e.RequestID, nullID(e.UserID), e.User,
		nullID(e.TokenID), e.Address, e.Action, e.Object), &id)
	return id, err
}

// End records the outcome of an action.
func (db Audit) End(ctx context.Context, id int64, outcome string, now time.Time) error {
	_, err := db.pool.ExecContext(ctx, sqlAuditEnd, id, outcome, now.UTC())
	return postgres.Classify(ctx, err)
}

// Discard removes the row of an action.
func (db Audit) Discard(ctx context.Context, id int64) error {
	_, err := db.pool.ExecContext(ctx, sqlAuditDrop, id)
	return postgres.Classify(ctx, err)
}

// Before returns the rows right before a position, at most limit of them, newest first. The zero position is after all
// rows.
func (db Audit) Before(ctx context.Context, f AuditFilter, p AuditPosition, limit int) ([]AuditEntry, error) {
	return db.read(ctx, f, p, "<", "DESC", limit)
}

// After returns the rows right after a position, at most limit of them, newest first.
func (db Audit) After(ctx context.Context, f AuditFilter, p AuditPosition, limit int) ([]AuditEntry, error) {
	entries, err := db.read(ctx, f, p, ">", "ASC", limit)
	slices.Reverse(entries)
	return entries, err
}

func (db Audit) read(ctx context.Context, f AuditFilter, p AuditPosition, compare, order string, limit int) (
	[]AuditEntry, error) {
	statement, args := auditStatement(f, p, compare, order, limit)
	return postgres.ReadRows(ctx, db.pool, scanAudit, statement, args...)
}

// auditStatement adds a condition only for a filter that is set, so that each filter can use its index.
func auditStatement(f AuditFilter, p AuditPosition, compare, order string, limit int) (statement string, args []any) {
	statement = sqlAudit + "\nWHERE true"
	where := func(condition string, values ...any) {
		numbers := make([]any, len(values))
		for i, value := range values {
			args = append(args, value)
			numbers[i] = len(args)
		}
		statement += " AND " + fmt.Sprintf(condition, numbers...)
	}
	if f.User != "" {
		where("user_name = $%d", f.User)
	}
	if f.Object != "" {
		where("object = $%d", f.Object)
	}
	if !f.From.IsZero() {
		where("at >= $%d", f.From.UTC())
	}
	if !f.To.IsZero() {
		where("at < $%d", f.To.UTC())
	}
	if p != (AuditPosition{}) {
		where("(at, id) "+compare+" ($%d, $%d)", p.At.UTC(), p.ID)
	}
	args = append(args, limit)
	return statement + fmt.Sprintf("\nORDER BY at %s, id %s LIMIT $%d", order, order, len(args)), args
}

func scanAudit(rows *sql.Rows) (e AuditEntry, err error) {
	err = rows.Scan(&e.ID, utc(&e.At), &e.RequestID, &e.UserID, &e.User, &e.TokenID, &e.Address, &e.Action, &e.Object,
		&e.Outcome, utc(&e.EndedAt))
	return e, err
}
