package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
)

const (
	keyA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-first"
	keyB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-second"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a database, a key file and a clock. Each replica that is made of it has a memory of its own.
type world struct {
	*testing.T
	db      *accounts.DB
	clock   *clock
	keyFile string
	logs    *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := accounts.Open(storetest.EmptyURL(t), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{
		T: t, db: db, clock: &clock{at: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}, logs: &bytes.Buffer{},
		keyFile: filepath.Join(t.TempDir(), "keys"),
	}
	w.writeKeys(keyA)
	return w
}

func (w *world) writeKeys(keys ...string) {
	w.Helper()
	if err := os.WriteFile(w.keyFile, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) keys() *auth.Keys {
	w.Helper()
	keys, err := auth.OpenKeys(w.keyFile)
	if err != nil {
		w.Fatal(err)
	}
	return keys
}

const idle = time.Hour

func (w *world) replica() *auth.Logins {
	w.Helper()
	return &auth.Logins{
		DB: w.db, Authenticator: auth.NewAuthenticator(w.db, w.keys(), idle, w.clock.now), Hasher: auth.NewHasher(),
		Delays: auth.NewDelays(), Lifetime: 12 * time.Hour, Now: w.clock.now,
		Log: slog.New(slog.NewTextHandler(w.logs, nil)),
	}
}

const password = "correct horse battery staple"

// passwordHash hashes the password once, because hashing is slow under the race detector.
var passwordHash = sync.OnceValues(func() (string, error) {
	return auth.NewHasher().Hash(context.Background(), "", password)
})

// user creates a user with the password.
func (w *world) user(name string, access accounts.Access) accounts.User {
	w.Helper()
	hash, err := passwordHash()
	if err == nil {
		err = w.db.Users.Create(w.Context(), name, access, hash, w.clock.now())
	}
	if err != nil {
		w.Fatal(err)
	}
	u, err := w.db.Users.Get(w.Context(), name)
	if err != nil {
		w.Fatal(err)
	}
	return u
}

var home = netip.MustParseAddr("192.0.2.1")

func login(l *auth.Logins, t *testing.T, name, password string, from netip.Addr) (string, accounts.Session, error) {
	return l.Login(t.Context(), name, password, auth.Origin{Address: from}, plainly(t))
}

func (w *world) login(l *auth.Logins, name string) (string, accounts.Session) {
	w.Helper()
	token, s, err := login(l, w.T, name, password, home)
	if err != nil {
		w.Fatal(err)
	}
	return token, s
}

func (w *world) refused(l *auth.Logins, credential, why string) {
	w.Helper()
	p, err := l.Authenticator.Authenticate(w.Context(), credential)
	if !errors.Is(err, auth.ErrUnauthenticated) || !strings.Contains(err.Error(), why) {
		w.Errorf("authenticated as %+v, error %v; want %q", p, err, why)
	}
}

func (w *world) accepted(l *auth.Logins, credential string) auth.Principal {
	w.Helper()
	p, err := l.Authenticator.Authenticate(w.Context(), credential)
	if err != nil {
		w.Errorf("refused: %v", err)
	}
	return p
}

func TestTokensOfSessions(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	genuine, s := w.login(l, "ann")
	kid := w.keys().SigningID()
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{
			"iss": "kontroler", "aud": []string{"kontroler-api"}, "sub": "ann", "jti": s.ID,
			"exp": w.clock.now().Add(time.Hour).Unix(),
		}
		if change != nil {
			change(c)
		}
		return c
	}
	sign := func(method jwt.SigningMethod, header map[string]any, c jwt.MapClaims, key any) string {
		t.Helper()
		token := jwt.NewWithClaims(method, c)
		for name, value := range header {
			token.Header[name] = value
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	header := map[string]any{"kid": kid}
	none := sign(jwt.SigningMethodNone, header, claims(nil), jwt.UnsafeAllowNoneSignatureType)
	parts := strings.Split(genuine, ".")
	tests := map[string]struct {
		token string
		want  string // part of the error; empty means accepted
	}{
		"the genuine token":                    {genuine, ""},
		"a token that was made like a genuine": {sign(jwt.SigningMethodHS256, header, claims(nil), []byte(keyA)), ""},
		"no token":                             {"", "not valid"},
		"a text that is no token":              {"a.b.c", "not valid"},
		"alg none":                             {none, "not valid"},
		"alg none with the genuine signature": {
			strings.Join(strings.Split(none, ".")[:2], ".") + "." + parts[2], "not valid",
		},
		"the genuine token without signature": {parts[0] + "." + parts[1] + ".", "not valid"},
		"another hash with the same key": {
			sign(jwt.SigningMethodHS512, header, claims(nil), []byte(keyA)), "not valid",
		},
		"another key under the known kid": {
			sign(jwt.SigningMethodHS256, header, claims(nil), []byte(keyB)), "not valid",
		},
		"an unknown kid": {
			sign(jwt.SigningMethodHS256, map[string]any{"kid": "ffff"}, claims(nil), []byte(keyA)), "not valid",
		},
		"no kid": {sign(jwt.SigningMethodHS256, nil, claims(nil), []byte(keyA)), "not valid"},
		"a kid that is no text": {
			sign(jwt.SigningMethodHS256, map[string]any{"kid": []int{1}}, claims(nil), []byte(keyA)), "not valid",
		},
		"another issuer": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { c["iss"] = "x" }), []byte(keyA)),
			"not valid",
		},
		"another audience": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { c["aud"] = "x" }), []byte(keyA)),
			"not valid",
		},
		"no expiry": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { delete(c, "exp") }), []byte(keyA)),
			"not valid",
		},
		"an expiry in the past": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { c["exp"] = w.clock.now().Unix() - 1 }),
				[]byte(keyA)), "expired",
		},
		"not valid yet": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { c["nbf"] = w.clock.now().Unix() + 60 }),
				[]byte(keyA)), "not valid",
		},
		"no session": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { delete(c, "jti") }), []byte(keyA)),
			"not valid",
		},
		"a session that does not exist": {
			sign(jwt.SigningMethodHS256, header, claims(func(c jwt.MapClaims) { c["jti"] = "x" }), []byte(keyA)),
			"has ended",
		},
		"an API token that does not exist": {"kontroler_ABCDEFGHIJKLMNOPQRSTUVWXYZ", "has ended"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.T = t
			if test.want == "" {
				if p := w.accepted(l, test.token); p.User != "ann" || p.SessionID != s.ID || p.TokenID != 0 {
					t.Errorf("principal %+v", p)
				}
			} else {
				w.refused(l, test.token, test.want)
			}
		})
	}
	if claimed, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil ||
		bytes.Contains(claimed, []byte(password)) {
		t.Errorf("claims %s, %v", claimed, err)
	}
}

