package postgres_test

import (
	"context"
	"net/url"
	"testing"

	"kontroler/store/internal/postgres"
	"kontroler/store/storetest"
)

// TestListen listens with each form of a connection string, one of which states its settings.
func TestListen(t *testing.T) {
	parsed, err := url.Parse(storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := parsed.User.Password()
	tests := map[string]string{
		"a URL":               parsed.String(),
		"a URL with settings": parsed.String() + "&connect_timeout=3&application_name=mine",
		"a list of settings": "host=" + parsed.Hostname() + " port=" + parsed.Port() +
			" user=" + parsed.User.Username() + " password='" + password + "' dbname=" + parsed.Path[1:] +
			" sslmode=disable",
	}
	for name, dsn := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			listening := make(chan struct{}, 1)
			done := make(chan struct{})
			go func() {
				defer close(done)
				postgres.Listen(ctx, dsn, "listener", "news", func() { listening <- struct{}{} })
			}()
			<-listening
			cancel()
			<-done
		})
	}
}
