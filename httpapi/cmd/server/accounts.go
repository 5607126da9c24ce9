package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"kontroler/apis/process"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

// firstUser is the name of the user that the server creates.
const firstUser = "admin"

// byCommandLine is the user in the audit of set-password. No user can have this name.
const byCommandLine = "(command line)"

// errNoPassword means that there is no user, and no password for the first one.
var errNoPassword = errors.New("there is no user yet. Set --admin-password-file to a file that contains the password " +
	"of the first user, admin, or start the server once on a terminal, where it makes a password and shows it")

// createFirstUser creates the first user if there is no user. Without a passwordFile it makes a password and writes it
// to terminal; if that is no terminal, it returns a *configError.
func createFirstUser(
	ctx context.Context, db *accounts.DB, passwordFile string, terminal *os.File, log *slog.Logger,
) error {
	exist, err := db.Users.Exist(ctx)
	if err != nil || exist {
		return err
	}
	password, isMade := "", false
	switch {
	case passwordFile != "":
		if password, err = readPassword(firstUser, passwordFile); err != nil {
			return &configError{fmt.Errorf("there is no user yet. The first one, %s, gets the password in "+
				"--admin-password-file: %w", firstUser, err)}
		}
	case process.IsTerminal(terminal):
		password, isMade = rand.Text(), true
	default:
		return &configError{errNoPassword}
	}
	hash, err := auth.NewHasher().Hash(ctx, "", password)
	if err != nil {
		return err
	}
	isCreated, err := db.Users.CreateFirst(ctx, firstUser, hash, time.Now())
	if err != nil || !isCreated {
		return err
	}
	log.Info("created the first user", "user", firstUser)
	if isMade {
		fmt.Fprintf(terminal, "\n  The first user is %s with password %s\n  It is shown only once.\n\n",
			firstUser, password)
	}
	return nil
}

// configError is an error in the configuration, which waiting cannot fix.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

// readPassword reads the password of a user from a file, without the newline at its end. An error does not contain it.
func readPassword(user, file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(content), "\r\n")
	if err := auth.CheckPassword(user, password); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return password, nil
}

// setPassword is the subcommand set-password.
func setPassword(ctx context.Context, cfg config, log *slog.Logger) error {
	password, err := readPassword(cfg.user, cfg.passwordFile)
	if err != nil {
		return fmt.Errorf("--password-file: %w", err)
	}
	db, err := accounts.Open(cfg.authDatabaseURL, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	u, err := db.Users.Get(ctx, cfg.user)
	if errors.Is(err, accounts.ErrNotFound) {
		return fmt.Errorf("there is no user %q", cfg.user)
	}
	if err != nil {
		return fmt.Errorf("reading the user: %w. Check the database URL, and start the server first: it creates the "+
			"schema", err)
	}
	id, err := db.Audit.Begin(ctx, accounts.AuditEntry{
		At: time.Now(), User: byCommandLine, Action: "user.password", Object: "users/" + u.Name,
	})
	if err != nil {
		return err
	}
	hash, err := auth.NewHasher().Hash(ctx, "", password)
	if err == nil {
		err = db.Users.SetPassword(ctx, u.ID, hash, "", time.Now())
	}
	outcome := "succeeded"
	if err != nil {
		outcome = "failed"
	}
	if err := errors.Join(err, db.Audit.End(context.WithoutCancel(ctx), id, outcome, time.Now())); err != nil {
		return err
	}
	log.Info("set the password and ended the sessions", "user", u.Name, "isDisabled", u.Disabled)
	return nil
}
