package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kontroler/e2e/site"
)

// backend is the server behind the sites. The browser tests stop it and start it again.
type backend struct {
	testing.TB
	database, address string
	process           *site.Process
}

// start starts the server, unless it runs.
func (b *backend) start() {
	b.Helper()
	if b.process != nil {
		return
	}
	b.process = site.StartServer(b.TB, b.database, b.address, "--trusted-proxies=127.0.0.0/8")
}

func (b *backend) stop() {
	b.process.Stop()
	b.process = nil
}

// control is what the browser tests do to the world behind the page: a POST request to the path of an act does it. Acts
// run in the goroutine of the test, one at a time.
type control struct {
	acts  map[string]func()
	asked chan request
}

type request struct {
	act  func()
	done chan struct{}
}

// serve takes requests until the test ends. It returns the address to send them to.
func (c *control) serve(t testing.TB) string {
	t.Helper()
	c.asked = make(chan request)
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		act, isKnown := c.acts[strings.TrimPrefix(r.URL.Path, "/")]
		if !isKnown {
			http.NotFound(w, r)
			return
		}
		asked := request{act, make(chan struct{})}
		select {
		case c.asked <- asked:
			<-asked.done
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(listener.Close)
	return listener.URL
}

// run does what is asked until a command has ended, and returns its error.
func (c *control) run(command func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- command() }()
	for {
		select {
		case asked := <-c.asked:
			asked.act()
			close(asked.done)
		case err := <-ended:
			return err
		}
	}
}
