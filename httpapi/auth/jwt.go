package auth

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kontroler/store/accounts"
)

const (
	issuer   = "kontroler"
	audience = "kontroler-api"
)

var errKey = errors.New("the token names no known key")

// sign returns the token of a session.
func (k *Keys) sign(s accounts.Session) (string, error) {
	id, key := k.signer()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: s.User.Name, ID: s.ID,
		IssuedAt: jwt.NewNumericDate(s.CreatedAt), ExpiresAt: jwt.NewNumericDate(s.ExpiresAt),
	})
	token.Header["kid"] = id
	return token.SignedString(key)
}

// session returns the id of the session that a token names, if the token is genuine and has not expired.
func (k *Keys) session(token string, now time.Time) (id string, err error) {
	var claims jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, isKnown := k.key(kid)
		if !isKnown {
			return nil, errKey
		}
		return key, nil
	}, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return "", err
	}
	if claims.ID == "" {
		return "", jwt.ErrTokenInvalidId
	}
	return claims.ID, nil
}

// isOfSession reports whether a token claims to be one of a session. It verifies neither the signature nor the expiry.
func isOfSession(token string) bool {
	var claims jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	return err == nil && claims.Issuer == issuer
}
