package controller

// lanes is the order of a queue in which some keys press: they go before those that do not, which have every second turn.
// So neither waits behind all of the others, as live runs would behind thousands that are to begin.
type lanes[K comparable] struct {
	presses       func(K) bool
	first, second []K
	// in are the keys that wait; true: in first. What second holds beside them was moved or is gone.
	in   map[K]bool
	last bool // the last turn was of first
}

func newLanes[K comparable](presses func(K) bool) *lanes[K] {
	return &lanes[K]{presses: presses, in: map[K]bool{}}
}

// Push adds a key that does not wait.
func (l *lanes[K]) Push(key K) {
	if l.in[key] = l.presses(key); l.in[key] {
		l.first = append(l.first, key)
	} else {
		l.second = append(l.second, key)
	}
}

// Touch moves a key that waits, and presses by now.
func (l *lanes[K]) Touch(key K) {
	if pressed, waits := l.in[key]; waits && !pressed && l.presses(key) {
		l.in[key] = true
		l.first = append(l.first, key)
	}
}

// Len is how many keys wait.
func (l *lanes[K]) Len() int { return len(l.in) }

// Pop takes the next of the keys that wait: there is one.
func (l *lanes[K]) Pop() (key K) {
	allPress := len(l.first) == len(l.in) // first holds nothing beside keys that wait
	l.last = len(l.first) > 0 && (!l.last || allPress)
	lane := &l.second
	if l.last {
		lane = &l.first
	}
	for {
		key, *lane = (*lane)[0], (*lane)[1:]
		if pressed, waits := l.in[key]; waits && pressed == l.last {
			delete(l.in, key)
			return key
		}
	}
}
