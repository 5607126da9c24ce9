package webhook_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"kontroler/controller/webhook"
)

const token = "s3cr3t-t0ken"

// receiver answers by the path, below the token that every URL carries.
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
	case what == "hang":
		<-r.Context().Done()
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
	tests := map[string]struct {
		server *httptest.Server
		path   string
		verify bool
		status int
		err    string // empty: delivered
		final  bool
	}{
		"delivered":                      {plain, "ok", false, 202, "", false},
		"an error":                       {plain, "echo?key=" + token, false, 404, "the receiver answered 404 Not Found", false},
		"dropped":                        {plain, "drop", false, 0, "EOF", false},
		"redirected":                     {plain, "307//" + token + "/ok", false, 202, "", false},
		"redirected for good":            {plain, "308//" + token + "/ok", false, 202, "", false},
		"redirected as GET":              {plain, "302//" + token + "/ok", false, 302, "302 Found: of the redirects only 307 and 308", false},
		"redirected for ever":            {plain, "307/loop", false, 307, "redirects more than 5 times", false},
		"redirected nowhere":             {plain, "307/none", false, 307, "answered 307 without a URL", false},
		"redirected to a file":           {plain, "307/file:///etc/passwd", false, 0, "neither http nor https", false},
		"redirected to loopback":         {plain, "307/" + other.URL + "/" + token + "/ok", false, 0, "address 127.0.0.1 is refused: loopback", false},
		"redirected to a loopback name":  {plain, "307/http://localhost:" + otherPort + "/" + token + "/ok", false, 0, "is refused: loopback", false},
		"redirected to metadata":         {plain, "307/http://169.254.169.254/latest/meta-data", false, 0, "is refused: a cloud's metadata", false},
		"loopback":                       {other, "ok", false, 0, "address 127.0.0.1 is refused: loopback", false},
		"https":                          {secure, "ok", false, 202, "", false},
		"https of nobody, to be checked": {secure, "ok", true, 0, "failed to verify certificate", false},
		"http, to be checked":            {plain, "ok", true, 0, "verifySSL is set", true},
		"TLS 1.1":                        {old, "ok", false, 0, "protocol version not supported", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := test.server.Listener.Addr().String()
			if test.server == other {
				at = "192.0.2.1:1"
			}
			sender := webhook.NewSenderPast(webhook.Guard{}, netip.MustParseAddrPort(at))
			got := sender.Send(t.Context(), webhook.Request{
				URL: test.server.URL + "/" + token + "/" + test.path, VerifySSL: test.verify, Header: http.Header{"X-Test": {"x"}}, Body: []byte(`{"a":1}`),
			})
			err := ""
			if got.Err != nil {
				err = got.Err.Error()
			}
			if got.Status != test.status || got.Final != test.final || !strings.Contains(err, test.err) || (err == "") != (test.err == "") {
				t.Errorf("%+v, want %d, an error with %q", got, test.status, test.err)
			}
			if strings.Contains(err+got.Text, token) {
				t.Errorf("the token of the URL is told: %s; %s", err, got.Text)
			}
			if len(got.Text) > 1024 || strings.ContainsAny(got.Text, "\x00\n") {
				t.Errorf("%d bytes are kept of the answer: %q", len(got.Text), got.Text)
			}
		})
	}
}

// A receiver that hangs is waited for so long, one of a term that ends not at all.
func TestSendEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(receiver))
	defer server.Close()
	sender := webhook.NewSenderPast(webhook.Guard{}, netip.MustParseAddrPort(server.Listener.Addr().String()))
	request := webhook.Request{URL: server.URL + "/" + token + "/hang", Header: http.Header{"X-Test": {"x"}}, Body: []byte(`{"a":1}`)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*webhook.Timeout)
	defer cancel()
	if got := sender.Send(ctx, request); got.Err == nil || got.Err.Error() != "no answer within 10 seconds" || ctx.Err() != nil {
		t.Errorf("%+v", got)
	}
	cancel()
	if got := sender.Send(ctx, request); got.Err == nil {
		t.Errorf("%+v", got)
	}
}

// A proxy would hide the address: there is none, whatever the environment says.
func TestSendTakesNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	got := webhook.NewSenderPast(webhook.Guard{}, netip.MustParseAddrPort(u.Host)).Send(t.Context(), webhook.Request{URL: "http://169.254.169.254/", Header: http.Header{}})
	if got.Err == nil || errors.Is(got.Err, context.DeadlineExceeded) || !strings.Contains(got.Err.Error(), "is refused") {
		t.Errorf("%+v", got)
	}
}
