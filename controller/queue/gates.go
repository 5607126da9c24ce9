package queue

import (
	"sync"
	"time"

	"kontroler/controller/engine"
)

const (
	// probeFirst and probeMax are the shortest and the longest time between two probes of a namespace that refuses
	// creates.
	probeFirst, probeMax = time.Second, time.Minute
	// reopening is how many creates may follow one that was accepted.
	reopening = 2
)

// Gates hold back creates in namespaces that refuse them.
//
// A namespace is closed as a whole while its quota is full, while it is terminating, or while the API server or a
// webhook fails. A policy (PodSecurity, LimitRange, a webhook's denial) closes it only for Pods of the refused
// template. In both cases one run at a time probes the namespace with one create, 1 s to 1 min apart, in turns. All
// other runs wait and send nothing. After each accepted probe two more creates may follow, until no run waits.
type Gates struct {
	wake func(RunKey)

	mu     sync.Mutex
	closed map[string]*gate // by namespace
}

// Template identifies Pods of the same spec: the version of a DAG, and the task's position in it.
type Template struct {
	Version int64
	Task    int
}

type gate struct {
	// all is why the whole namespace is closed. It is zero if the namespace is closed only for templates.
	all engine.Refusal
	// templates are those that a policy refuses, with the message of the refusal.
	templates map[Template]string
	delay     time.Duration
	next      time.Time // of the next probe
	waiting   ring
	tickets   map[RunKey]int // creates that runs may send
	// probed reports that a probe was sent and is not answered yet. reopens reports that a create was accepted since
	// the last refusal.
	probed, reopens bool
}

// NewGates makes open gates. wake enqueues a run whose turn has come.
func NewGates(wake func(RunKey)) *Gates { return &Gates{wake: wake, closed: map[string]*gate{}} }

// Reason returns why a namespace is closed as a whole. The result is empty for any other namespace.
func (g *Gates) Reason(namespace string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate := g.closed[namespace]; gate != nil {
		return gate.all.Reason
	}
	return ""
}

// Pass reports whether a run may send a create. If not, the run waits for its turn, and the refusal says why.
func (g *Gates) Pass(namespace string, key RunKey, t Template) (engine.Refusal, bool) {
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
	gate.waiting.add(key)
	return why, false
}

// Blocked returns those of the tasks of a run whose Pods may not be created now, and why. A sync takes no slots for
// them. A run with such a task waits for its turn.
func (g *Gates) Blocked(namespace string, key RunKey, version int64, tasks []int) map[int]engine.Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[namespace]
	if gate == nil {
		return nil
	}
	blocked, tickets := map[int]engine.Refusal{}, gate.tickets[key]
	for _, task := range tasks {
		why, isClosed := gate.refusal(Template{Version: version, Task: task})
		switch {
		case !isClosed:
		case tickets > 0:
			tickets--
		default:
			blocked[task] = why
			gate.waiting.add(key)
		}
	}
	return blocked
}

// Refused records that the API server refused a create that had passed.
func (g *Gates) Refused(namespace string, key RunKey, t Template, why engine.Refusal, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.closed[namespace]
	if at == nil {
		at = &gate{templates: map[Template]string{}, tickets: map[RunKey]int{}}
		g.closed[namespace] = at
	}
	at.waiting.add(key)
	probed := at.probed
	at.probed = false
	if why.Reason == engine.ReasonCreateRefused {
		at.templates[t] = why.Message
		if at.all.Reason != "" {
			return // the quota may still be full: the next run probes it
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
		return // this create was sent before the namespace was closed
	}
	clear(at.tickets)
	at.reopens, at.next = false, now.Add(at.delay)
}

// Accepted records that the API server accepted a create that had passed.
func (g *Gates) Accepted(namespace string, t Template) {
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
		if gate.waiting.len() == 0 {
			gate.all = engine.Refusal{}
		}
	case wasRefused:
		clear(gate.templates) // the policy has changed: each template is tried again
	}
	if gate.all.Reason == "" && len(gate.templates) == 0 {
		g.open(namespace, gate)
	}
}

// Probe lets the run that has waited longest send a create, in each namespace whose probe is due.
func (g *Gates) Probe(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for namespace, gate := range g.closed {
		switch {
		case now.Before(gate.next) && gate.next.Sub(now) <= probeMax: // otherwise the clock was set back
		case gate.waiting.len() == 0:
			g.open(namespace, gate) // no run waits: the next create shows whether the refusals go on
		default:
			g.grant(gate)
			gate.next = now.Add(gate.delay) // in case that run sends no create
		}
	}
}

// Forget removes a run of a namespace that has ended. A turn that it has not used passes to the next run.
func (g *Gates) Forget(namespace string, key RunKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.closed[namespace]
	if gate == nil {
		return
	}
	gate.waiting.remove(key)
	if gate.tickets[key] > 0 {
		delete(gate.tickets, key)
		g.grant(gate)
	}
}

// grant lets the run that has waited longest send a create.
func (g *Gates) grant(gate *gate) {
	if gate.waiting.len() == 0 {
		return
	}
	key := gate.waiting.next()
	gate.tickets[key]++
	g.wake(key)
}

// open removes a gate and wakes every run that waits.
func (g *Gates) open(namespace string, gate *gate) {
	delete(g.closed, namespace)
	for _, key := range gate.waiting.keys {
		g.wake(key)
	}
}

// refusal returns why a gate is closed for a template, and whether it is.
func (g *gate) refusal(t Template) (engine.Refusal, bool) {
	if g.all.Reason != "" {
		return g.all, true
	}
	message, refused := g.templates[t]
	return engine.Refusal{Reason: engine.ReasonCreateRefused, Message: message}, refused
}
