package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"kontroler/apis/fairness"
)

// The cost of a hash, as OWASP recommends for Argon2id: 19 MiB, two passes, one thread.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltBytes   = 16
	hashBytes   = 32
)

// The bounds of a password. The upper one bounds the work of hashing a text from outside.
const (
	MinPassword = 12   // characters
	MaxPassword = 1024 // bytes
)

// maxWaiting is how many callers may have a turn without hashing: they wait for a place, or read and write rows before
// and after that. One network may have half of the turns that the others leave, and at least one.
const maxWaiting = 16

// ErrBusy means that too many callers have a turn. The caller may retry after a second.
var ErrBusy = errors.New("too many logins at a time")

// CheckPassword returns an error that says why a text is not allowed as the password of a user.
func CheckPassword(user, password string) error {
	switch {
	case !utf8.ValidString(password):
		return errors.New("the password is not valid UTF-8")
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("the password has fewer than %d characters", MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("the password has more than %d bytes", MaxPassword)
	case strings.EqualFold(password, user), strings.Count(password, password[:1]) == len(password):
		return errors.New("the password is easy to guess")
	}
	return nil
}

// Hasher hashes passwords, a few at a time. It does not keep them.
type Hasher struct {
	places chan struct{}
	// dummy is the hash of a random text.
	dummy string

	mu       sync.Mutex
	waiting  int
	networks map[string]int
}

// NewHasher makes a Hasher that uses at most all processors but one.
func NewHasher() *Hasher {
	h := &Hasher{places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)), networks: map[string]int{}}
	h.dummy = encode(rand.Text())
	return h
}

// Turn is the right of a caller to use a Hasher. The caller must end it.
type Turn struct {
	hasher  *Hasher
	network string
}

// Enter returns a turn, or ErrBusy if too many callers have one, in total or of this network. It does not block.
func (h *Hasher) Enter(network string) (*Turn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all, own := maxWaiting+cap(h.places), h.networks[network]
	if h.waiting >= all || own >= fairness.Share(all, h.waiting-own) {
		return nil, ErrBusy
	}
	h.waiting++
	h.networks[network]++
	return &Turn{h, network}, nil
}

// End gives the turn back.
func (t *Turn) End() {
	h := t.hasher
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting--
	if h.networks[t.network]--; h.networks[t.network] == 0 {
		delete(h.networks, t.network)
	}
}

// place waits for a place to hash, or for the end of ctx. done gives the place back.
func (t *Turn) place(ctx context.Context) (done func(), err error) {
	select {
	case t.hasher.places <- struct{}{}:
		return func() { <-t.hasher.places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Hash returns the hash of a password in PHC format, for storage. network is that of the caller.
func (h *Hasher) Hash(ctx context.Context, network, password string) (string, error) {
	turn, err := h.Enter(network)
	if err != nil {
		return "", err
	}
	defer turn.End()
	return turn.Hash(ctx, password)
}

// Hash returns the hash of a password in PHC format, for storage.
func (t *Turn) Hash(ctx context.Context, password string) (string, error) {
	done, err := t.place(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return encode(password), nil
}

// Verify reports whether a password matches a hash. An empty hash, that of an unknown user, never matches and takes the
// same time. isWeak means that the hash was made with a cost other than that of new hashes.
func (t *Turn) Verify(ctx context.Context, hash, password string) (matches, isWeak bool, err error) {
	done, err := t.place(ctx)
	if err != nil {
		return false, false, err
	}
	defer done()
	known := hash != ""
	if !known {
		hash = t.hasher.dummy
	}
	p, err := parse(hash)
	if err != nil {
		return false, false, err
	}
	if len(password) > MaxPassword {
		password, known = "", false
	}
	got := argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.lanes, uint32(len(p.hash)))
	isWeak = p.memory != argonMemory || p.time != argonTime || p.lanes != argonLanes
	return subtle.ConstantTimeCompare(got, p.hash) == 1 && known, isWeak, nil
}

// encode hashes a password with a random salt.
func encode(password string) string { return encodeWith(password, argonMemory, argonTime) }

func encodeWith(password string, memory, time uint32) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // it never returns an error
	hash := argon2.IDKey([]byte(password), salt, time, memory, argonLanes, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, time, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(hash))
}

type parameters struct {
	memory, time uint32
	lanes        uint8
	salt, hash   []byte
}

// errHash does not quote the hash.
var errHash = errors.New("a stored password hash is not an Argon2id hash in PHC format")

// parse parses a hash in PHC format. It rejects a cost far above that of encode.
func parse(text string) (p parameters, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, errHash
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes); n != 3 || err != nil {
		return p, errHash
	}
	if p.memory < 8 || p.memory > 1<<20 || p.time < 1 || p.time > 64 || p.lanes < 1 {
		return p, errHash
	}
	p.salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(p.salt) < 8 {
		return p, errHash
	}
	p.hash, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(p.hash) < 16 {
		return p, errHash
	}
	return p, nil
}
