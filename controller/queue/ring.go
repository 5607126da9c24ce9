package queue

import "slices"

// ring has the runs that wait for a turn, the longest first. The zero value is empty.
type ring struct {
	keys []RunKey
	isIn map[RunKey]bool
}

// add puts a run at the end, unless it waits already.
func (r *ring) add(key RunKey) {
	if r.isIn[key] {
		return
	}
	if r.isIn == nil {
		r.isIn = map[RunKey]bool{}
	}
	r.isIn[key] = true
	r.keys = append(r.keys, key)
}

// next removes and returns the run that has waited longest. The ring must not be empty.
func (r *ring) next() RunKey {
	key := r.keys[0]
	r.keys = r.keys[1:]
	delete(r.isIn, key)
	return key
}

// remove removes a run, if it waits.
func (r *ring) remove(key RunKey) {
	if r.isIn[key] {
		delete(r.isIn, key)
		i := slices.Index(r.keys, key)
		r.keys = slices.Delete(r.keys, i, i+1)
	}
}

func (r *ring) len() int { return len(r.keys) }
