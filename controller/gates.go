package controller

import (
	"context"
	"sync"
	"time"

	"kontroler/controller/engine"
	"kontroler/controller/wait"
)

const (
	// probeFirst and probeMax are between two probes of a namespace that refuses creates.
	probeFirst, probeMax = time.Second, time.Minute
	// probeTick is how often it is checked whether a probe is due.
	probeTick = 250 * time.Millisecond
	// reopening is how many creates may follow one that was accepted.
	reopening = 2
)

// gates hold back creates in namespaces that refuse them. A namespace is closed as a whole when its quota is full, when it
// is going away, or when the API server or a webhook fails to answer. A policy (PodSecurity, LimitRange, a webhook's
// denial) closes it only for Pods of the template that was refused. In both cases one run at a time probes with one
// create, 1 s to 1 min apart, in turns; the others wait in a ring and ask nobody. When a probe is accepted two more creates
// follow, and so on until the ring is empty.
type gates struct {
	wake func(runKey)

	mu     sync.Mutex
	closed map[string]*gate // by namespace
}

// template names what the Pods of a task have in common: a version of a DAG, and the task's position in it.
type template struct {
	version int64
	task    int
}

type gate struct {
	// all is why the whole namespace is closed; its zero value: it is not.
	all engine.Refusal
	// templates are those that a policy refuses, with its words.
	templates map[template]string
	delay     time.Duration
	next      time.Time // of the next probe
	ring      []runKey  // the runs that wait, the longest first
	waiting   map[runKey]bool
	tickets   map[runKey]int // creates that runs may send
	// probed: a create was sent as a probe and has no answer yet. reopens: one was accepted since the last refusal.
	probed, reopens bool
}

func newGates(wake func(runKey)) *gates { return &gates{wake: wake, closed: map[string]*gate{}} }

// reason is why a namespace takes no Pods at all; empty: it does.
func (g *gates) reason(namespace string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate := g.closed[namespace]; gate != nil {
		return gate.all.Reason
	}
	return ""
}

// pass reports whether a run may send a create. One that may not waits in the ring, and learns why.
func (g *gates) pass(namespace string, key runKey, t template) (engine.Refusal, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[namespace]
	if gate == nil {
		return engine.Refusal{}, true
	}
	why, isClosed := gate.refusal(t)
	if !isClosed {
		return engine.Refusal{}, true
	}
	if gate.tickets[key] > 0 {
		if gate.tickets[key]--; gate.tickets[key] == 0 {
			delete(gate.tickets, key)
		}
		gate.probed = true
		return engine.Refusal{}, true
	}
	gate.wait(key)
	return why, false
}

// blocked returns the tasks of a run whose Pods may not be created now, and why. A sync takes no slots for them. A run
// with such a task joins the ring.
func (g *gates) blocked(namespace string, key runKey, version int64, tasks []int) map[int]engine.Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[namespace]
	if gate == nil {
		return nil
	}
	blocked, tickets := map[int]engine.Refusal{}, gate.tickets[key]
	for _, task := range tasks {
		why, isClosed := gate.refusal(template{version: version, task: task})
		switch {
		case !isClosed:
		case tickets > 0:
			tickets--
		default:
			blocked[task] = why
			gate.wait(key)
		}
	}
	return blocked
}

// refused notes that the API server refused a create that passed.
func (g *gates) refused(namespace string, key runKey, t template, why engine.Refusal, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.closed[namespace]
	if at == nil {
		at = &gate{templates: map[template]string{}, waiting: map[runKey]bool{}, tickets: map[runKey]int{}}
		g.closed[namespace] = at
	}
	at.wait(key)
	probed := at.probed
	at.probed = false
	if why.Reason == engine.ReasonCreateRefused {
		at.templates[t] = why.Message
		if at.all.Reason != "" {
			return // this says nothing of the quota: the next run probes that
		}
	} else {
		at.all = why
	}
	switch {
	case at.delay == 0, at.reopens:
		at.delay = probeFirst
	case probed:
		at.delay = min(2*at.delay, probeMax)
	default:
		return // it was sent before the namespace was closed
	}
	clear(at.tickets)
	at.reopens, at.next = false, now.Add(at.delay)
}

// accepted notes that the API server accepted a create that passed.
func (g *gates) accepted(namespace string, t template) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[namespace]
	if gate == nil {
		return
	}
	gate.probed = false
	_, wasRefused := gate.templates[t]
	switch {
	case gate.all.Reason != "":
		delete(gate.templates, t)
		gate.reopens = true
		for range reopening {
			g.grant(gate)
		}
		if len(gate.ring) == 0 {
			gate.all = engine.Refusal{}
		}
	case wasRefused:
		clear(gate.templates) // the policy has changed: each template is tried again
	}
	if gate.all.Reason == "" && len(gate.templates) == 0 {
		g.open(namespace, gate)
	}
}

// probe gives each namespace whose probe is due to the run that has waited longest.
func (g *gates) probe(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for namespace, gate := range g.closed {
		switch {
		case now.Before(gate.next) && gate.next.Sub(now) <= probeMax: // else the clock went back
		case len(gate.ring) == 0:
			g.open(namespace, gate) // nobody waits: the next create tells anew
		default:
			g.grant(gate)
			gate.next = now.Add(gate.delay) // should that run send none
		}
	}
}

// grant lets the run at the head of the ring send a create.
func (g *gates) grant(gate *gate) {
	if len(gate.ring) == 0 {
		return
	}
	key := gate.ring[0]
	gate.ring = gate.ring[1:]
	delete(gate.waiting, key)
	gate.tickets[key]++
	g.wake(key)
}

// open forgets a gate and wakes all that wait.
func (g *gates) open(namespace string, gate *gate) {
	delete(g.closed, namespace)
	for _, key := range gate.ring {
		g.wake(key)
	}
}

// refusal returns why a gate is closed for a template, and whether it is.
func (g *gate) refusal(t template) (engine.Refusal, bool) {
	if g.all.Reason != "" {
		return g.all, true
	}
	message, refused := g.templates[t]
	return engine.Refusal{Reason: engine.ReasonCreateRefused, Message: message}, refused
}

// wait puts a run at the end of the ring, once.
func (g *gate) wait(key runKey) {
	if !g.waiting[key] {
		g.waiting[key] = true
		g.ring = append(g.ring, key)
	}
}

// probeNamespaces has the namespaces that refuse creates probed, until ctx ends.
func (t *term) probeNamespaces(ctx context.Context) {
	for wait.For(ctx, probeTick) {
		t.gates.probe(t.now())
		t.storage.probe(t.now())
	}
}
