package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kontroler/store/accounts"
)

const (
	// MaxStale is how old the cached row of a session or API token may be when a request uses it.
	MaxStale = 2 * time.Second
	// maxCached bounds the memory of an Authenticator.
	maxCached = 20_000
	// tokenPrefix makes API tokens recognizable, for people and for scanners of secrets.
	tokenPrefix = "kontroler_"
)

// ErrUnauthenticated means that the caller is not authenticated. The text says why, and is shown to the caller.
var ErrUnauthenticated = errors.New("unauthenticated")

func unauthenticated(why string) error { return fmt.Errorf("%w: %s", ErrUnauthenticated, why) }

// Principal is an authenticated caller.
type Principal struct {
	UserID int64
	User   string
	Access accounts.Access
	// SessionID is empty, and TokenID is not zero, if the caller uses an API token.
	SessionID string
	TokenID   int64
	ExpiresAt time.Time
}

// Authenticator authenticates callers. It caches the rows of sessions and API tokens for MaxStale.
type Authenticator struct {
	db   *accounts.DB
	keys *Keys
	idle time.Duration
	now  func() time.Time

	mu    sync.Mutex
	cache map[string]cached
}

// cached is the row of a session or an API token at readAt.
type cached struct {
	principal Principal
	idleUntil time.Time // zero for an API token
	disabled  bool
	readAt    time.Time
}

// NewAuthenticator makes an Authenticator. A session that nobody uses for idle ends. now is the clock.
func NewAuthenticator(db *accounts.DB, keys *Keys, idle time.Duration, now func() time.Time) *Authenticator {
	return &Authenticator{db: db, keys: keys, idle: idle, now: now, cache: map[string]cached{}}
}

// Authenticate returns the principal of a credential, which is the token of a session or an API token. An error matches
// ErrUnauthenticated, or is that of the database.
func (a *Authenticator) Authenticate(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, use)
}

// Recheck is Authenticate for a streaming response. It does not record a use of the session or API token, so a session
// that only a stream uses ends when its idle time is over.
func (a *Authenticator) Recheck(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, check)
}

// AuthenticateRequest is Authenticate with the credential of a request, or Recheck if the request has UnattendedHeader,
// or opens a stream with a session: a browser reopens a lost stream by itself, and cannot send the header then.
func (a *Authenticator) AuthenticateRequest(r *http.Request, credential string, isStream bool) (Principal, error) {
	isOfSession := !strings.HasPrefix(credential, tokenPrefix)
	if r.Header.Get(UnattendedHeader) == "true" || isStream && isOfSession {
		return a.Recheck(r.Context(), credential)
	}
	return a.Authenticate(r.Context(), credential)
}

// purpose is why a row is read. Each purpose has its own cache entries: a row that a check has cached would keep the
// next use from being recorded.
type purpose string

const (
	use   purpose = "use "
	check purpose = "check "
)

// authenticate reads the clock once, so that the token and its row are compared with the same time.
func (a *Authenticator) authenticate(ctx context.Context, credential string, p purpose) (Principal, error) {
	now := a.now()
	if strings.HasPrefix(credential, tokenPrefix) {
		hash := sha256.Sum256([]byte(credential))
		read := func() (cached, error) { return a.readToken(ctx, hash[:], now, p) }
		return a.judge(string(p)+"token "+string(hash[:]), now, read)
	}
	id, err := a.keys.session(credential, now)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Principal{}, unauthenticated("the session has expired")
	case err != nil:
		return Principal{}, unauthenticated("the token is not valid")
	}
	read := func() (cached, error) { return a.readSession(ctx, id, now, p) }
	return a.judge(string(p)+"session "+id, now, read)
}

