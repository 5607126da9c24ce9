package queue

// Priority orders a queue: urgent keys first, but every second Pop serves a normal one, so that neither starves.
type Priority[K comparable] struct {
	isUrgent       func(K) bool
	urgent, normal []K
	// queued has the waiting keys: true for those in urgent. An entry of normal is stale unless its key is queued as
	// normal.
	queued map[K]bool
	// servedUrgent reports that the last Pop served an urgent key.
	servedUrgent bool
}

// NewPriority makes an empty order.
func NewPriority[K comparable](isUrgent func(K) bool) *Priority[K] {
	return &Priority[K]{isUrgent: isUrgent, queued: map[K]bool{}}
}

// Push adds a key that is not queued.
func (p *Priority[K]) Push(key K) {
	p.queued[key] = p.isUrgent(key)
	if p.queued[key] {
		p.urgent = append(p.urgent, key)
	} else {
		p.normal = append(p.normal, key)
	}
}

// Touch promotes a queued key that has become urgent.
func (p *Priority[K]) Touch(key K) {
	if wasUrgent, isQueued := p.queued[key]; isQueued && !wasUrgent && p.isUrgent(key) {
		p.queued[key] = true
		p.urgent = append(p.urgent, key)
	}
}

// Len returns how many keys are queued.
func (p *Priority[K]) Len() int { return len(p.queued) }

// Pop removes and returns the next key. At least one must be queued.
func (p *Priority[K]) Pop() (key K) {
	onlyUrgent := len(p.urgent) == len(p.queued)
	p.servedUrgent = len(p.urgent) > 0 && (!p.servedUrgent || onlyUrgent)
	keys := &p.normal
	if p.servedUrgent {
		keys = &p.urgent
	}
	for {
		key, *keys = (*keys)[0], (*keys)[1:]
		if isUrgent, isQueued := p.queued[key]; isQueued && isUrgent == p.servedUrgent {
			delete(p.queued, key)
			return key
		}
	}
}
