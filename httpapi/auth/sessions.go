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
	seenAt    time.Time
	idleUntil time.Time // zero for an API token
	disabled  bool
	readAt    time.Time
}

// refusal returns why the credential is not valid now, or nil.
func (c cached) refusal(now time.Time) error {
	switch {
	case c.disabled:
		return unauthenticated("the user is disabled")
	case !now.Before(c.principal.ExpiresAt):
		return unauthenticated("the session or API token has expired")
	case !c.idleUntil.IsZero() && !now.Before(c.idleUntil):
		return unauthenticated("the session was unused for too long")
	}
	return nil
}

// NewAuthenticator makes an Authenticator. A session that nobody uses for idle ends. now is the clock.
func NewAuthenticator(db *accounts.DB, keys *Keys, idle time.Duration, now func() time.Time) *Authenticator {
	return &Authenticator{db: db, keys: keys, idle: idle, now: now, cache: map[string]cached{}}
}

// Authenticate returns the principal of a credential, which is the token of a session or an API token. An error matches
// ErrUnauthenticated, or is that of the database.
func (a *Authenticator) Authenticate(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, true)
}

// Recheck is Authenticate for a streaming response. It does not record a use of the session or API token, so a session
// that only a stream uses ends when its idle time is over.
func (a *Authenticator) Recheck(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, false)
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

// authenticate reads the clock once, so that the token and its row are compared with the same time.
func (a *Authenticator) authenticate(ctx context.Context, credential string, isUse bool) (Principal, error) {
	now := a.now()
	if strings.HasPrefix(credential, tokenPrefix) {
		hash := sha256.Sum256([]byte(credential))
		read := func() (cached, error) { return a.readToken(ctx, hash[:], now) }
		return a.judge(ctx, "token "+string(hash[:]), now, isUse, read)
	}
	id, err := a.keys.session(credential, now)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Principal{}, unauthenticated("the session has expired")
	case err != nil:
		return Principal{}, unauthenticated("the token is not valid")
	}
	read := func() (cached, error) { return a.readSession(ctx, id, now) }
	return a.judge(ctx, "session "+id, now, isUse, read)
}

// judge returns the principal of a cached row, or ErrUnauthenticated. It reads a row that is not cached or older than
// MaxStale. It records a use if none was recorded within recordEvery.
func (a *Authenticator) judge(
	ctx context.Context, key string, now time.Time, isUse bool, read func() (cached, error),
) (Principal, error) {
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
	if err := entry.refusal(now); err != nil {
		return Principal{}, err
	}
	if isUse && now.Sub(entry.seenAt) >= a.recordEvery() {
		if err := a.record(ctx, entry.principal, now); err != nil {
			return Principal{}, err
		}
		if entry.seenAt = now; !entry.idleUntil.IsZero() {
			entry.idleUntil = now.Add(a.idle)
		}
		a.keep(key, entry)
	}
	return entry.principal, nil
}

func (a *Authenticator) readSession(ctx context.Context, id string, now time.Time) (cached, error) {
	s, err := a.db.Sessions.Get(ctx, id)
	return cached{
		principal: Principal{
			UserID: s.User.ID, User: s.User.Name, Access: s.User.Access, SessionID: s.ID, ExpiresAt: s.ExpiresAt,
		},
		seenAt: s.SeenAt, idleUntil: s.SeenAt.Add(a.idle), disabled: s.User.Disabled, readAt: now,
	}, err
}

func (a *Authenticator) readToken(ctx context.Context, hash []byte, now time.Time) (cached, error) {
	t, err := a.db.Tokens.Get(ctx, hash)
	return cached{
		principal: Principal{
			UserID: t.User.ID, User: t.User.Name, Access: Intersect(t.Access, t.User.Access), TokenID: t.ID,
			ExpiresAt: t.ExpiresAt,
		},
		seenAt: t.SeenAt, disabled: t.User.Disabled, readAt: now,
	}, err
}

// record records the use of a session or API token.
func (a *Authenticator) record(ctx context.Context, p Principal, now time.Time) error {
	if p.TokenID != 0 {
		return a.db.Tokens.See(ctx, p.TokenID, now)
	}
	return a.db.Sessions.See(ctx, p.SessionID, now)
}

// recordEvery is how often the use of a session is recorded. A session may end earlier than its idle time by this much.
func (a *Authenticator) recordEvery() time.Duration { return min(time.Minute, a.idle/10) }

// keep caches an entry, unless a newer one is cached. A client whose stream has announced new rights must not get the
// old ones from another request.
func (a *Authenticator) keep(key string, entry cached) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cache[key].readAt.After(entry.readAt) {
		return
	}
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
	a.forget("session " + p.SessionID)
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
