package install_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"kontroler/apis/tlstest"
)

// receiver is an HTTPS server of this machine that records the webhook notifications of Pods.
type receiver struct {
	url  string
	mu   sync.Mutex
	seen map[string][]string // events by run, in the order in which they arrived
}

// startReceiver starts a receiver with a certificate of a private CA.
func startReceiver(t *testing.T, host net.IP, ca tlstest.Authority) *receiver {
	t.Helper()
	r := &receiver{seen: map[string][]string{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var n struct {
			Event string `json:"event"`
			Run   struct {
				Name string `json:"name"`
			} `json:"run"`
		}
		if err := json.NewDecoder(request.Body).Decode(&n); err != nil {
			t.Errorf("reading a notification: %v", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen[n.Run.Name] = append(r.seen[n.Run.Name], n.Event)
	}))
	server.Listener.Close()
	var err error
	if server.Listener, err = net.Listen("tcp", net.JoinHostPort(host.String(), "0")); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(ca.Issue(t, "receiver", host.String()))
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// events returns the events of a run.
func (r *receiver) events(run string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen[run])
}
