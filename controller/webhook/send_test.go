package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const token = "s3cr3t-t0ken"

// newSenderPast makes a sender that may connect to one address that its guard refuses: that of a test's server.
func newSenderPast(guard Guard, past netip.AddrPort) *sender {
	return newSenderWith(&net.Dialer{Control: func(network, address string, c syscall.RawConn) error {
		if address == past.String() {
			return nil
		}
		return guard.control(network, address, c)
	}})
}

// receiver answers as its path says, which follows the token that every URL contains.
func receiver(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || string(body) != `{"a":1}` || r.Header.Get("X-Test") != "x" {
		http.Error(w, "it is not what was sent", http.StatusTeapot)
		return
	}
	what := strings.TrimPrefix(r.URL.Path, "/"+token+"/")
	code, to, redirect := strings.Cut(what, "/")
	switch {
	case redirect:
		var status int
		if _, err := fmt.Sscan(code, &status); err != nil {
			panic(err)
		}
		if to == "loop" {
			to = r.URL.Path
		}
		if !strings.HasPrefix(to, "none") {
			w.Header().Set("Location", to)
		}
		w.WriteHeader(status)
	case what == "ok":
		w.WriteHeader(http.StatusAccepted)
	case what == "echo":
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "no\x00 such\nhook: %s %s %s", r.URL.Path, r.URL.RawQuery, strings.Repeat("ä", 2000))
	case what == "drop":
		panic(http.ErrAbortHandler)
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(receiver))
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(receiver))
	secure.StartTLS()
	t.Cleanup(secure.Close)
	old := httptest.NewUnstartedServer(http.HandlerFunc(receiver))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	other := httptest.NewServer(http.HandlerFunc(receiver))
	t.Cleanup(other.Close)
	_, otherPort, _ := strings.Cut(strings.TrimPrefix(other.URL, "http://"), ":")
	const refused = "address 127.0.0.1 is refused: loopback"
	tests := map[string]struct {
		server    *httptest.Server // other is the only one that the guard refuses
		path      string
		verifySSL bool
		status    int
		err       string // empty means that the notification is delivered
		isFinal   bool
	}{
		"a status of 2xx delivers": {server: plain, path: "ok", status: 202},
		"a status of 4xx is an error": {
			server: plain, path: "echo?key=" + token, status: 404, err: "the receiver answered 404 Not Found",
		},
		"a dropped connection is an error": {server: plain, path: "drop", err: "EOF"},
		"a temporary redirect is followed": {server: plain, path: "307//" + token + "/ok", status: 202},
		"a permanent redirect is followed": {server: plain, path: "308//" + token + "/ok", status: 202},
		"a redirect that drops the body is not": {
			server: plain, path: "302//" + token + "/ok", status: 302,
			err: "302 Found: of the redirects only 307 and 308",
		},
		"a loop of redirects ends": {
			server: plain, path: "307/loop", status: 307, err: "redirects more than 5 times",
		},
		"a redirect without a URL is an error": {
			server: plain, path: "307/none", status: 307, err: "answered 307 without a URL",
		},
		"a redirect to a file is refused": {
			server: plain, path: "307/file:///etc/passwd", err: "neither http nor https",
		},
		"a redirect to loopback is refused": {
			server: plain, path: "307/" + other.URL + "/" + token + "/ok", err: refused,
		},
		"a redirect to localhost is refused": {
			server: plain, path: "307/http://localhost:" + otherPort + "/" + token + "/ok", err: "is refused: loopback",
		},
		"a redirect to metadata is refused": {
			server: plain, path: "307/http://169.254.169.254/latest/meta-data",
			err: "is refused: a cloud metadata service",
		},
		"loopback is refused":                       {server: other, path: "ok", err: refused},
		"without verifySSL any certificate will do": {server: secure, path: "ok", status: 202},
		"with verifySSL the certificate is checked": {
			server: secure, path: "ok", verifySSL: true, err: "failed to verify certificate",
		},
		"with verifySSL http will never work": {
			server: plain, path: "ok", verifySSL: true, err: "verifySSL is set", isFinal: true,
		},
		"TLS 1.1 is refused": {server: old, path: "ok", err: "protocol version not supported"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reachable := test.server.Listener.Addr().String()
			if test.server == other {
				reachable = "192.0.2.1:1"
			}
			sender := newSenderPast(Guard{}, netip.MustParseAddrPort(reachable))
			got := sender.send(t.Context(), request{
				url: test.server.URL + "/" + token + "/" + test.path, verifySSL: test.verifySSL,
				header: http.Header{"X-Test": {"x"}}, body: []byte(`{"a":1}`),
			})
			err := ""
			if got.err != nil {
				err = got.err.Error()
			}
			if got.status != test.status || got.isFinal != test.isFinal {
				t.Errorf("status %d, final %v; want %d, %v", got.status, got.isFinal, test.status, test.isFinal)
			}
			if !strings.Contains(err, test.err) || (err == "") != (test.err == "") {
				t.Errorf("error %q, want %q", err, test.err)
			}
			if strings.Contains(err+got.text, token) {
				t.Errorf("the token of the URL is in the answer: %s; %s", err, got.text)
			}
			if len(got.text) > 1024 || strings.ContainsAny(got.text, "\x00\n") {
				t.Errorf("%d bytes are kept of the answer: %q", len(got.text), got.text)
			}
		})
	}
}

func TestSendEnds(t *testing.T) {
	tests := map[string]struct {
		cancelAfter time.Duration
		err         string
	}{
		"after its timeout":         {cancelAfter: time.Hour, err: "no answer within 10 seconds"},
		"at the end of its context": {cancelAfter: time.Second, err: "context deadline exceeded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver, _ := hangs()
				sender := &sender{verifying: receiver, trusting: receiver}
				ctx, cancel := context.WithTimeout(t.Context(), test.cancelAfter)
				defer cancel()
				got := sender.send(ctx, request{url: "http://receiver.example"})
				if got.err == nil || got.err.Error() != test.err || got.isFinal {
					t.Errorf("%+v, want %q", got, test.err)
				}
			})
		})
	}
}

// A proxy would hide the address. The environment cannot set one.
func TestSendTakesNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	sender := newSenderPast(Guard{}, netip.MustParseAddrPort(u.Host))
	got := sender.send(t.Context(), request{url: "http://169.254.169.254/", header: http.Header{}})
	if got.err == nil || errors.Is(got.err, context.DeadlineExceeded) ||
		!strings.Contains(got.err.Error(), "is refused") {
		t.Errorf("%+v", got)
	}
}
