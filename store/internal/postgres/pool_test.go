package postgres_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
	"kontroler/store/storetest"
)

// TestAServerThatVanishesIsNoticed puts a proxy before the server, which from some moment on passes no answer on. The
// query has no deadline of its own: without the bound, it would wait for ever.
func TestAServerThatVanishesIsNoticed(t *testing.T) {
	base, err := url.Parse(storetest.EmptyURL(t))
	if err != nil {
		t.Fatal(err)
	}
	server := base.Host
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	var isFrozen atomic.Bool
	go func() {
		for {
			client, err := proxy.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go io.Copy(upstream, client)
			go func() {
				buffer := make([]byte, 4096)
				for {
					n, err := upstream.Read(buffer)
					if err != nil {
						return
					}
					if !isFrozen.Load() {
						client.Write(buffer[:n])
					}
				}
			}()
		}
	}()
	base.Host = proxy.Addr().String()
	pool, err := postgres.OpenQuick(base.String(), 1, 200*time.Millisecond, func(*pq.Config) {})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var timeout string
	if err := pool.QueryRow(`SHOW statement_timeout`).Scan(&timeout); err != nil || timeout != "200ms" {
		t.Fatalf("statement_timeout %q, %v", timeout, err)
	}
	isFrozen.Store(true)
	_, err = pool.Exec(`SELECT 1`)
	if err = postgres.Classify(t.Context(), err); !errors.Is(err, postgres.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
