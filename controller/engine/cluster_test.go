package engine_test

import (
	"fmt"
	"time"

	"kontroler/controller/engine"
)

// simPod is a simulated Pod. The API shows its facts.
type simPod struct {
	facts   engine.Pod
	name    string
	task    int
	version int
	// removed reports that the API has no such Pod any more. running reports that its container runs.
	removed, running bool
	// nodeDown reports that its node is unreachable. parked is what the node does when it returns.
	nodeDown bool
	parked   []func()
	// cause is what ended the container: own, deadline, storage, start, killed (the Pod was deleted) or infra.
	cause string
}

// cluster simulates Pods and their ends. While chaos lasts, drains, evictions and lost nodes act on them.
type cluster struct {
	w           *world
	pods        map[string]*simPod
	all         map[string]*simPod // by UID, also removed ones
	nextUID     int
	quotaClosed bool
}

func (c *cluster) seconds(from, to int) time.Duration {
	return time.Duration(from*1000+c.w.rng.IntN((to-from)*1000+1)) * time.Millisecond
}

func (c *cluster) chance(percent int) bool { return c.w.rng.IntN(100) < percent }

// chaos is a chance that is zero once the chaos has ended.
func (c *cluster) chaos(percent int) bool { return c.w.chaotic() && c.chance(percent*c.w.level/100) }

// second returns now in whole seconds, as the API reports it.
func (c *cluster) second() time.Time { return c.w.now.Truncate(time.Second) }

// nodeSecond returns now by the clock of the nodes, which may be skewed.
func (c *cluster) nodeSecond() time.Time { return c.second().Add(c.w.skew) }

// then changes a Pod later, if it still exists. If its node is down, the change happens when the node returns.
func (c *cluster) then(p *simPod, after time.Duration, f func()) {
	var act func()
	act = func() {
		switch {
		case p.removed:
		case p.nodeDown:
			p.parked = append(p.parked, act)
		default:
			f()
			c.touch(p)
		}
	}
	c.w.at(c.w.now.Add(after), act)
}

// touch sends the Pod to the watch.
func (c *cluster) touch(p *simPod) {
	p.version++
	c.w.watch(p)
}

// create creates a Pod. taken reports that a Pod of that name exists.
func (c *cluster) create(name string, task int) (uid string, taken bool) {
	if p := c.pods[name]; p != nil {
		return p.facts.UID, true
	}
	c.nextUID++
	p := &simPod{name: name, task: task, facts: engine.Pod{UID: fmt.Sprintf("u%d", c.nextUID), Phase: "Pending"}}
	c.pods[name], c.all[p.facts.UID] = p, p
	c.touch(p)
	c.waitForNode(p)
	return p.facts.UID, false
}

func (c *cluster) waitForNode(p *simPod) {
	if c.chance(5) {
		for i := range 1 + c.w.rng.IntN(4) {
			c.then(p, c.seconds(0, 40), func() {
				if p.facts.Node == "" {
					p.facts.Waits = &engine.Wait{
						Reason: engine.ReasonUnschedulable, Message: fmt.Sprintf("0/%d nodes", i),
					}
				}
			})
		}
		c.then(p, c.seconds(41, 90), func() { c.schedule(p) })
		return
	}
	c.then(p, c.seconds(0, 2), func() { c.schedule(p) })
}

func (c *cluster) schedule(p *simPod) {
	if !p.facts.Deletion.IsZero() {
		return // the API server does not bind a Pod that is being deleted
	}
	p.facts.Node, p.facts.Waits = "n", nil
	switch {
	case c.chaos(4):
		c.then(p, c.seconds(0, 2), func() { c.refuse(p) })
	case c.chance(2):
		c.then(p, c.seconds(0, 20), func() {
			if p.facts.Deletion.IsZero() {
				p.cause, p.facts.Phase, p.facts.InitFailed = "start", "Failed", &engine.Termination{ExitCode: 3}
			}
		})
	case c.chance(4):
		c.cannotStart(p)
	default:
		c.then(p, c.seconds(0, 3), func() { c.start(p) })
	}
}

func (c *cluster) refuse(p *simPod) {
	if p.facts.Deletion.IsZero() {
		p.cause, p.facts.Phase, p.facts.Reason = "infra", "Failed", []string{
			"OutOfcpu", "Evicted", "NodeAffinity",
		}[c.w.rng.IntN(3)]
	}
}

// cannotStart simulates a wrong image or a missing key. Some of these errors heal.
func (c *cluster) cannotStart(p *simPod) {
	for range 3 {
		c.then(p, c.seconds(0, 200), func() {
			if !p.running && p.facts.Terminated == nil && p.facts.Phase == "Pending" {
				p.facts.Waits = &engine.Wait{
					Reason:    engine.ReasonImagePullBackOff,
					Message:   fmt.Sprint("pull ", c.w.rng.IntN(3)),
					IsFailure: true,
				}
			}
		})
	}
	switch {
	case c.chance(50):
		c.then(p, c.seconds(100, 400), func() { c.start(p) })
	case c.chance(20):
		c.then(p, c.seconds(0, 2), func() {
			p.facts.Waits = &engine.Wait{Reason: "InvalidImageName", Message: "A:B", IsFailure: true, IsPermanent: true}
		})
	default:
		c.then(p, c.seconds(200, 201), func() {
			p.facts.Waits = &engine.Wait{Reason: engine.ReasonImagePullBackOff, Message: "gave up", IsFailure: true}
		})
	}
}

