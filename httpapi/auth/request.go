package auth

import (
	"net/http"
	"strings"
	"time"
)

// The names of the cookie. The id of the key that signed the token follows them, because browsers share cookies between
// the ports of a host, and two installations on one host need different names. A browser accepts the prefix __Host-
// only over HTTPS, for exactly this host.
const (
	secureCookie = "__Host-kontroler-"
	plainCookie  = "kontroler-"
)

// UnattendedHeader is "true" in requests that a page sends by itself, without its user. They do not count as use of a
// session.
const UnattendedHeader = "Kontroler-Unattended"

// Credential returns the token of a request: that of the Authorization header, else that of the cookie. A header
// without a token of this server belongs to a proxy in front of it, and is ignored if there is a cookie. An error
// matches ErrUnauthenticated.
func (a *Authenticator) Credential(r *http.Request, isHTTPS bool) (string, error) {
	values := r.Header.Values("Authorization")
	if !HasToken(r) {
		for _, name := range a.cookieNames(isHTTPS) {
			if cookie, err := r.Cookie(name); err == nil && cookie.Value != "" {
				return cookie.Value, nil
			}
		}
	}
	switch len(values) {
	case 0:
		return "", unauthenticated("the request has neither a header Authorization nor the cookie of a session")
	case 1:
		if token := bearer(values[0]); token != "" {
			return token, nil
		}
		return "", unauthenticated("the header Authorization must be: Bearer TOKEN. Only the login accepts Basic")
	default:
		return "", unauthenticated("there is more than one header Authorization")
	}
}

// HasToken reports whether an Authorization header of a request has a token of this server's form: an API token, or the
// token of a session. The token may be invalid or expired.
func HasToken(r *http.Request) bool {
	for _, value := range r.Header.Values("Authorization") {
		if token := bearer(value); strings.HasPrefix(token, tokenPrefix) || isOfSession(token) {
			return true
		}
	}
	return false
}

// bearer returns the bearer token in the value of an Authorization header, or "".
func bearer(value string) string {
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// SetCookie sets the cookie with the token of a session. It deletes the cookies of other keys that the request has.
func (a *Authenticator) SetCookie(
	w http.ResponseWriter, r *http.Request, isHTTPS bool, token string, expires time.Time,
) {
	signing, _ := a.keys.signer()
	name := cookieName(isHTTPS, signing)
	a.clearCookies(w, r, isHTTPS, name)
	// Max-Age does not depend on the clock of the browser, unlike Expires.
	seconds := int(expires.Sub(a.now()).Seconds())
	http.SetCookie(w, cookie(name, isHTTPS, token, max(1, seconds)))
}

// ClearCookies deletes the cookies with tokens that the request has.
func (a *Authenticator) ClearCookies(w http.ResponseWriter, r *http.Request, isHTTPS bool) {
	a.clearCookies(w, r, isHTTPS, "")
}

// clearCookies deletes the cookies that the request has, except that with the name kept.
func (a *Authenticator) clearCookies(w http.ResponseWriter, r *http.Request, isHTTPS bool, kept string) {
	for _, name := range a.cookieNames(isHTTPS) {
		if _, err := r.Cookie(name); err == nil && name != kept {
			http.SetCookie(w, cookie(name, isHTTPS, "", -1))
		}
	}
}

func cookie(name string, isHTTPS bool, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: isHTTPS, HttpOnly: true,
		SameSite: http.SameSiteStrictMode,
	}
}

// cookieNames returns the names of the cookies that count, that of the key that signs first. The last one has no id: it
// is that of the previous release, whose sessions go on after an upgrade.
func (a *Authenticator) cookieNames(isHTTPS bool) (names []string) {
	for _, id := range a.keys.ids() {
		names = append(names, cookieName(isHTTPS, id))
	}
	return append(names, strings.TrimSuffix(cookieName(isHTTPS, ""), "-"))
}

// cookieName returns the name of the cookie for tokens that the key with this id has signed.
func cookieName(isHTTPS bool, id string) string {
	if isHTTPS {
		return secureCookie + id
	}
	return plainCookie + id
}
