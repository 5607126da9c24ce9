package podlog

import (
	"errors"
	"sync"
)

// MaxStreams is how many logs a user may read at the same time.
const MaxStreams = 10

// ErrTooMany means that a user reads MaxStreams logs.
var ErrTooMany = errors.New("the user reads too many logs")

// Limit counts the logs that each user reads. The zero Limit is ready.
type Limit struct {
	mu    sync.Mutex
	users map[int64]int
}

// Take counts one more log for a user until giveBack is called. The error is ErrTooMany.
func (l *Limit) Take(user int64) (giveBack func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users[user] >= MaxStreams {
		return nil, ErrTooMany
	}
	if l.users == nil {
		l.users = map[int64]int{}
	}
	l.users[user]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.users[user]--; l.users[user] == 0 {
			delete(l.users, user)
		}
	}, nil
}
