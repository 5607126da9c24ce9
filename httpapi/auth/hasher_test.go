package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

type action = func(context.Context) error

// plainly records nothing.
func plainly(t *testing.T) auth.Record {
	return func(_ accounts.User, _ bool, run action) error { return run(t.Context()) }
}

func TestHasher(t *testing.T) {
	h := auth.NewHasher()
	hash, err := h.Hash(t.Context(), "n", password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Hash(t.Context(), "n", password)
	if err != nil || second == hash {
		t.Errorf("two hashes of a password are equal: %v", err)
	}
	tests := map[string]struct {
		hash, password  string
		matches, isWeak bool
		hasError        bool
	}{
		"the password":     {hash: hash, password: password, matches: true},
		"another password": {hash: hash, password: password + " "},
		"an unknown user":  {hash: "", password: password},
		"a cheaper hash": {
			hash: auth.EncodeWeak(password), password: password, matches: true, isWeak: true,
		},
		"a hash of another algorithm": {hash: "$2a$10$abcdefghijklmnopqrstuv", password: password, hasError: true},
		"a hash that would take all memory": {
			hash: strings.Replace(hash, "m=19456", "m=4294967295", 1), password: password, hasError: true,
		},
		"a hash without a hash": {hash: hash[:strings.LastIndex(hash, "$")+1], password: "", hasError: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			turn, err := h.Enter("n")
			if err != nil {
				t.Fatal(err)
			}
			defer turn.End()
			matches, isWeak, err := turn.Verify(t.Context(), test.hash, test.password)
			if matches != test.matches || isWeak != test.isWeak || (err != nil) != test.hasError {
				t.Errorf("matches %v, weak %v, error %v", matches, isWeak, err)
			}
			if err != nil && strings.Contains(err.Error(), "$") {
				t.Errorf("the error has a part of the hash: %v", err)
			}
		})
	}
}

// TestFewHashAtATime starts many callers concurrently. Each network gets some places, and a further network still gets
// one.
func TestFewHashAtATime(t *testing.T) {
	h := auth.NewHasher()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	var mu sync.Mutex
	results := map[string]int{}
	for network, callers := range map[string]int{"attacker": 60, "other": 1} {
		for range callers {
			wg.Go(func() {
				<-begin
				_, err := h.Hash(t.Context(), network, password)
				mu.Lock()
				defer mu.Unlock()
				results[fmt.Sprint(network, " busy:", errors.Is(err, auth.ErrBusy))]++
			})
		}
	}
	close(begin)
	wg.Wait()
	if results["other busy:false"] != 1 || results["attacker busy:false"] == 0 || results["attacker busy:true"] == 0 {
		t.Errorf("results %v", results)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 * auth.MaxWaiting * 2 {
		// Callers that have gone leave no place taken.
		if _, err := h.Hash(ctx, "gone", password); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// TestSharesOfNetworks lets networks take all places that they can get. Each gets half of what the others leave, so
// that four networks leave some.
func TestSharesOfNetworks(t *testing.T) {
	h := auth.NewHasher()
	var shares []int
	var turns []*auth.Turn
	take := func(network string) (taken int) {
		for {
			turn, err := h.Enter(network)
			if err != nil {
				return taken
			}
			turns = append(turns, turn)
			taken++
		}
	}
	for _, network := range []string{"a", "b", "c", "d"} {
		shares = append(shares, take(network))
	}
	for i, share := range shares {
		left := h.Places()
		for _, before := range shares[:i] {
			left -= before
		}
		if share != max(1, left/2) {
			t.Errorf("network %d has %d places of %d", i, share, left)
		}
	}
	if got := take("e"); got == 0 {
		t.Errorf("four networks have %v of %d places, and leave none", shares, h.Places())
	}
	for _, turn := range turns {
		turn.End()
	}
	if got := take("f"); got != h.Places()/2 {
		t.Errorf("after all have ended a network has %d places of %d", got, h.Places())
	}
}