func TestSessionsEndOnEveryReplicaWithinTwoSeconds(t *testing.T) {
	tests := map[string]struct {
		end func(w *world, here *auth.Logins, u accounts.User, p auth.Principal) error
		why string
	}{
		"logout": {
			func(w *world, here *auth.Logins, _ accounts.User, p auth.Principal) error {
				return here.Authenticator.End(w.Context(), p)
			}, "has ended",
		},
		"another password": {
			func(w *world, here *auth.Logins, u accounts.User, _ auth.Principal) error {
				return w.db.Users.SetPassword(w.Context(), u.ID, "x", "", w.clock.now())
			}, "has ended",
		},
		"a disabled user": {
			func(w *world, _ *auth.Logins, u accounts.User, _ auth.Principal) error {
				return w.db.Users.Update(w.Context(), u.Name, u.Generation, u.Access, true)
			}, "has ended",
		},
		"a deleted user": {
			func(w *world, _ *auth.Logins, u accounts.User, _ auth.Principal) error {
				return w.db.Users.Delete(w.Context(), u.Name)
			}, "has ended",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			here, there := w.replica(), w.replica()
			w.user("root", accounts.Access{Admin: true})
			u := w.user("ann", accounts.Access{})
			token, _ := w.login(here, "ann")
			p := w.accepted(there, token)
			if err := test.end(w, here, u, p); err != nil {
				t.Fatal(err)
			}
			w.clock.add(auth.MaxStale - time.Nanosecond)
			w.accepted(there, token) // The row that was read may be this old.
			w.clock.add(time.Nanosecond)
			w.refused(there, token, test.why)
			w.refused(here, token, test.why)
		})
	}
}