func (c *cluster) start(p *simPod) {
	if !p.facts.Deletion.IsZero() || p.facts.Phase != "Pending" {
		return
	}
	p.running, p.facts.Started, p.facts.Phase, p.facts.Waits = true, c.nodeSecond(), "Running", nil
	c.w.checkStart(p)
	c.then(p, c.w.plan.duration(c), func() { c.exit(p) })
}

// exit ends the container by itself or by a limit of its Pod.
func (c *cluster) exit(p *simPod) {
	if !p.running {
		return
	}
	exitCode := c.w.plan.exitCode(c)
	switch {
	case exitCode != 0 && c.chance(10):
		p.facts.Reason = "Evicted"
		c.terminate(p, "storage", 137, "Error")
	case exitCode != 0 && c.chance(10):
		p.facts.Reason = "DeadlineExceeded"
		c.terminate(p, "deadline", 137, "Error")
	case exitCode == 137:
		c.terminate(p, "own", 137, "OOMKilled")
	default:
		c.terminate(p, "own", exitCode, "Error")
	}
}

func (c *cluster) terminate(p *simPod, cause string, exitCode int32, why string) {
	p.cause, p.running = cause, false
	p.facts.Terminated = &engine.Termination{
		ExitCode: exitCode,
		Reason:   why,
		Started:  p.facts.Started,
		Finished: c.nodeSecond(),
	}
	p.facts.Phase = "Failed"
	if exitCode == 0 {
		p.facts.Phase = "Succeeded"
	}
}

// remove requests the deletion of a Pod. Its finalizer keeps it in the API, and its node ends the container.
func (c *cluster) remove(p *simPod, grace time.Duration) {
	if p.facts.Deletion.IsZero() {
		p.facts.DeletionAsked = c.nodeSecond() // by the clock of the node, as pod.Facts reports it
	}
	// A later request can only shorten the grace period. DeletionAsked stays.
	if deletion := p.facts.DeletionAsked.Add(grace); p.facts.Deletion.IsZero() || deletion.Before(p.facts.Deletion) {
		p.facts.Deletion = deletion
		c.touch(p)
	}
	if p.facts.Node == "" {
		return
	}
	c.then(p, time.Duration(c.w.rng.Int64N(int64(grace)+1)), func() {
		switch {
		case p.running:
			c.terminate(p, "killed", []int32{143, 137, 137, 1, 0}[c.w.rng.IntN(5)], "Error")
		case p.facts.Phase == "Pending" && c.chance(50):
			p.cause, p.facts.Phase = "killed", "Failed"
			p.facts.Terminated = &engine.Termination{ExitCode: 137, Reason: "ContainerStatusUnknown"}
		case p.facts.Phase == "Pending":
			p.cause, p.facts.Phase = "killed", "Failed"
		}
	})
}

// gone removes a Pod from the API, with or without its finalizer.
func (c *cluster) gone(p *simPod) {
	p.removed, p.running = true, p.running && p.nodeDown
	delete(c.pods, p.name)
	c.touch(p)
}

// disturb does to a random Pod what users, drains and nodes may do.
func (c *cluster) disturb() {
	pods := ordered(c.pods)
	if len(pods) == 0 {
		return
	}
	p := pods[c.w.rng.IntN(len(pods))]
	switch c.w.rng.IntN(7) {
	case 0, 1:
		c.remove(p, []time.Duration{0, 30 * time.Second, 5 * time.Minute}[c.w.rng.IntN(3)])
	case 2:
		c.evict(p)
	case 3:
		c.loseNode(p)
	case 4:
		if c.chance(30) {
			c.gone(p)
		}
	case 5:
		c.reboot(p)
	case 6:
		c.w.watch(p) // an event without news
	}
}

func (c *cluster) evict(p *simPod) {
	if p.facts.Terminated != nil || p.facts.Phase == "Failed" || p.nodeDown {
		return
	}
	p.facts.Disrupted = true
	if p.running {
		p.facts.Reason = "Evicted"
		c.terminate(p, "infra", 137, "Error")
	}
	c.touch(p)
	c.remove(p, 30*time.Second)
}

// reboot makes a node lose track of the container.
func (c *cluster) reboot(p *simPod) {
	if !p.running || p.nodeDown {
		return
	}
	if c.chance(50) {
		c.terminate(p, "infra", 255, "Unknown")
	} else {
		c.terminate(p, "infra", 137, "ContainerStatusUnknown")
		p.facts.Terminated.Finished = time.Time{}
	}
	c.touch(p)
}

// loseNode makes a node unreachable. After five minutes its Pods are deleted. The node may return.
func (c *cluster) loseNode(p *simPod) {
	if p.facts.Node == "" || p.nodeDown {
		return
	}
	p.nodeDown = true
	c.w.at(c.w.now.Add(5*time.Minute), func() {
		if p.nodeDown && !p.removed {
			p.facts.Disrupted = c.chance(50)
			c.touch(p)
			c.remove(p, 30*time.Second)
		}
	})
	if c.chance(50) {
		c.w.at(c.w.now.Add(c.seconds(1, 900)), func() {
			p.nodeDown, p.running = false, p.running && !p.removed
			for _, act := range p.parked {
				act()
			}
			p.parked = nil
		})
	}
}
