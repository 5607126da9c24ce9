package postgres

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
)

// minRelisten and maxRelisten bound the backoff between attempts to open a session.
const (
	minRelisten = 100 * time.Millisecond
	maxRelisten = 10 * time.Second
)

// Listen calls notify for each notification on a channel, and when it begins to listen, until ctx ends. It opens a new
// session after one was lost. TCP keep-alives need minutes to notice that a server has vanished, so the caller must
// also poll.
func Listen(ctx context.Context, url, applicationName, channel string, notify func()) {
	url = withDefaults(url, map[string]string{"application_name": applicationName, "connect_timeout": "5"})
	for wait := minRelisten; ctx.Err() == nil; wait = min(2*wait, maxRelisten) {
		if listen(ctx, url, channel, notify) {
			wait = minRelisten
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// listen listens in one session until the session ends. It returns false if it could not open one.
func listen(ctx context.Context, url, channel string, notify func()) bool {
	notifications := make(chan *pq.Notification, 1)
	session, err := pq.NewListenerConn(url, notifications)
	if err != nil {
		return false
	}
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()
	// The session answers only while its notifications are received. It closes the channel when it ends.
	go func() {
		if _, err := session.Listen(channel); err != nil {
			session.Close()
			return
		}
		notify()
	}()
	for range notifications {
		notify()
	}
	return true
}

// withDefaults adds to a connection string the settings that it lacks.
func withDefaults(dsn string, settings map[string]string) string {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		for name, value := range settings {
			dsn = name + "='" + value + "' " + dsn // the last one of a name counts
		}
		return dsn
	}
	parsed, err := url.Parse(dsn)
	if err != nil {
		return dsn // the driver reports the error
	}
	query := parsed.Query()
	for name, value := range settings {
		if !query.Has(name) {
			query.Set(name, value)
		}
	}
	parsed.RawQuery = query.Encode()
	return parsed.String()
}