func TestRightsChangeOnEveryReplicaWithinTwoSeconds(t *testing.T) {
	w := newWorld(t)
	here, there := w.replica(), w.replica()
	w.user("root", accounts.Access{Admin: true})
	u := w.user("ann", accounts.Access{Admin: true})
	token, _ := w.login(here, "ann")
	secret, hash := auth.NewToken()
	_, err := w.db.Tokens.Create(t.Context(), u.ID, accounts.Token{
		Name: "ci", Access: accounts.Access{Admin: true, Grants: []accounts.Grant{{Namespace: "b", Role: "operator"}}},
		CreatedAt: w.clock.now(), ExpiresAt: w.clock.now().Add(time.Hour),
	}, hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{token, secret} {
		if p := w.accepted(there, credential); !p.Access.Admin {
			t.Errorf("before: %+v", p)
		}
	}
	viewer := accounts.Access{Grants: []accounts.Grant{{Namespace: "b", Role: "viewer"}}}
	if err := w.db.Users.Update(t.Context(), "ann", 1, viewer, false); err != nil {
		t.Fatal(err)
	}
	w.clock.add(auth.MaxStale)
	for _, credential := range []string{token, secret} {
		p := w.accepted(there, credential)
		if diff := cmp.Diff(viewer, p.Access); diff != "" {
			t.Errorf("rights (-want +got):\n%s", diff)
		}
	}
	w.clock.add(time.Hour)
	w.refused(there, secret, "expired")
}

func TestUnusedSessionsEnd(t *testing.T) {
	w := newWorld(t)
	l, other := w.replica(), w.replica()
	w.user("ann", accounts.Access{})
	used, _ := w.login(l, "ann")
	unused, _ := w.login(l, "ann")
	for range 11 * 2 {
		w.clock.add(30 * time.Minute)
		w.accepted(l, used)
	}
	w.accepted(other, used)
	w.refused(l, unused, "unused for too long")
	w.clock.add(time.Hour)
	w.refused(other, used, "expired") // after its lifetime, although it was used
}

// TestAStreamIsNoUse rechecks a session like a stream. This neither keeps the session alive, nor prevents that a use is
// recorded.
func TestAStreamIsNoUse(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	used, _ := w.login(l, "ann")
	unused, _ := w.login(l, "ann")
	recheck := func(credential string) error {
		_, err := l.Authenticator.Recheck(t.Context(), credential)
		return err
	}
	for range 4 {
		w.clock.add(idle / 2)
		if err := recheck(used); err != nil {
			t.Fatal(err)
		}
		w.accepted(l, used) // less than MaxStale after the recheck
		if err := recheck(used); err != nil {
			t.Fatal(err)
		}
		if err := recheck(unused); err != nil && !strings.Contains(err.Error(), "unused for too long") {
			t.Fatal(err)
		}
	}
	w.refused(l, unused, "unused for too long")
	if err := recheck(unused); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a recheck of a session that was not used: %v", err)
	}
	if err := l.Authenticator.End(t.Context(), w.accepted(l, used)); err != nil {
		t.Fatal(err)
	}
	if err := recheck(used); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a recheck of a session that has ended: %v", err)
	}
}

// TestAnUnattendedRequestIsNoUse sends the requests of an unattended page, and other requests.
func TestAnUnattendedRequestIsNoUse(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	for name, test := range map[string]struct {
		header          string
		isStream, isUse bool
	}{
		"a request of a page that nobody uses": {"true", false, false},
		"a request of a page that is used":     {"false", false, true},
		"a request of a program":               {"", false, true},
		"a stream":                             {"", true, false},
	} {
		credential, _ := w.login(l, "ann")
		var err error
		for range 4 {
			w.clock.add(idle / 2)
			_, err = l.Authenticator.AuthenticateRequest(unattended(t, test.header), credential, test.isStream)
		}
		if test.isUse && err != nil {
			t.Errorf("%s: a session that is used: %v", name, err)
		}
		if !test.isUse && !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: a session that nobody uses: %v", name, err)
		}
	}
}

// unattended returns a request whose UnattendedHeader has a value, or none.
func unattended(t *testing.T, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(t.Context())
	if value != "" {
		r.Header.Set(auth.UnattendedHeader, value)
	}
	return r
}

