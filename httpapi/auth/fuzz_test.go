package auth_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kontroler/httpapi/auth"
)

// FuzzToken looks for a text that is accepted as a token although nobody signed it.
func FuzzToken(f *testing.F) {
	file := filepath.Join(f.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(keyA), 0o600); err != nil {
		f.Fatal(err)
	}
	keys, err := auth.OpenKeys(file)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	sign := func(key string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Issuer: "kontroler", Audience: jwt.ClaimStrings{"kontroler-api"}, ID: "s",
			ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
		})
		token.Header["kid"] = keys.SigningID()
		text, err := token.SignedString([]byte(key))
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	genuine := sign(keyA)
	for _, seed := range []string{
		genuine, sign(keyB), "", "..", "a.b.c", "eyJhbGciOiJub25lIn0.eyJqdGkiOiJzIn0.", genuine + "A", genuine + "=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := keys.Session(token, now)
		if err == nil && token != genuine {
			t.Errorf("accepted as session %q: %q", id, token)
		}
	})
}

// FuzzHash looks for a stored hash that makes the parser panic.
func FuzzHash(f *testing.F) {
	f.Add(auth.EncodeWeak(password))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(_ *testing.T, text string) { _ = auth.ParseHash(text) })
}