// judge returns the principal of a cached row, or ErrUnauthenticated. It reads a row that is not cached or older than
// MaxStale.
func (a *Authenticator) judge(key string, now time.Time, read func() (cached, error)) (Principal, error) {
	a.mu.Lock()
	entry, isCached := a.cache[key]
	a.mu.Unlock()
	if age := now.Sub(entry.readAt); !isCached || age >= MaxStale || age < 0 {
		var err error
		entry, err = read()
		if errors.Is(err, accounts.ErrNotFound) {
			a.forget(key)
			return Principal{}, unauthenticated("the session or API token has ended")
		}
		if err != nil {
			return Principal{}, err
		}
		a.keep(key, entry)
	}
	switch {
	case entry.disabled:
		return Principal{}, unauthenticated("the user is disabled")
	case !now.Before(entry.principal.ExpiresAt):
		return Principal{}, unauthenticated("the session or API token has expired")
	case !entry.idleUntil.IsZero() && !now.Before(entry.idleUntil):
		return Principal{}, unauthenticated("the session was unused for too long")
	}
	return entry.principal, nil
}

// readSession reads a session. It records a use of the session if none was recorded within recordEvery.
func (a *Authenticator) readSession(ctx context.Context, id string, now time.Time, p purpose) (cached, error) {
	s, err := a.db.Sessions.Get(ctx, id)
	if err != nil {
		return cached{}, err
	}
	entry := cached{
		principal: Principal{
			UserID: s.User.ID, User: s.User.Name, Access: s.User.Access, SessionID: s.ID, ExpiresAt: s.ExpiresAt,
		},
		idleUntil: s.SeenAt.Add(a.idle), disabled: s.User.Disabled, readAt: now,
	}
	isLive := now.Before(s.ExpiresAt) && now.Before(entry.idleUntil) && !s.User.Disabled
	if p == use && isLive && now.Sub(s.SeenAt) >= a.recordEvery() {
		entry.idleUntil = now.Add(a.idle)
		err = a.db.Sessions.See(ctx, id, now)
	}
	return entry, err
}

func (a *Authenticator) readToken(ctx context.Context, hash []byte, now time.Time, p purpose) (cached, error) {
	t, err := a.db.Tokens.Get(ctx, hash)
	if err != nil {
		return cached{}, err
	}
	entry := cached{
		principal: Principal{
			UserID: t.User.ID, User: t.User.Name, Access: Intersect(t.Access, t.User.Access), TokenID: t.ID,
			ExpiresAt: t.ExpiresAt,
		},
		disabled: t.User.Disabled, readAt: now,
	}
	if p == use && now.Before(t.ExpiresAt) && !t.User.Disabled && now.Sub(t.SeenAt) >= a.recordEvery() {
		err = a.db.Tokens.See(ctx, t.ID, now)
	}
	return entry, err
}

// recordEvery is how often the use of a session is recorded. A session may end earlier than its idle time by this much.
func (a *Authenticator) recordEvery() time.Duration { return min(time.Minute, a.idle/10) }

func (a *Authenticator) keep(key string, entry cached) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cache) >= maxCached {
		clear(a.cache)
	}
	a.cache[key] = entry
}

func (a *Authenticator) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.cache, key)
}

// Begin begins a session of a user whose password was checked against hash, and returns its token. If the user has
// another password now, or is disabled or deleted, the error matches ErrUnauthenticated.
func (a *Authenticator) Begin(ctx context.Context, u accounts.User, hash, address string, lifetime time.Duration) (
	token string, s accounts.Session, err error) {
	now := a.now().UTC().Truncate(time.Microsecond) // as the database stores it
	s = accounts.Session{
		ID: rand.Text(), User: u, Address: address, CreatedAt: now, ExpiresAt: now.Add(lifetime), SeenAt: now,
	}
	if err := a.db.Sessions.Create(ctx, s, hash); errors.Is(err, accounts.ErrNotFound) {
		return "", s, unauthenticated("user or password is wrong")
	} else if err != nil {
		return "", s, err
	}
	token, err = a.keys.sign(s)
	return token, s, err
}

// End ends the session of a principal. Other replicas notice within MaxStale.
func (a *Authenticator) End(ctx context.Context, p Principal) error {
	a.forget(string(use) + "session " + p.SessionID)
	a.forget(string(check) + "session " + p.SessionID)
	return a.db.Sessions.End(ctx, p.SessionID)
}

// ForgetAll drops the cache, so that a change that this replica has made applies here immediately.
func (a *Authenticator) ForgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.cache)
}

// NewToken returns the secret of a new API token, and the hash to store.
func NewToken() (secret string, hash []byte) {
	secret = tokenPrefix + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}