// TestAStreamUsesAnAPIToken opens a stream with an API token, whose last use is shown to its user.
func TestAStreamUsesAnAPIToken(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	u := w.user("ann", accounts.Access{})
	secret, hash := auth.NewToken()
	if _, err := w.db.Tokens.Create(t.Context(), u.ID, accounts.Token{
		Name: "ci", CreatedAt: w.clock.now(), ExpiresAt: w.clock.now().Add(24 * time.Hour),
	}, hash); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.clock.add(time.Hour)
		if _, err := l.Authenticator.AuthenticateRequest(unattended(t, ""), secret, true); err != nil {
			t.Fatal(err)
		}
		if token, err := w.db.Tokens.Get(t.Context(), hash); err != nil || !token.SeenAt.Equal(w.clock.now()) {
			t.Errorf("last used at %s, want %s (%v)", token.SeenAt, w.clock.now(), err)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	keys := w.keys()
	l.Authenticator = auth.NewAuthenticator(w.db, keys, idle, w.clock.now)
	before, _ := w.login(l, "ann")
	reload := func(want bool) {
		t.Helper()
		if hasChanged, err := keys.Reload(); err != nil || hasChanged != want {
			t.Fatalf("reload: %v, %v", hasChanged, err)
		}
	}
	reload(false)
	w.writeKeys("# the new key signs", "", keyB, "  "+keyA+"  ")
	reload(true)
	after, _ := w.login(l, "ann")
	w.accepted(l, before)
	w.accepted(l, after)
	w.writeKeys(keyB)
	reload(true)
	w.refused(l, before, "not valid")
	w.accepted(l, after)
	for name, faulty := range map[string]string{"an empty file": "# nothing", "a short key": keyB + "\nshort-secret"} {
		w.writeKeys(faulty)
		if _, err := keys.Reload(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		w.accepted(l, after)
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("root", accounts.Access{Admin: true})
	w.user("ann", accounts.Access{})
	w.user("off", accounts.Access{})
	if err := w.db.Users.Update(t.Context(), "off", 1, accounts.Access{}, true); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		user, password string
		recorded       string
	}{
		"a wrong password":             {"ann", "wrong", "ann"},
		"a password in another case":   {"ann", strings.ToUpper(password), "ann"},
		"a disabled user":              {"off", password, "off"},
		"an unknown user":              {"nobody", password, "(unknown)"},
		"a text that cannot be a name": {"Ann\x00'; --", password, "(unknown)"},
		"a very long password":         {"ann", strings.Repeat("x", 1<<16), "ann"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			recorded := ""
			_, _, err := l.Login(t.Context(), test.user, test.password, auth.Origin{Address: home},
				func(u accounts.User, _ bool, action action) error {
					recorded = u.Name
					return action(t.Context())
				})
			if !errors.Is(err, auth.ErrUnauthenticated) || !strings.Contains(err.Error(), "user or password is wrong") {
				t.Errorf("got %v", err)
			}
			if recorded != test.recorded {
				t.Errorf("recorded as %q", recorded)
			}
		})
	}
	failed := errors.New("no audit")
	_, _, err := l.Login(t.Context(), "ann", password, auth.Origin{Address: home},
		func(accounts.User, bool, action) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("a login that cannot be recorded: %v", err)
	}
}

func TestWeakHashesAreRenewed(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	u := w.user("ann", accounts.Access{})
	weak := auth.EncodeWeak(password)
	if err := w.db.Users.SetPassword(t.Context(), u.ID, weak, "", w.clock.now()); err != nil {
		t.Fatal(err)
	}
	token, _ := w.login(l, "ann")
	w.accepted(l, token)
	hash, err := w.db.Users.PasswordHash(t.Context(), u.ID)
	if err != nil || hash == weak || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q, %v", hash, err)
	}
	w.login(l, "ann")
}

