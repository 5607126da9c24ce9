package store_test

import (
	"errors"
	"sync"
	"testing"

	"kontroler/store"
	"kontroler/store/storetest"
)

func TestMigrateAtOnceAndAgain(t *testing.T) {
	url := storetest.EmptyURL(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			db, err := store.Open(t.Context(), store.Config{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for range 2 {
				if err := db.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f := &fixture{T: t, raw: openRaw(t, url)}
	if n := f.text(`SELECT string_agg(version || ' ' || name || ' ' || oldest_compatible, ',') FROM kontroler.schema_migrations`); n != "1 0001_core 1,2 0002_schedules 1,3 0003_workspace 1,4 0004_retention 1,5 0005_podevents 1,6 0006_dagtasks 1,7 0007_webhooks 1,8 0008_logs 1,9 0009_readers 1,10 0010_waits 1" {
		t.Errorf("migrations: %s", n)
	}
}

func TestMigrate(t *testing.T) {
	one := "-- First.\n-- oldest-compatible: 1\n\nCREATE TABLE kontroler.one (a int)"
	two := "-- oldest-compatible: 1\n\nCREATE TABLE kontroler.two (a int)"
	strict := "-- oldest-compatible: 2\n\nCREATE TABLE kontroler.two (a int)"
	type files = map[string]string
	tests := map[string]struct {
		before, files files
		wantErr       bool
		tooNew        *store.SchemaTooNewError
		want          string
	}{
		"from nothing":                  {files: files{"0001_one.sql": one, "0002_two.sql": two}, want: "one,schema_migrations,two"},
		"the next":                      {before: files{"0001_one.sql": one}, files: files{"0001_one.sql": one, "0002_two.sql": two}, want: "one,schema_migrations,two"},
		"an older binary that may run":  {before: files{"0001_one.sql": one, "0002_two.sql": two}, files: files{"0001_one.sql": one}, want: "one,schema_migrations,two"},
		"an older binary that may not":  {before: files{"0001_one.sql": one, "0002_two.sql": strict}, files: files{"0001_one.sql": one}, tooNew: &store.SchemaTooNewError{Binary: 1, Oldest: 2, Schema: 2}, wantErr: true, want: "one,schema_migrations,two"},
		"one that was changed":          {before: files{"0001_one.sql": one}, files: files{"0001_one.sql": one + " "}, wantErr: true, want: "one,schema_migrations"},
		"one that fails leaves nothing": {files: files{"0001_one.sql": one, "0002_two.sql": two + "; SELECT 1/0"}, wantErr: true, want: "one,schema_migrations"},
		"a gap":                         {files: files{"0001_one.sql": one, "0003_two.sql": two}, wantErr: true},
		"without a header":              {files: files{"0001_one.sql": "CREATE TABLE kontroler.one (a int)"}, wantErr: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := storetest.EmptyURL(t)
			db := storetest.Open(t, url)
			if tt.before != nil {
				if err := db.MigrateFiles(t.Context(), tt.before); err != nil {
					t.Fatal(err)
				}
			}
			err := db.MigrateFiles(t.Context(), tt.files)
			if (err != nil) != tt.wantErr || errors.Is(err, store.ErrSchemaTooNew) != (tt.tooNew != nil) {
				t.Errorf("error %v", err)
			}
			var tooNew *store.SchemaTooNewError
			if errors.As(err, &tooNew) && *tooNew != *tt.tooNew {
				t.Errorf("error %+v, want %+v", tooNew, tt.tooNew)
			}
			f := &fixture{T: t, raw: openRaw(t, url)}
			got := f.text(`SELECT coalesce(string_agg(tablename, ',' ORDER BY tablename), '') FROM pg_tables WHERE schemaname = 'kontroler'`)
			if got != tt.want {
				t.Errorf("tables %q, want %q", got, tt.want)
			}
		})
	}
}
