package auth

import "time"

// Session returns the id of the session that a token names, without looking for its row.
func (k *Keys) Session(token string, now time.Time) (string, error) { return k.session(token, now) }

// SigningID returns the id of the key that signs.
func (k *Keys) SigningID() string { id, _ := k.signer(); return id }

// EncodeWeak hashes a password with little cost, as an earlier version might have done.
func EncodeWeak(password string) string { return encodeWith(password, 64, 1) }

// ParseHash reads a hash in PHC format.
func ParseHash(text string) error { _, err := parse(text); return err }

// Limits of a Hasher and of Delays.
const (
	MaxWaiting  = maxWaiting
	FreeOfProxy = freeOfProxy
)

// Places is how many callers a Hasher admits at a time.
func (h *Hasher) Places() int { return maxWaiting + cap(h.places) }