func TestFailedLoginsDelayOnlyTheirPair(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	w.user("bob", accounts.Access{})
	attacker := netip.MustParseAddr("2001:db8::1")
	neighbour := netip.MustParseAddr("2001:db8::ffff:1") // the same network of 64 bits
	for range 5 {
		if _, _, err := login(l, t, "ann", "wrong", attacker); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	delayed := func(name string, from netip.Addr, want time.Duration) {
		t.Helper()
		_, _, err := login(l, t, name, password, from)
		if d, ok := errors.AsType[*auth.DelayedError](err); !ok || d.After != want {
			t.Errorf("%s from %s: %v, want a delay of %s", name, from, err, want)
		}
	}
	delayed("ann", attacker, time.Second) // although the password is right
	delayed("ann", neighbour, time.Second)
	w.login(l, "ann") // from another network
	if _, _, err := login(l, t, "bob", password, attacker); err != nil {
		t.Errorf("another user from the same network: %v", err)
	}
	for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		w.clock.add(wait - time.Nanosecond)
		delayed("ann", attacker, time.Nanosecond)
		w.clock.add(time.Nanosecond)
		if _, _, err := login(l, t, "ann", "wrong", attacker); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	delayed("ann", attacker, 8*time.Second)
	w.clock.add(8 * time.Second)
	if _, _, err := login(l, t, "ann", password, attacker); err != nil {
		t.Fatal(err)
	}
	if _, _, err := login(l, t, "ann", "wrong", attacker); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a success does not forget the failures: %v", err)
	}
}

func TestDelays(t *testing.T) {
	d, at := auth.NewDelays(), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	n := auth.Origin{Address: home}
	for wait := time.Duration(-1); wait != 0 || d.Begin("ann", n, at) < 15*time.Minute; {
		wait = d.Begin("ann", n, at)
		at = at.Add(wait)
	}
	if wait := d.Begin("ann", n, at); wait != 15*time.Minute {
		t.Errorf("after many failures the delay is %s", wait)
	}
	if wait := d.Begin("ann", n, at.Add(61*time.Minute)); wait != 0 {
		t.Errorf("after an hour without a failure the delay is %s", wait)
	}
	// Many at a time are counted before any of them has ended.
	waits := 0
	for range 20 {
		if d.Begin("bob", n, at) > 0 {
			waits++
		}
	}
	if waits != 15 {
		t.Errorf("%d of 20 concurrent logins must wait, want 15", waits)
	}
	// Logins whose password was not checked use no memory.
	for i := range 60_000 {
		user := strconv.Itoa(i)
		d.Begin(user, n, at)
		d.Abandon(user, n)
	}
	if d.Begin("bob", n, at) == 0 {
		t.Error("abandoned logins make failed ones forgotten")
	}
}

// TestForgedAddressesOfAProxy logs in through a proxy that forwards forged addresses. Few passwords of a user can be
// tried. A user who has logged in from a network before can do so again.
func TestForgedAddressesOfAProxy(t *testing.T) {
	d, at := auth.NewDelays(), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	proxy := netip.MustParseAddr("10.0.0.9")
	forged := netip.MustParseAddr("198.51.100.0")
	next := func() auth.Origin {
		forged = forged.Next()
		return auth.Origin{Address: forged, Via: proxy}
	}
	own := auth.Origin{Address: home, Via: proxy}
	if wait := d.Begin("ann", own, at); wait != 0 {
		t.Fatalf("the first login waits %s", wait)
	}
	d.Succeed("ann", own)
	abandoned := next()
	d.Begin("ann", abandoned, at)
	d.Abandon("ann", abandoned)
	for range auth.FreeOfProxy {
		if wait := d.Begin("ann", next(), at); wait != 0 {
			t.Fatalf("a login waits %s", wait)
		}
	}
	for _, wait := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if got := d.Begin("ann", next(), at); got != wait*time.Second {
			t.Errorf("a login waits %s, want %d s", got, wait)
		}
		at = at.Add(wait * time.Second)
		d.Begin("ann", next(), at)
	}
	for name, test := range map[string]struct {
		user string
		from auth.Origin
	}{
		"from an own network":   {"ann", own},
		"by another proxy":      {"ann", auth.Origin{Address: forged.Next(), Via: proxy.Next()}},
		"without a proxy":       {"ann", auth.Origin{Address: forged.Next()}},
		"another user, also so": {"bob", auth.Origin{Address: forged.Next(), Via: proxy}},
	} {
		if wait := d.Begin(test.user, test.from, at); wait != 0 {
			t.Errorf("%s: a login waits %s", name, wait)
		}
	}
	// The address of an own network can be forged, too.
	for range 4 {
		d.Begin("ann", own, at)
	}
	if wait := d.Begin("ann", own, at); wait != time.Second {
		t.Errorf("from an own network a login waits %s after failures", wait)
	}
	// Networks from which the user logged in long ago are forgotten.
	for range 8 {
		at = at.Add(10 * time.Second)
		from := next()
		if wait := d.Begin("ann", from, at); wait != 0 {
			t.Fatalf("a login waits %s", wait)
		}
		d.Succeed("ann", from)
	}
	if wait := d.Begin("ann", auth.Origin{Address: home, Via: proxy}, at.Add(time.Second)); wait <= time.Second {
		t.Errorf("from a network of long ago a login waits %s", wait)
	}
}

