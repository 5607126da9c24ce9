package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"kontroler/store/accounts"
)

// userName is what the database accepts as the name of a user.
var userName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$`)

// IsUserName reports whether a text may be the name of a user.
func IsUserName(name string) bool { return userName.MatchString(name) }

// DelayedError means that logins of this user from this network, or by this proxy, have failed, and that the next may
// begin After.
type DelayedError struct{ After time.Duration }

func (e *DelayedError) Error() string {
	return fmt.Sprintf("too many failed logins. The next one may begin in %s", e.After)
}

// Record runs an action of a user and records it. It returns the error of the action, or its own. If keep is false, the
// record of a failed action is removed afterwards, which takes as long as to complete it.
type Record func(u accounts.User, keep bool, action func(context.Context) error) error

// Logins checks passwords.
type Logins struct {
	DB            *accounts.DB
	Authenticator *Authenticator
	Hasher        *Hasher
	Delays        *Delays
	// Lifetime is that of a session.
	Lifetime time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// UnknownUser stands for a user who does not exist in what is recorded of a login. It is not a name that a user can
// have.
const UnknownUser = "(unknown)"

// Login checks a password, begins a session, and records both. A user who does not exist is recorded as UnknownUser:
// people type passwords where a name belongs. Such a login takes the same steps, and so the same time. Of the logins of
// unknown users from a network, as many are kept in the record as one user could have failed: anybody could fill the
// database otherwise. An error matches ErrUnauthenticated or ErrBusy, is a *DelayedError, or that of the database or of
// record.
func (l *Logins) Login(ctx context.Context, name, password string, from Origin, record Record) (
	token string, s accounts.Session, err error) {
	err = l.attempt(name, from, func(turn *Turn) error {
		u, err := l.find(ctx, name)
		if err != nil {
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

// ChangePassword sets the password of a principal who knows the present one, and records it. Its other sessions end.
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

// attempt runs check and counts its failure. Only a wrong user or password counts. Whoever must wait, or finds too many
// others, costs neither a row nor a query: callers that are not known could fill the audit otherwise.
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

// find returns a user without an id if there is none of that name.
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

var errWrong = unauthenticated("user or password is wrong")

// check returns the hash of the password of a user if the password is right and the user enabled.
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
