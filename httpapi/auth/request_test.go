package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

// cookies returns the Authenticator of an installation with these keys, and the keys.
func cookies(t *testing.T, now time.Time, keys ...string) (a *auth.Authenticator, ring *auth.Keys) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(strings.Join(keys, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := auth.OpenKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	return auth.NewAuthenticator(nil, ring, idle, func() time.Time { return now }), ring
}

func TestCredential(t *testing.T) {
	a, ring := cookies(t, time.Now(), keyA, keyB)
	_, other := cookies(t, time.Now(), keyB)
	session := func(issuer string) string {
		claims := jwt.RegisteredClaims{Issuer: issuer, ID: "s", ExpiresAt: jwt.NewNumericDate(time.Unix(1, 0))}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("a key of nobody"))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ours, foreign := session("kontroler"), session("https://sso.example")
	plain, secure := "Cookie: kontroler-"+ring.SigningID(), "Cookie: __Host-kontroler-"+ring.SigningID()
	tests := map[string]struct {
		headers []string // name: value
		isHTTPS bool
		want    string
		why     string
	}{
		"a bearer token":             {headers: []string{"Authorization: Bearer abc"}, want: "abc"},
		"the scheme in another case": {headers: []string{"Authorization: bEARER abc"}, want: "abc"},
		"a wrong token of a session wins over the cookie": {
			headers: []string{"Authorization: Bearer " + ours, plain + "=x"}, want: ours,
		},
		"a wrong API token wins over the cookie": {
			headers: []string{"Authorization: bearer kontroler_x", plain + "=x"}, want: "kontroler_x",
		},
		"the Basic of a proxy": {headers: []string{"Authorization: Basic YTpi", plain + "=x"}, want: "x"},
		"the JWT of a proxy":   {headers: []string{"Authorization: Bearer " + foreign, plain + "=x"}, want: "x"},
		"the text of a proxy":  {headers: []string{"Authorization: Bearer abc", plain + "=x"}, want: "x"},
		"two of proxies": {
			headers: []string{"Authorization: Basic YTpi", "Authorization: Bearer abc", plain + "=x"}, want: "x",
		},
		"one of a proxy, and a token": {
			headers: []string{"Authorization: Basic YTpi", "Authorization: Bearer " + ours, plain + "=x"},
			why:     "more than one",
		},
		"Basic without a cookie": {
			headers: []string{"Authorization: Basic YTpi"}, why: "Only the login accepts Basic",
		},
		"two headers": {
			headers: []string{"Authorization: Bearer a", "Authorization: Bearer b"}, why: "more than one",
		},
		"a header without a token": {
			headers: []string{"Authorization: Bearer "}, why: "must be: Bearer TOKEN",
		},
		"the cookie of plain HTTP":            {headers: []string{plain + "=x"}, want: "x"},
		"the cookie of HTTPS":                 {headers: []string{secure + "=x"}, isHTTPS: true, want: "x"},
		"the cookie of plain HTTP over HTTPS": {headers: []string{plain + "=x"}, isHTTPS: true, why: "neither"},
		"the cookie of HTTPS over plain HTTP": {headers: []string{secure + "=x"}, why: "neither"},
		"the cookie of a key that signs no more": {
			headers: []string{"Cookie: kontroler-" + other.SigningID() + "=old"}, want: "old",
		},
		"the cookies of both keys": {
			headers: []string{"Cookie: kontroler-" + other.SigningID() + "=old", plain + "=x"}, want: "x",
		},
		"the cookie of the previous release": {headers: []string{"Cookie: kontroler=old"}, want: "old"},
		"the cookie of the previous release over HTTPS": {
			headers: []string{"Cookie: __Host-kontroler=old"}, isHTTPS: true, want: "old",
		},
		"the cookies of both releases": {headers: []string{"Cookie: kontroler=old", plain + "=x"}, want: "x"},
		"the cookie of another installation": {
			headers: []string{"Cookie: kontroler-0123456789abcdef=x"}, why: "neither",
		},
		"nothing":         {why: "neither a header Authorization nor the cookie"},
		"an empty cookie": {headers: []string{plain + "="}, why: "neither"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := requestWith(test.headers...)
			got, err := a.Credential(r, test.isHTTPS)
			if got != test.want || (err != nil) != (test.why != "") ||
				err != nil && !strings.Contains(err.Error(), test.why) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// requestWith returns a request with headers, each a name, a colon and a value.
func requestWith(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// TestCookie checks that the cookie has Max-Age and no Expires, since the clock of the browser may be wrong.
func TestCookie(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	a, ring := cookies(t, now, keyA, keyB)
	_, other := cookies(t, now, keyB)
	id, old := ring.SigningID(), other.SigningID()
	set := func(r *http.Request, isHTTPS bool) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { a.SetCookie(w, r, isHTTPS, "x", now.Add(time.Hour)) }
	}
	tests := map[string]struct {
		write func(http.ResponseWriter)
		want  []string
	}{
		"over HTTPS": {set(requestWith(), true), []string{
			"__Host-kontroler-" + id + "=x; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict",
		}},
		"over plain HTTP": {set(requestWith(), false), []string{
			"kontroler-" + id + "=x; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict",
		}},
		"with cookies of this and an earlier key": {
			set(requestWith("Cookie: kontroler-"+id+"=y; kontroler-"+old+"=z; kontroler-another=a"), false), []string{
				"kontroler-" + old + "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
				"kontroler-" + id + "=x; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict",
			},
		},
		"with the cookie of the previous release": {
			set(requestWith("Cookie: kontroler=y"), false), []string{
				"kontroler=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
				"kontroler-" + id + "=x; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict",
			},
		},
		"after a logout with the cookie of the previous release": {
			func(w http.ResponseWriter) { a.ClearCookies(w, requestWith("Cookie: __Host-kontroler=y"), true) },
			[]string{"__Host-kontroler=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"},
		},
		"after a logout": {
			func(w http.ResponseWriter) {
				a.ClearCookies(w, requestWith("Cookie: __Host-kontroler-"+id+"=y; __Host-kontroler-another=a"), true)
			},
			[]string{"__Host-kontroler-" + id + "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"},
		},
		"after a logout with a token": {
			func(w http.ResponseWriter) { a.ClearCookies(w, requestWith(), true) }, nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			test.write(w)
			if diff := cmp.Diff(test.want, w.Header()["Set-Cookie"]); diff != "" {
				t.Errorf("cookies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClient(t *testing.T) {
	certificate := &x509.Certificate{
		DNSNames: []string{"Proxy.example"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/proxy"}},
	}
	tests := map[string]struct {
		proxies string
		peer    string
		tls     bool
		headers map[string][]string
		address string
		isHTTPS bool
		noChain bool
	}{
		"without proxies the peer is the client": {
			peer:    "203.0.113.9:1",
			headers: map[string][]string{"X-Forwarded-For": {"1.1.1.1"}, "X-Forwarded-Proto": {"https"}},
			address: "203.0.113.9",
		},
		"a peer that is no proxy is not believed": {
			proxies: "10.0.0.0/8", peer: "203.0.113.9:1", headers: map[string][]string{"X-Forwarded-For": {"1.1.1.1"}},
			address: "203.0.113.9",
		},
		"the address before a proxy": {
			proxies: "10.0.0.0/8", peer: "10.1.1.1:1",
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7"}, "X-Forwarded-Proto": {"https"}},
			address: "198.51.100.7", isHTTPS: true,
		},
		"what a client forged stands further left": {
			proxies: "10.0.0.0/8", peer: "10.1.1.1:1",
			headers: map[string][]string{"X-Forwarded-For": {"127.0.0.1, 10.9.9.9", "198.51.100.7, 10.2.2.2"}},
			address: "198.51.100.7",
		},
		"text that is no address ends the chain": {
			proxies: "10.0.0.0/8", peer: "10.1.1.1:1",
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7, unknown, 10.2.2.2"}}, address: "10.2.2.2",
		},
		"a proxy without the header": {proxies: "10.0.0.0/8", peer: "10.1.1.1:1", address: "10.1.1.1"},
		"only proxies": {
			proxies: "10.0.0.0/8", peer: "10.1.1.1:1",
			headers: map[string][]string{"X-Forwarded-For": {"10.3.3.3, 10.2.2.2"}}, address: "10.3.3.3",
		},
		"an address with a port, in IPv6": {
			proxies: "fd00::1", peer: "[fd00::1]:1",
			headers: map[string][]string{"X-Forwarded-For": {"[2001:db8::5]:443"}}, address: "2001:db8::5",
		},
		"an IPv4 address in IPv6": {
			proxies: "::ffff:10.1.1.1", peer: "[::ffff:10.1.1.1]:1",
			headers: map[string][]string{"X-Forwarded-For": {"::ffff:198.51.100.7"}}, address: "198.51.100.7",
		},
		"a proxy by a DNS name of its certificate": {
			proxies: "proxy.example", peer: "203.0.113.9:1", tls: true,
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7"}}, address: "198.51.100.7", isHTTPS: true,
		},
		"a proxy by a URI of its certificate": {
			proxies: "spiffe://x/proxy", peer: "203.0.113.9:1", tls: true,
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7"}, "X-Forwarded-Proto": {"https, http"}},
			address: "198.51.100.7",
		},
		"a certificate with another name": {
			proxies: "other.example", peer: "203.0.113.9:1", tls: true,
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7"}}, address: "203.0.113.9", isHTTPS: true,
		},
		"a certificate that was not verified": {
			proxies: "proxy.example", peer: "203.0.113.9:1", tls: true, noChain: true,
			headers: map[string][]string{"X-Forwarded-For": {"198.51.100.7"}}, address: "203.0.113.9", isHTTPS: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			proxies, err := auth.ParseProxies(test.proxies, true)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: test.peer, Header: test.headers}
			if test.tls {
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
				if !test.noChain {
					r.TLS.VerifiedChains = [][]*x509.Certificate{{certificate}}
				}
			}
			from, isHTTPS, _ := proxies.Client(r)
			address := from.Address
			if address.String() != test.address || isHTTPS != test.isHTTPS {
				t.Errorf("client %s, HTTPS %v; want %s, %v", address, isHTTPS, test.address, test.isHTTPS)
			}
		})
	}
}

// TestOrigin checks which proxy named an address, and which headers are ignored.
func TestOrigin(t *testing.T) {
	proxies, err := auth.ParseProxies("10.0.0.0/8", false)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		peer      string
		header    string
		via       string
		isIgnored bool
	}{
		"a client":                      {peer: "203.0.113.9:1", via: "invalid IP"},
		"a client with a header":        {"203.0.113.9:1", "X-Forwarded-For: 192.0.2.1", "invalid IP", true},
		"a client that claims HTTPS":    {"203.0.113.9:1", "X-Forwarded-Proto: https", "invalid IP", true},
		"a client with another header":  {peer: "203.0.113.9:1", header: "X-Forwarded-Host: x", via: "invalid IP"},
		"a proxy":                       {peer: "10.0.0.9:1", header: "X-Forwarded-For: 192.0.2.1", via: "10.0.0.9"},
		"a proxy that names no client":  {peer: "10.0.0.9:1", header: "X-Forwarded-Proto: https", via: "invalid IP"},
		"a proxy that names a bad text": {peer: "10.0.0.9:1", header: "X-Forwarded-For: x", via: "invalid IP"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := requestWith(test.header)
			r.RemoteAddr = test.peer
			from, _, isIgnored := proxies.Client(r)
			if from.Via.String() != test.via || isIgnored != test.isIgnored {
				t.Errorf("via %s, ignored %v", from.Via, isIgnored)
			}
		})
	}
}

func TestParseProxiesRefuses(t *testing.T) {
	tests := map[string]struct {
		list        string
		hasClientCA bool
		want        string
	}{
		"a network that is too long":           {"10.0.0.0/33", true, "neither a network"},
		"a name without client certificates":   {"10.0.0.0/8,proxy.example", false, "needs --client-ca"},
		"two names without a comma in between": {"a.example b.example", true, "neither a network"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := auth.ParseProxies(test.list, test.hasClientCA); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	access := accounts.Access{Grants: []accounts.Grant{
		{Namespace: "*", Role: "viewer"}, {Namespace: "a", Role: "editor"}, {Namespace: "b", Role: "unknown"},
	}}
	got := map[string]auth.Role{
		"admin, x": auth.RoleIn(accounts.Access{Admin: true}, "x"),
		"none, x":  auth.RoleIn(accounts.Access{}, "x"),
		"x":        auth.RoleIn(access, "x"), "a": auth.RoleIn(access, "a"), "b": auth.RoleIn(access, "b"),
	}
	want := map[string]auth.Role{
		"admin, x": auth.Editor, "none, x": auth.NoRole, "x": auth.Viewer, "a": auth.Editor, "b": auth.Viewer,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}

func TestIntersect(t *testing.T) {
	grants := func(pairs ...string) accounts.Access {
		var a accounts.Access
		for _, pair := range pairs {
			namespace, role, _ := strings.Cut(pair, "=")
			a.Grants = append(a.Grants, accounts.Grant{Namespace: namespace, Role: role})
		}
		return a
	}
	root := accounts.Access{Admin: true}
	tests := map[string]struct{ user, token, want accounts.Access }{
		"a token of an administrator":           {root, grants("a=operator"), grants("a=operator")},
		"a token that asks to be administrator": {grants("a=viewer"), root, grants("a=viewer")},
		"both are administrators": {
			root, root, accounts.Access{Admin: true, Grants: grants("*=editor").Grants},
		},
		"the lower role holds": {
			grants("a=editor", "b=viewer"), grants("a=viewer", "b=editor"), grants("a=viewer", "b=viewer"),
		},
		"all namespaces of a token are those of its user": {grants("a=editor"), grants("*=viewer"), grants("a=viewer")},
		"a namespace that the user does not have":         {grants("a=editor"), grants("b=editor"), accounts.Access{}},
		"a user without rights":                           {accounts.Access{}, grants("*=editor"), accounts.Access{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, got := range []accounts.Access{
				auth.Intersect(test.token, test.user), auth.Intersect(test.user, test.token),
			} {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("rights (-want +got):\n%s", diff)
				}
			}
		})
	}
}
