// Package turns limits how many requests of a user are served concurrently, so that one user cannot hold all
// connections of a pool. Further requests wait, because a page of the UI sends several together.
package turns

import (
	"context"
	"errors"
	"sync"
)

const (
	// AtATime is how many requests of a user are served concurrently. Each pool has ten connections.
	AtATime = 4
	// MaxRequests is how many requests of a user may be served or wait.
	MaxRequests = 64
)

// ErrTooMany means that the user has MaxRequests requests already.
var ErrTooMany = errors.New("too many requests of one user")

// Turns counts the requests of each user. It has no entry for a user without requests.
type Turns struct {
	mu    sync.Mutex
	users map[int64]*user
}

type user struct {
	requests int
	served   chan struct{}
}

// New returns Turns without requests.
func New() *Turns { return &Turns{users: map[int64]*user{}} }

// Take waits until a request of a user may be served. The caller must call release afterwards; more calls have no
// effect. The error is ErrTooMany, or that of ctx.
func (t *Turns) Take(ctx context.Context, id int64) (release func(), err error) {
	u := t.enter(id)
	if u == nil {
		return nil, ErrTooMany
	}
	select {
	case u.served <- struct{}{}:
		return sync.OnceFunc(func() { <-u.served; t.leave(id) }), nil
	case <-ctx.Done():
		t.leave(id)
		return nil, ctx.Err()
	}
}

// enter counts a request. It returns nil if there are too many.
func (t *Turns) enter(id int64) *user {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.users[id]
	if u == nil {
		u = &user{served: make(chan struct{}, AtATime)}
		t.users[id] = u
	}
	if u.requests == MaxRequests {
		return nil
	}
	u.requests++
	return u
}

func (t *Turns) leave(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users[id].requests--; t.users[id].requests == 0 {
		delete(t.users, id)
	}
}
