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
	// MaxStale is how old the row may be that a request is judged by.
	MaxStale = 2 * time.Second
	// maxCached bounds the memory of an Authenticator.
	maxCached = 20_000
	// tokenPrefix makes API tokens recognizable, for people and for scanners of secrets.
	tokenPrefix = "kontroler_"
)

// ErrUnauthenticated means that the caller has not proved who it is. Its text says why, and is for the caller.
var ErrUnauthenticated = errors.New("unauthenticated")

func unauthenticated(why string) error { return fmt.Errorf("%w: %s", ErrUnauthenticated, why) }

// Principal is a caller who has proved who it is.
type Principal struct {
	UserID int64
	User   string
	Access accounts.Access
	// SessionID is empty, and TokenID is not zero, if the caller uses an API token.
	SessionID string
	TokenID   int64
	ExpiresAt time.Time
}

// Authenticator finds out who a caller is. It keeps what it has read for MaxStale.
type Authenticator struct {
	db   *accounts.DB
	keys *Keys
	idle time.Duration
	now  func() time.Time

	mu    sync.Mutex
	cache map[string]cached
}

// cached is what the row of a session or a token said when it was read.
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

// Authenticate returns who a credential belongs to: the token of a session or an API token. An error matches
// ErrUnauthenticated, or is that of the database.
func (a *Authenticator) Authenticate(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, use)
}

// Recheck is Authenticate for an answer that goes on. It is no use of the session or API token, so that a session that
// only a stream uses ends after its time.
func (a *Authenticator) Recheck(ctx context.Context, credential string) (Principal, error) {
	return a.authenticate(ctx, credential, check)
}

// AuthenticateRequest is Authenticate with the credential of a request, or Recheck if the request says by
// UnattendedHeader that nobody uses the page that sends it.
func (a *Authenticator) AuthenticateRequest(r *http.Request, credential string) (Principal, error) {
	if r.Header.Get(UnattendedHeader) == "true" {
		return a.Recheck(r.Context(), credential)
	}
	return a.Authenticate(r.Context(), credential)
}

// purpose is why a credential is read. Each has its own rows in the cache: what a check has read must not keep a use
// from being recorded.
type purpose string

const (
	use   purpose = "use "
	check purpose = "check "
)

// authenticate reads the clock once, so that the token and its row are judged at the same time.
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

// judge decides by what the row said at most MaxStale ago.
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

// readSession reads a session, and records its use if none was recorded lately.
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

// recordEvery is how often the use of a session is recorded. A session may end that much earlier than after idle.
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

// ForgetAll drops what was read, so that a change that was made here holds here immediately.
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
