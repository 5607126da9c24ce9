package controller

import (
	"sync"
	"time"
)

// quotaGates holds back creates in namespaces whose quota refused one: a single probe at a time, 1 s to 1 min apart.
type quotaGates struct {
	mu    sync.Mutex
	gates map[string]*quotaGate
}

type quotaGate struct {
	delay   time.Duration
	next    time.Time
	probing bool
}

const (
	quotaProbeFirst = time.Second
	quotaProbeMax   = time.Minute
)

func newQuotaGates() *quotaGates { return &quotaGates{gates: map[string]*quotaGate{}} }

// pass says whether a create may be sent; else when to ask again. A create that passed must be answered.
func (q *quotaGates) pass(namespace string, now time.Time) (bool, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := q.gates[namespace]
	switch {
	case g == nil:
		return true, time.Time{}
	case g.probing:
		return false, now.Add(g.delay)
	case now.Before(g.next):
		return false, g.next
	}
	g.probing = true
	return true, time.Time{}
}

// closed reports whether the namespace's quota refused the last create.
func (q *quotaGates) closed(namespace string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.gates[namespace] != nil
}

// answer tells the gate what became of a create: refused by the quota, accepted, or neither (it says nothing of the quota).
func (q *quotaGates) answer(namespace string, now time.Time, refused, accepted bool) (next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := q.gates[namespace]
	switch {
	case refused && g == nil:
		g = &quotaGate{delay: quotaProbeFirst}
		q.gates[namespace] = g
	case refused && g.probing:
		g.delay = min(2*g.delay, quotaProbeMax)
	case refused:
		return g.next
	case g == nil:
		return time.Time{}
	case accepted:
		delete(q.gates, namespace)
		return time.Time{}
	}
	g.probing = false
	g.next = now.Add(g.delay)
	return g.next
}
