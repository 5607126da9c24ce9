package auth

import (
	"net/http"
	"strings"
	"time"
)

// The names of the cookie. A browser accepts the prefix __Host- only from HTTPS, for the whole host and no other.
const (
	secureCookie = "__Host-kontroler"
	plainCookie  = "kontroler"
)

// Credential returns the token of a request: from the header Authorization, else from the cookie. An error matches
// ErrUnauthenticated.
func Credential(r *http.Request, isHTTPS bool) (string, error) {
	switch values := r.Header.Values("Authorization"); len(values) {
	case 0:
	case 1:
		scheme, token, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", unauthenticated("the header Authorization must be: Bearer TOKEN. Only the login accepts Basic")
		}
		return token, nil
	default:
		return "", unauthenticated("there is more than one header Authorization")
	}
	if cookie, err := r.Cookie(cookieName(isHTTPS)); err == nil && cookie.Value != "" {
		return cookie.Value, nil
	}
	return "", unauthenticated("the request has neither a header Authorization nor the cookie of a session")
}

// SetCookie gives the token of a session to a browser.
func SetCookie(w http.ResponseWriter, isHTTPS bool, token string, expires time.Time) {
	http.SetCookie(w, cookie(isHTTPS, token, expires, 0))
}

// ClearCookie makes a browser forget the token of its session.
func ClearCookie(w http.ResponseWriter, isHTTPS bool) {
	http.SetCookie(w, cookie(isHTTPS, "", time.Unix(1, 0), -1))
}

func cookie(isHTTPS bool, value string, expires time.Time, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(isHTTPS), Value: value, Path: "/", Expires: expires.UTC(), MaxAge: maxAge,
		Secure: isHTTPS, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

func cookieName(isHTTPS bool) string {
	if isHTTPS {
		return secureCookie
	}
	return plainCookie
}
