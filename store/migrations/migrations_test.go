package migrations_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	_ "github.com/lib/pq"

	"kontroler/store/internal/postgres"
	"kontroler/store/migrations"
	"kontroler/store/storetest"
)

// text returns the one value of a query, as text.
func text(t *testing.T, url, query string) (s string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApplyConcurrently(t *testing.T) {
	url := storetest.EmptyURL(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2 {
				if err := migrations.Apply(t.Context(), url); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := text(t, url, `
SELECT string_agg(version || ' ' || name || ' ' || oldest_compatible, ',') FROM kontroler.schema_migrations`)
	want := "1 0001_core 1,2 0002_schedules 1,3 0003_workspace 1,4 0004_retention 1,5 0005_podevents 1," +
		"6 0006_dagtasks 1,7 0007_webhooks 1,8 0008_logs 1,9 0009_readers 1,10 0010_waits 1," +
		"11 0011_writes 1,12 0012_origins 1,13 0013_reasons 1,14 0014_live 1"
	if got != want {
		t.Errorf("migrations %s, want %s", got, want)
	}
}

func TestApply(t *testing.T) {
	one := "-- First.\n-- oldest-compatible: 1\n\nCREATE TABLE kontroler.one (a int)"
	two := "-- oldest-compatible: 1\n\nCREATE TABLE kontroler.two (a int)"
	strict := "-- oldest-compatible: 2\n\nCREATE TABLE kontroler.two (a int)"
	type files = map[string]string
	tests := map[string]struct {
		before, files files
		wantErr       bool
		wantTooNew    *migrations.TooNewError
		want          string
	}{
		"an empty database gets all migrations": {
			files: files{"0001_one.sql": one, "0002_two.sql": two}, want: "one,schema_migrations,two",
		},
		"an older schema gets the missing migration": {
			before: files{"0001_one.sql": one}, files: files{"0001_one.sql": one, "0002_two.sql": two},
			want: "one,schema_migrations,two",
		},
		"an older binary may run on a compatible schema": {
			before: files{"0001_one.sql": one, "0002_two.sql": two}, files: files{"0001_one.sql": one},
			want: "one,schema_migrations,two",
		},
		"an older binary may not run on an incompatible schema": {
			before: files{"0001_one.sql": one, "0002_two.sql": strict}, files: files{"0001_one.sql": one},
			wantErr: true, wantTooNew: &migrations.TooNewError{Binary: 1, Oldest: 2, Schema: 2},
			want: "one,schema_migrations,two",
		},
		"a migration that was edited is refused": {
			before: files{"0001_one.sql": one}, files: files{"0001_one.sql": one + " "},
			wantErr: true, want: "one,schema_migrations",
		},
		"a migration that fails leaves nothing": {
			files:   files{"0001_one.sql": one, "0002_two.sql": two + "; SELECT 1/0"},
			wantErr: true, want: "one,schema_migrations",
		},
		"a gap in the numbers is refused": {
			files: files{"0001_one.sql": one, "0003_two.sql": two}, wantErr: true,
		},
		"a migration without a header is refused": {
			files: files{"0001_one.sql": "CREATE TABLE kontroler.one (a int)"}, wantErr: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := storetest.EmptyURL(t)
			if tt.before != nil {
				if err := migrations.ApplyFiles(t.Context(), url, tt.before); err != nil {
					t.Fatal(err)
				}
			}
			err := migrations.ApplyFiles(t.Context(), url, tt.files)
			tooNew, isTooNew := errors.AsType[*migrations.TooNewError](err)
			if (err != nil) != tt.wantErr || isTooNew != (tt.wantTooNew != nil) {
				t.Errorf("error %v", err)
			}
			if isTooNew && *tooNew != *tt.wantTooNew {
				t.Errorf("error %+v, want %+v", tooNew, tt.wantTooNew)
			}
			got := text(t, url, `
SELECT coalesce(string_agg(tablename, ',' ORDER BY tablename), '') FROM pg_tables WHERE schemaname = 'kontroler'`)
			if got != tt.want {
				t.Errorf("tables %q, want %q", got, tt.want)
			}
		})
	}
}

// A migration that cannot get a lock lets those who wait behind it go on, and is repeated.
func TestApplyBehindALock(t *testing.T) {
	url := storetest.EmptyURL(t)
	files := map[string]string{"0001_one.sql": "-- oldest-compatible: 1\n\nCREATE TABLE kontroler.one (a int)"}
	if err := migrations.ApplyFiles(t.Context(), url, files); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	if _, err := reader.ExecContext(t.Context(), "SELECT a FROM kontroler.one"); err != nil {
		t.Fatal(err)
	}
	files["0002_two.sql"] = "-- oldest-compatible: 1\n\nALTER TABLE kontroler.one ADD b int"
	err = migrations.ApplyFiles(t.Context(), url, files)
	locked, isLocked := errors.AsType[*migrations.LockedError](err)
	if !isLocked || locked.Migration != "0002_two" || !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("while a reader holds a lock: error %v, want a LockedError that matches ErrUnavailable", err)
	}
	if err := reader.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := migrations.ApplyFiles(t.Context(), url, files); err != nil {
		t.Errorf("after the reader has ended: %v", err)
	}
	if got := text(t, url, "SELECT max(version) FROM kontroler.schema_migrations"); got != "2" {
		t.Errorf("the schema is at version %s, want 2", got)
	}
}

func TestApplyToAnotherEncoding(t *testing.T) {
	url := storetest.LatinURL(t)
	err := migrations.Apply(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "the encoding of the database is LATIN1") {
		t.Errorf("error %v", err)
	}
	if got := text(t, url, "SELECT to_regnamespace('kontroler') IS NULL"); got != "true" {
		t.Error("the schema was created")
	}
}
