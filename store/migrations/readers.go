package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
)

// MissingRolesError means that the database server lacks roles that are to read the views.
type MissingRolesError struct{ Roles []string }

func (e *MissingRolesError) Error() string {
	quoted, create := make([]string, len(e.Roles)), make([]string, len(e.Roles))
	for i, role := range e.Roles {
		quoted[i] = pq.QuoteIdentifier(role)
		create[i] = "CREATE ROLE " + quoted[i] + " LOGIN PASSWORD '…'"
	}
	noun, pronoun := "role", "it"
	if len(e.Roles) > 1 {
		noun, pronoun = "roles", "them"
	}
	return fmt.Sprintf("the database server has no %s %s. Create %s as an administrator: %s",
		noun, strings.Join(quoted, ", "), pronoun, strings.Join(create, "; "))
}

const (
	sqlReadersMissing = `
SELECT n.role FROM unnest($1::text[]) WITH ORDINALITY AS n (role, position)
WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n.role) ORDER BY n.position`
	// A GRANT without the right to grant the privilege is a warning, not an error.
	sqlReadersRefused = `
SELECT n.role FROM unnest($1::text[]) WITH ORDINALITY AS n (role, position)
WHERE NOT has_schema_privilege(n.role, 'kontroler_v1', 'USAGE')
   OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('kontroler_v1') AND c.relkind = 'v'
              AND NOT has_table_privilege(n.role, c.oid, 'SELECT'))
ORDER BY n.position`
	grantUsage  = `GRANT USAGE ON SCHEMA kontroler_v1 TO %s`
	grantSelect = `GRANT SELECT ON ALL TABLES IN SCHEMA kontroler_v1 TO %s`
	grantLater  = `ALTER DEFAULT PRIVILEGES IN SCHEMA kontroler_v1 GRANT SELECT ON TABLES TO %s`
)

// GrantReaders lets roles read the views of schema kontroler_v1, also the views that this database user creates later.
// The schema must have been migrated. GrantReaders revokes nothing. If the server lacks roles, it returns a
// *MissingRolesError and grants nothing.
func GrantReaders(ctx context.Context, url string, roles []string) error {
	pool, err := open(url)
	if err != nil {
		return err
	}
	defer pool.Close()
	err = postgres.InTx(ctx, pool, func(tx *sql.Tx) error { return grantReaders(ctx, tx, roles) })
	if err != nil {
		return fmt.Errorf("granting the views of schema kontroler_v1: %w", err)
	}
	return nil
}

// grantReaders holds the lock of migrations, because one of two transactions that grant the same privilege would fail.
func grantReaders(ctx context.Context, tx *sql.Tx, roles []string) error {
	if _, err := tx.ExecContext(ctx, sqlMigrateLock, core.Lock); err != nil {
		return err
	}
	missing, err := postgres.ReadRows(ctx, tx, postgres.ScanOne[string], sqlReadersMissing, roles)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &MissingRolesError{Roles: missing}
	}
	for _, role := range roles {
		for _, grant := range []string{grantUsage, grantSelect, grantLater} {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(grant, pq.QuoteIdentifier(role))); err != nil {
				return err
			}
		}
	}
	refused, err := postgres.ReadRows(ctx, tx, postgres.ScanOne[string], sqlReadersRefused, roles)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("this database user may not grant them to %s. Connect as the owner of the schema",
			strings.Join(refused, ", "))
	}
	return nil
}
