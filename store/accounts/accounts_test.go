package accounts_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"

	"kontroler/store"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// open returns a migrated database for this test alone, and a pool for other statements.
func open(t *testing.T) (*accounts.DB, *sql.DB) {
	t.Helper()
	url := storetest.EmptyURL(t)
	db, err := accounts.Open(url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, raw(t, url)
}

func raw(t *testing.T, url string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

// must returns a function that fails the test for an error.
func must(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func create(t *testing.T, db *accounts.DB, name string, access accounts.Access) accounts.User {
	t.Helper()
	must(t)(db.Users.Create(t.Context(), name, access, "hash of "+name, now))
	u, err := db.Users.Get(t.Context(), name)
	must(t)(err)
	return u
}

func login(t *testing.T, db *accounts.DB, u accounts.User, id string, at time.Time) {
	t.Helper()
	must(t)(db.Sessions.Create(t.Context(), accounts.Session{
		ID: id, User: u, Address: "192.0.2.1", CreatedAt: at, ExpiresAt: at.Add(time.Hour),
	}, "hash of "+u.Name))
}

func TestUsers(t *testing.T) {
	db, _ := open(t)
	grants := []accounts.Grant{{Namespace: "a", Role: "viewer"}, {Namespace: "*", Role: "editor"}}
	got := create(t, db, "ann", accounts.Access{Admin: true, Grants: grants})
	want := accounts.User{
		ID: got.ID, Name: "ann", Access: accounts.Access{Admin: true, Grants: grants}, Generation: 1, CreatedAt: now,
		PasswordChangedAt: now,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
	if err := db.Users.Create(t.Context(), "ann", accounts.Access{}, "h", now); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("a second user of this name: %v", err)
	}
	if _, err := db.Users.Get(t.Context(), "Ann"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a name in another case: %v", err)
	}
	for _, name := range []string{"", "Ann", "-a", "a-", "a b", "a/b", strings.Repeat("a", 64), "a\n"} {
		if err := db.Users.Create(t.Context(), name, accounts.Access{}, "h", now); !errors.Is(err, store.ErrRejected) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "b.c", "a@b.example", "z_9"} {
		create(t, db, name, accounts.Access{})
	}
	after, err := db.Users.After(t.Context(), "a", 3)
	must(t)(err)
	before, err := db.Users.Before(t.Context(), "z", 2)
	must(t)(err)
	if diff := cmp.Diff([][]string{{"a@b.example", "ann", "b.c"}, {"ann", "b.c"}},
		[][]string{names(after), names(before)}); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func names(users []accounts.User) []string {
	var names []string
	for _, u := range users {
		names = append(names, u.Name)
	}
	return names
}

func TestUpdateUser(t *testing.T) {
	db, _ := open(t)
	create(t, db, "root", accounts.Access{Admin: true})
	u := create(t, db, "ann", accounts.Access{})
	login(t, db, u, "s", now)
	viewer := accounts.Access{Grants: []accounts.Grant{{Namespace: "a", Role: "viewer"}}}
	must(t)(db.Users.Update(t.Context(), "ann", 1, viewer, false))
	if err := db.Users.Update(t.Context(), "ann", 1, viewer, false); !errors.Is(err, accounts.ErrStale) {
		t.Errorf("an old generation: %v", err)
	}
	if err := db.Users.Update(t.Context(), "nobody", 1, viewer, false); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("no such user: %v", err)
	}
	s, err := db.Sessions.Get(t.Context(), "s")
	must(t)(err)
	if diff := cmp.Diff(viewer, s.User.Access); diff != "" || s.User.Generation != 2 {
		t.Errorf("generation %d, access (-want +got):\n%s", s.User.Generation, diff)
	}
	must(t)(db.Users.Update(t.Context(), "ann", 2, viewer, true))
	if _, err := db.Sessions.Get(t.Context(), "s"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a session of a disabled user: %v", err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	db, _ := open(t)
	create(t, db, "root", accounts.Access{Admin: true})
	create(t, db, "other", accounts.Access{Admin: true})
	create(t, db, "ann", accounts.Access{})
	must(t)(db.Users.Update(t.Context(), "other", 1, accounts.Access{Admin: true}, true))
	for name, try := range map[string]func() error{
		"demoted":  func() error { return db.Users.Update(t.Context(), "root", 1, accounts.Access{}, false) },
		"disabled": func() error { return db.Users.Update(t.Context(), "root", 1, accounts.Access{Admin: true}, true) },
		"deleted":  func() error { return db.Users.Delete(t.Context(), "root") },
	} {
		if err := try(); !errors.Is(err, accounts.ErrLastAdmin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if u, err := db.Users.Get(t.Context(), "root"); err != nil || !u.Admin || u.Disabled || u.Generation != 1 {
		t.Errorf("root is %+v, %v", u, err)
	}
	must(t)(db.Users.Update(t.Context(), "other", 2, accounts.Access{Admin: true}, false))
	// Two administrators who delete each other at the same time: one stays.
	var wg sync.WaitGroup
	for _, name := range []string{"root", "other"} {
		wg.Go(func() {
			if err := db.Users.Delete(t.Context(), name); err != nil && !errors.Is(err, accounts.ErrLastAdmin) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left, err := db.Users.After(t.Context(), "", 9); err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", names(left), err)
	}
}

func TestSessionsBeginOnlyWithTheCheckedPassword(t *testing.T) {
	db, _ := open(t)
	create(t, db, "root", accounts.Access{Admin: true})
	tests := map[string]func(u accounts.User) error{
		"the password has changed": func(u accounts.User) error {
			return db.Users.SetPassword(t.Context(), u.ID, "new", "", now)
		},
		"the user was disabled": func(u accounts.User) error {
			return db.Users.Update(t.Context(), u.Name, 1, u.Access, true)
		},
		"the user was deleted": func(u accounts.User) error { return db.Users.Delete(t.Context(), u.Name) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			u := create(t, db, "u"+strings.ReplaceAll(name, " ", "-"), accounts.Access{})
			must(t)(change(u))
			err := db.Sessions.Create(t.Context(),
				accounts.Session{ID: name, User: u, CreatedAt: now, ExpiresAt: now.Add(1)}, "hash of "+u.Name)
			if !errors.Is(err, accounts.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSetPasswordEndsOtherSessions(t *testing.T) {
	db, _ := open(t)
	u := create(t, db, "ann", accounts.Access{})
	for _, id := range []string{"one", "two"} {
		login(t, db, u, id, now)
	}
	must(t)(db.Users.SetPassword(t.Context(), u.ID, "new", "two", now.Add(time.Minute)))
	if _, err := db.Sessions.Get(t.Context(), "one"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("the other session: %v", err)
	}
	s, err := db.Sessions.Get(t.Context(), "two")
	if err != nil || !s.User.PasswordChangedAt.Equal(now.Add(time.Minute)) {
		t.Errorf("the kept session: %+v, %v", s, err)
	}
	must(t)(db.Users.RenewHash(t.Context(), u.ID, "old", "renewed"))
	if hash, err := db.Users.PasswordHash(t.Context(), u.ID); err != nil || hash != "new" {
		t.Errorf("another hash than the one that was read was replaced: %q, %v", hash, err)
	}
	must(t)(db.Users.RenewHash(t.Context(), u.ID, "new", "renewed"))
	if hash, err := db.Users.PasswordHash(t.Context(), u.ID); err != nil || hash != "renewed" {
		t.Errorf("hash %q, %v", hash, err)
	}
	if err := db.Users.SetPassword(t.Context(), 999, "h", "", now); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("no such user: %v", err)
	}
}

func TestSessionsOfAUserAreBounded(t *testing.T) {
	db, pool := open(t)
	u := create(t, db, "ann", accounts.Access{})
	login(t, db, u, "used", now.Add(-time.Hour))
	must(t)(db.Sessions.See(t.Context(), "used", now.Add(time.Hour)))
	must(t)(db.Sessions.See(t.Context(), "used", now)) // time does not go back
	for i := range accounts.MaxSessions {
		login(t, db, u, fmt.Sprint(i), now.Add(time.Duration(i)*time.Second))
	}
	var n int
	must(t)(pool.QueryRow(`SELECT count(*) FROM kontroler_server.sessions`).Scan(&n))
	if n != accounts.MaxSessions {
		t.Errorf("%d sessions, want %d", n, accounts.MaxSessions)
	}
	if s, err := db.Sessions.Get(t.Context(), "used"); err != nil || !s.SeenAt.Equal(now.Add(time.Hour)) {
		t.Errorf("a session in use: %+v, %v", s, err)
	}
	if _, err := db.Sessions.Get(t.Context(), "0"); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("the session that was unused for longest: %v", err)
	}
}

func TestAddressesOfSessions(t *testing.T) {
	db, _ := open(t)
	u, other := create(t, db, "ann", accounts.Access{}), create(t, db, "bob", accounts.Access{})
	for i, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		must(t)(db.Sessions.Create(t.Context(), accounts.Session{
			ID: fmt.Sprint(i), User: u, Address: address, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		}, "hash of ann"))
	}
	login(t, db, other, "other", now)
	must(t)(db.Sessions.See(t.Context(), "1", now.Add(2*time.Minute)))
	must(t)(db.Sessions.See(t.Context(), "2", now.Add(time.Minute)))
	got, err := db.Sessions.Addresses(t.Context(), u.ID)
	must(t)(err)
	if diff := cmp.Diff([]string{"192.0.2.2", "192.0.2.1", "192.0.2.1"}, got); diff != "" {
		t.Errorf("addresses, that of the last use first (-want +got):\n%s", diff)
	}
}

func TestTokens(t *testing.T) {
	db, _ := open(t)
	u, other := create(t, db, "ann", accounts.Access{}), create(t, db, "bob", accounts.Access{})
	hash := func(i int) []byte { return append(make([]byte, 31), byte(i)) }
	token := accounts.Token{
		Name: "ci", Access: accounts.Access{Grants: []accounts.Grant{{Namespace: "a", Role: "operator"}}},
		CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
	id, err := db.Tokens.Create(t.Context(), u.ID, token, hash(0))
	must(t)(err)
	if _, err := db.Tokens.Create(t.Context(), u.ID, token, hash(1)); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("a second token of this name: %v", err)
	}
	must(t)(db.Tokens.See(t.Context(), id, now.Add(time.Minute)))
	got, err := db.Tokens.Get(t.Context(), hash(0))
	must(t)(err)
	token.ID, token.User, token.SeenAt = id, u, now.Add(time.Minute)
	if diff := cmp.Diff(token, got); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	token.User = accounts.User{}
	listed, err := db.Tokens.List(t.Context(), u.ID)
	must(t)(err)
	if diff := cmp.Diff([]accounts.Token{token}, listed); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if err := db.Tokens.Delete(t.Context(), other.ID, id); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a token of another user: %v", err)
	}
	must(t)(db.Tokens.Delete(t.Context(), u.ID, id))
	if _, err := db.Tokens.Get(t.Context(), hash(0)); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a deleted token: %v", err)
	}
	for i := range accounts.MaxTokens + 1 {
		token.Name = fmt.Sprint(i)
		_, err := db.Tokens.Create(t.Context(), u.ID, token, hash(i+2))
		if isLast := i == accounts.MaxTokens; isLast != errors.Is(err, accounts.ErrTooMany) || !isLast && err != nil {
			t.Errorf("token %d: %v", i, err)
		}
	}
}

func TestCreateFirstUser(t *testing.T) {
	db, _ := open(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	made := 0
	for range 4 {
		wg.Go(func() {
			isCreated, err := db.Users.CreateFirst(t.Context(), "admin", "h", now)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if isCreated {
				made++
			}
		})
	}
	wg.Wait()
	if u, err := db.Users.Get(t.Context(), "admin"); made != 1 || err != nil || !u.Admin {
		t.Errorf("%d callers created it: %+v, %v", made, u, err)
	}
}

func TestAudit(t *testing.T) {
	db, _ := open(t)
	create(t, db, "root", accounts.Access{Admin: true})
	u := create(t, db, "ann", accounts.Access{})
	var all []accounts.AuditEntry
	for i := range 6 {
		e := accounts.AuditEntry{
			At: now.Add(time.Duration(i/2) * time.Minute), RequestID: fmt.Sprint("r", i), UserID: u.ID, User: u.Name,
			TokenID: int64(i), Address: "192.0.2.1", Action: "user.update", Object: fmt.Sprint("users/", i%2),
		}
		id, err := db.Audit.Begin(t.Context(), e)
		must(t)(err)
		if i != 5 {
			must(t)(db.Audit.End(t.Context(), id, "succeeded", now.Add(time.Hour)))
			e.Outcome, e.EndedAt = "succeeded", now.Add(time.Hour)
		}
		e.ID = id
		all = append([]accounts.AuditEntry{e}, all...)
	}
	must(t)(db.Users.Delete(t.Context(), "ann"))
	at := func(i int) accounts.AuditPosition { return accounts.AuditPosition{At: all[i].At, ID: all[i].ID} }
	tests := map[string]struct {
		filter accounts.AuditFilter
		before accounts.AuditPosition
		after  *accounts.AuditPosition
		want   []accounts.AuditEntry
	}{
		"the newest rows come first, also those of a deleted user": {want: all[:4]},
		"a page goes on at the position":                           {before: at(3), want: all[4:]},
		"a page goes back from the position":                       {after: new(at(5)), want: all[1:5]},
		"rows of a user":                                           {filter: accounts.AuditFilter{User: "bob"}},
		"rows of an object": {
			filter: accounts.AuditFilter{User: "ann", Object: "users/1"},
			want:   []accounts.AuditEntry{all[0], all[2], all[4]},
		},
		"rows of a time, its end excluded": {
			filter: accounts.AuditFilter{From: now.Add(time.Minute), To: now.Add(2 * time.Minute)}, want: all[2:4],
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := db.Audit.Before(t.Context(), test.filter, test.before, 4)
			if test.after != nil {
				got, err = db.Audit.After(t.Context(), test.filter, *test.after, 4)
			}
			must(t)(err)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClean(t *testing.T) {
	db, pool := open(t)
	u := create(t, db, "ann", accounts.Access{})
	login(t, db, u, "old", now.Add(-2*time.Hour))
	login(t, db, u, "live", now)
	for i, expired := range []time.Duration{29 * 24 * time.Hour, 31 * 24 * time.Hour} {
		_, err := db.Tokens.Create(t.Context(), u.ID, accounts.Token{
			Name: fmt.Sprint("expired ", expired), CreatedAt: now.Add(-1000 * time.Hour), ExpiresAt: now.Add(-expired),
		}, append(make([]byte, 31), byte(i)))
		must(t)(err)
	}
	for _, age := range []time.Duration{time.Hour, 3 * time.Hour} {
		_, err := db.Audit.Begin(t.Context(), accounts.AuditEntry{At: now.Add(-age), Action: fmt.Sprint(age)})
		must(t)(err)
	}
	left := func() (s string) {
		t.Helper()
		must(t)(pool.QueryRow(`SELECT (SELECT string_agg(id, ',' ORDER BY id) FROM kontroler_server.sessions) || ' ' ||
(SELECT string_agg(name, ',' ORDER BY name) FROM kontroler_server.tokens) || ' ' ||
(SELECT string_agg(action, ',' ORDER BY id) FROM kontroler_server.audit)`).Scan(&s))
		return s
	}
	must(t)(db.Clean(t.Context(), now, 0))
	if diff := cmp.Diff("live expired 696h0m0s 1h0m0s,3h0m0s", left()); diff != "" {
		t.Errorf("left without a retention of the audit (-want +got):\n%s", diff)
	}
	must(t)(db.Clean(t.Context(), now, 2*time.Hour))
	if diff := cmp.Diff("live expired 696h0m0s 1h0m0s", left()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestMigrate(t *testing.T) {
	tests := map[string]struct {
		prepare string
		want    string // part of the error; empty means none
	}{
		"a role that may not create the schema learns what helps": {
			want: "GRANT <the user of the server> TO CURRENT_USER; CREATE SCHEMA kontroler_server AUTHORIZATION",
		},
		"the owner of an existing schema needs no other privilege": {
			prepare: `CREATE SCHEMA kontroler_server AUTHORIZATION %s`,
		},
		"a role that may use the schema, but not create tables in it, is refused": {
			prepare: `CREATE SCHEMA kontroler_server; GRANT USAGE ON SCHEMA kontroler_server TO %s`,
			want:    "GRANT <the user of the server> TO CURRENT_USER; CREATE SCHEMA kontroler_server AUTHORIZATION",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base := storetest.EmptyURL(t)
			role, serverURL := storetest.NewRole(t, base)
			if test.prepare != "" {
				_, err := raw(t, base).Exec(fmt.Sprintf(test.prepare, pq.QuoteIdentifier(role)))
				must(t)(err)
			}
			db, err := accounts.Open(serverURL, 1)
			must(t)(err)
			defer db.Close()
			err = db.Migrate(t.Context())
			if test.want == "" {
				must(t)(err)
				must(t)(db.Migrate(t.Context()))
			} else if !errors.Is(err, accounts.ErrForbidden) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

// TestPlans fills the tables and reads the plan of every statement. Only its index may serve it.
func TestPlans(t *testing.T) {
	db, pool := open(t)
	create(t, db, "root", accounts.Access{Admin: true})
	for _, statement := range []string{
		`INSERT INTO kontroler_server.users (name, admin, grants, created_at)
SELECT 'user-' || i, false, '[]', now() FROM generate_series(1, 5000) i`,
		`INSERT INTO kontroler_server.credentials
SELECT id, 'h', now() FROM kontroler_server.users WHERE name <> 'root'`,
		`INSERT INTO kontroler_server.sessions
SELECT 'session-' || id, id, '', now(), now() + interval '1 day', now() FROM kontroler_server.users`,
		`INSERT INTO kontroler_server.tokens (user_id, name, hash, admin, grants, created_at, expires_at)
SELECT id, 'n', sha256(name::bytea), false, '[]', now(), now() + interval '1 day' FROM kontroler_server.users`,
		`INSERT INTO kontroler_server.audit (at, request_id, user_name, address, action, object)
SELECT now() - i * interval '1 second', '', 'user-' || i % 20, '', '', 'users/user-' || i % 20
FROM generate_series(1, 40000) i`,
		`ANALYZE`,
	} {
		_, err := pool.Exec(statement)
		must(t)(err)
	}
	for name, q := range accounts.Queries(time.Now()) {
		t.Run(name, func(t *testing.T) {
			rows, err := pool.Query("EXPLAIN "+q.SQL, q.Args...)
			must(t)(err)
			defer rows.Close()
			var plan strings.Builder
			for rows.Next() {
				var line string
				must(t)(rows.Scan(&line))
				plan.WriteString(line + "\n")
			}
			must(t)(rows.Err())
			for _, bad := range []string{"Seq Scan", "  Sort"} {
				if strings.Contains(plan.String(), bad) && !strings.HasPrefix(name, "sqlSessionsTrim") {
					t.Errorf("the plan has %s:\n%s\n%s", bad, q.SQL, &plan)
				}
			}
		})
	}
}
