package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"time"

	"kontroler/store/accounts"
)

// userName is what the database accepts as the name of a user.
var userName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$`)

// IsUserName reports whether a text may be the name of a user.
func IsUserName(name string) bool { return userName.MatchString(name) }

// DelayedError means that too many logins of this user failed from this network or through this proxy. The next one may
// begin After this time.
type DelayedError struct{ After time.Duration }

func (e *DelayedError) Error() string {
	return fmt.Sprintf("too many failed logins. The next one may begin in %s", e.After)
}

// Record runs an action of a user and records it in the audit. It returns the error of the action, or that of recording
// it. If keep is false, the record of a failed action is deleted afterwards, which takes as long as completing it.
type Record func(u accounts.User, keep bool, action func(context.Context) error) error

// Logins checks passwords.
type Logins struct {
	DB            *accounts.DB
	Authenticator *Authenticator
	Hasher        *Hasher
	Delays        *Delays
	// Lifetime is how long a session lasts at most.
	Lifetime time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// UnknownUser is recorded for a login whose user does not exist. No user can have this name.
const UnknownUser = "(unknown)"

// Login checks a password, begins a session, and records both. An unknown user is recorded as UnknownUser, because
// people type passwords where a name belongs. Such a login takes the same steps as others, and so the same time. The
// record keeps only as many logins of unknown users from a network as one user could have failed; otherwise anybody
// could fill the database. The error matches ErrUnauthenticated or ErrBusy, is a *DelayedError, or is that of the
// database or of record.
func (l *Logins) Login(ctx context.Context, name, password string, from Origin, record Record) (
	token string, s accounts.Session, err error) {
	err = l.attempt(name, from, func(turn *Turn) error {
		u, err := l.find(ctx, name)
		if err != nil {
			return err
		}
		if err := l.recall(ctx, u); err != nil {
			return err
		}
		keep := u.ID != 0 || l.Delays.Begin(UnknownUser, from, l.Now()) == 0
		return record(u, keep, func(ctx context.Context) error {
			hash, err := l.check(ctx, u, turn, password)
			if err != nil {
				return err
			}
			token, s, err = l.Authenticator.Begin(ctx, u, hash, from.Address.String(), l.Lifetime)
			return err
		})
	})
	return token, s, err
}

// ChangePassword sets the password of a principal who knows the current one, and records that. The user's other
// sessions end. It returns the errors of Login.
func (l *Logins) ChangePassword(
	ctx context.Context, p Principal, current, next string, from Origin, record Record,
) error {
	u := accounts.User{ID: p.UserID, Name: p.User}
	return l.attempt(p.User, from, func(turn *Turn) error {
		return record(u, true, func(ctx context.Context) error {
			if _, err := l.check(ctx, u, turn, current); err != nil {
				return err
			}
			hash, err := turn.Hash(ctx, next)
			if err != nil {
				return err
			}
			return l.DB.Users.SetPassword(ctx, p.UserID, hash, p.SessionID, l.Now())
		})
	})
}

// attempt runs check, and counts a wrong user or password as a failed login; other errors do not count. A caller who is
// delayed, or who meets ErrBusy, causes neither a query nor a row: otherwise unauthenticated callers could fill the
// audit.
func (l *Logins) attempt(name string, from Origin, check func(*Turn) error) error {
	turn, err := l.Hasher.Enter(Network(from.Address))
	if err != nil {
		return err
	}
	defer turn.End()
	if wait := l.Delays.Begin(name, from, l.Now()); wait > 0 {
		return &DelayedError{After: wait}
	}
	switch err = check(turn); {
	case err == nil:
		l.Delays.Succeed(name, from)
	case !errors.Is(err, ErrUnauthenticated):
		l.Delays.Abandon(name, from)
	}
	return err
}

// find returns the user with a name. If there is none, it returns UnknownUser without an id.
func (l *Logins) find(ctx context.Context, name string) (accounts.User, error) {
	unknown := accounts.User{Name: UnknownUser}
	if !IsUserName(name) {
		return unknown, nil
	}
	u, err := l.DB.Users.Get(ctx, name)
	if errors.Is(err, accounts.ErrNotFound) {
		return unknown, nil
	}
	return u, err
}

// recall tells the Delays from where the sessions of a user began. After a start they know no network of the user.
func (l *Logins) recall(ctx context.Context, u accounts.User) error {
	addresses, err := l.DB.Sessions.Addresses(ctx, u.ID)
	if err != nil {
		return err
	}
	var networks []string
	for _, address := range addresses {
		if parsed, err := netip.ParseAddr(address); err == nil {
			networks = append(networks, Network(parsed))
		}
	}
	l.Delays.Know(u.Name, networks)
	return nil
}

var errWrong = unauthenticated("user or password is wrong")

// check returns the password hash of a user if the password is right and the user enabled. It replaces a hash that was
// made with an old cost.
func (l *Logins) check(ctx context.Context, u accounts.User, turn *Turn, password string) (hash string, err error) {
	hash, err = l.DB.Users.PasswordHash(ctx, u.ID)
	if err != nil && !errors.Is(err, accounts.ErrNotFound) {
		return "", err
	}
	matches, isWeak, err := turn.Verify(ctx, hash, password)
	if err != nil {
		return "", err
	}
	if !matches || u.Disabled {
		return "", errWrong
	}
	if !isWeak {
		return hash, nil
	}
	renewed, err := turn.Hash(ctx, password)
	if err == nil {
		err = l.DB.Users.RenewHash(ctx, u.ID, hash, renewed)
	}
	if err != nil {
		l.Log.Warn("the hash of a password was not renewed; the next login tries again", "user", u.Name, "error", err)
		return hash, nil
	}
	return renewed, nil
}