// TestNetworksOfSessionsAreOwn starts a replica while somebody tries passwords through the proxy. A user who has logged
// in before, at another replica, gets in from the same network, but not from a new one.
func TestNetworksOfSessionsAreOwn(t *testing.T) {
	w := newWorld(t)
	w.user("ann", accounts.Access{})
	proxy := netip.MustParseAddr("10.0.0.9")
	through := func(address string) auth.Origin {
		return auth.Origin{Address: netip.MustParseAddr(address), Via: proxy}
	}
	const home, elsewhere = "2001:db8:1::1", "2001:db8:2::1"
	before, after := w.replica(), w.replica()
	if _, _, err := before.Login(t.Context(), "ann", password, through(home), plainly(t)); err != nil {
		t.Fatal(err)
	}
	_, _, err := after.Login(t.Context(), "ann", "wrong", through("198.51.100.1"), plainly(t))
	if !errors.Is(err, auth.ErrUnauthenticated) {
		t.Fatal(err)
	}
	attacker := netip.MustParseAddr("198.51.100.1")
	for range auth.FreeOfProxy {
		attacker = attacker.Next()
		after.Delays.Begin("ann", auth.Origin{Address: attacker, Via: proxy}, w.clock.now())
	}
	_, _, err = after.Login(t.Context(), "ann", password, through(elsewhere), plainly(t))
	if _, isDelayed := errors.AsType[*auth.DelayedError](err); !isDelayed {
		t.Errorf("from a new network: %v", err)
	}
	if _, _, err = after.Login(t.Context(), "ann", password, through(home), plainly(t)); err != nil {
		t.Errorf("from the network of an earlier login: %v", err)
	}
}

// TestKnownNetworks has more networks than are kept. Those of logins at this replica are kept first.
func TestKnownNetworks(t *testing.T) {
	d, at := auth.NewDelays(), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	from := func(i int) auth.Origin {
		return auth.Origin{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Via: netip.MustParseAddr("10.0.0.9")}
	}
	d.Succeed("ann", from(0))
	var networks []string
	for i := range 10 {
		networks = append(networks, auth.Network(from(i).Address))
	}
	d.Know("ann", networks)
	for i := range auth.FreeOfProxy {
		d.Begin("ann", from(100+i), at)
	}
	for i := range 10 {
		if isOwn := d.Begin("ann", from(i), at) == 0; isOwn != (i < 8) {
			t.Errorf("network %d is one of the user: %t", i, isOwn)
		}
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.user("ann", accounts.Access{})
	token, _ := w.login(l, "ann")
	other, _ := w.login(l, "ann")
	p := w.accepted(l, token)
	from := auth.Origin{Address: home}
	if err := l.ChangePassword(
		t.Context(), p, "wrong", "another password", from, plainly(t)); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := l.ChangePassword(t.Context(), p, password, "another password", from, plainly(t)); err != nil {
		t.Fatal(err)
	}
	w.clock.add(auth.MaxStale)
	w.accepted(l, token)
	w.refused(l, other, "has ended")
	if _, _, err := login(l, t, "ann", password, home); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the old password: %v", err)
	}
	if _, _, err := login(l, t, "ann", "another password", home); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	tests := map[string]struct{ password, want string }{
		"a long password is accepted":         {password, ""},
		"a password of twelve characters":     {"äöüäöü123456", ""},
		"a short password":                    {"12345678901", "fewer than 12 characters"},
		"a password that is too long to hash": {strings.Repeat("ab", 513), "more than 1024 bytes"},
		"the name of the user":                {"Ann@example.org", "easy to guess"},
		"one character":                       {strings.Repeat("x", 20), "easy to guess"},
		"bytes that are no text":              {"\xff" + password, "not valid UTF-8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := auth.CheckPassword("ann@example.org", test.password)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
