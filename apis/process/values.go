package process

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Text sets a text.
func Text[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, value string) error {
		*field(c) = value
		return nil
	}
}

// Boolean sets true or false.
func Boolean[C any](field func(*C) *bool) func(*C, string) error {
	return func(c *C, value string) error {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		*field(c) = on
		return nil
	}
}

// Duration sets a duration for which isValid returns true. what describes any other value in the error, as in "not a
// duration from 1s to 24h".
func Duration[C any](
	field func(*C) *time.Duration, isValid func(time.Duration) bool, what string,
) func(*C, string) error {
	return func(c *C, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || !isValid(d) {
			return fmt.Errorf("%q is %s", value, what)
		}
		*field(c) = d
		return nil
	}
}

// Address sets an address to listen on. Empty means none.
func Address[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, value string) error {
		if value == "" {
			*field(c) = ""
			return nil
		}
		_, port, err := net.SplitHostPort(value)
		if err != nil {
			return fmt.Errorf("%q is not an address. Write host:port, or :port for all interfaces", value)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("%q has no port between 0 and 65535", value)
		}
		*field(c) = value
		return nil
	}
}

// ErrDatabaseURL does not quote the URL, which may contain a password.
var ErrDatabaseURL = errors.New("not a URL that begins with postgres://. Write special characters in a password as %XX")

// DatabaseURL sets a postgres:// URL or a list of key=value settings.
func DatabaseURL[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, value string) error {
		if strings.Contains(value, "://") {
			if u, err := url.Parse(value); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
				return ErrDatabaseURL
			}
		}
		*field(c) = value
		return nil
	}
}

// LogFormat sets json or text. Empty lets NewLogger choose.
func LogFormat[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, value string) error {
		if value != "" && value != "json" && value != "text" {
			return fmt.Errorf("%q is neither json nor text", value)
		}
		*field(c) = value
		return nil
	}
}

// LogLevel sets the lowest level that is logged.
func LogLevel[C any](field func(*C) *slog.Level) func(*C, string) error {
	return func(c *C, value string) error {
		levels := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}
		level, ok := levels[strings.ToLower(value)]
		if !ok {
			return fmt.Errorf("%q is not debug, info, warn or error", value)
		}
		*field(c) = level
		return nil
	}
}
