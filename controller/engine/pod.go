package engine

import (
	"cmp"
	"fmt"
	"time"
)

// Pod has the facts about an attempt's Pod.
type Pod struct {
	// Gone reports that a live read did not find the Pod. No other field is set then.
	Gone bool

	UID, Node string
	// Phase, Reason and Message of the Pod's status.
	Phase, Reason, Message string
	// Disrupted reports the condition DisruptionTarget.
	Disrupted bool
	// DeletionAsked is when the deletion was requested, by the clock of the node. Deletion is the deletionTimestamp,
	// when the grace period ends, by the clock of the decision. Both are zero if the Pod is not being deleted.
	DeletionAsked, Deletion time.Time
	// NodeLost reports that a live read found the node missing or not Ready.
	NodeLost bool
	// Waits is why the task's container has not started. It is nil if the container started or no reason is known.
	Waits *Wait
	// Accepted is when a kubelet accepted the Pod, by the clock of the node. It is zero if none has.
	Accepted time.Time
	// Deadline is the Pod's activeDeadlineSeconds, which counts from Accepted. Zero means none.
	Deadline int64
	// Started is when the task's container started, by the clock of the node.
	Started time.Time
	// Terminated is how the task's container ended. Other containers do not matter.
	Terminated *Termination
	// InitFailed is how the first failed init container ended.
	InitFailed *Termination
}

// IsLive reports whether the Pod exists and has not ended.
func (p *Pod) IsLive() bool { return !p.Gone && p.Phase != "Succeeded" && p.Phase != "Failed" }

// Wait is why a container has not started. Reasons that alternate while the cause stays the same (ErrImagePull and
// ImagePullBackOff) must have one Reason, because the start grace begins when a Reason first appears.
type Wait struct {
	Reason, Message string
	// IsFailure reports that an error keeps the container from starting.
	IsFailure bool
	// IsPermanent reports that a retry cannot succeed.
	IsPermanent bool
	// IsRoutine reports a step that every start passes through.
	IsRoutine bool
}

// Termination is the end of a container.
type Termination struct {
	ExitCode          int32
	Reason, Message   string
	Started, Finished time.Time
}

// End is the end of an attempt.
type End struct {
	Phase, Reason, Message string
	ExitCode               *int32
	Started, Finished      time.Time
}

// isUnknown reports that kubelet or runtime lost track of the container, for example after a reboot. The exit code is
// then made up.
func (t *Termination) isUnknown() bool {
	return t.Reason == "ContainerStatusUnknown" || t.Reason == "Unknown"
}

// FindEnd reports whether the facts about a Pod end its attempt, and how. The first rule that applies wins: (1) a stop
// was committed earlier, (2) exit code 0, (3) the Pod was disrupted, or deleted before its container finished, (4) the
// container terminated, (5) the Pod failed without a termination of the task's container, (6) the Pod is gone.
func FindEnd(a Attempt, p *Pod, now time.Time) (End, bool) {
	p = attemptPod(a, p)
	if p == nil || !hasEnded(a, p, now) {
		return End{}, false
	}
	end := End{Finished: now}
	if t := p.Terminated; t != nil {
		end.Started = t.Started
		if !t.isUnknown() {
			code := t.ExitCode
			end.ExitCode = &code
		}
		if !t.Finished.IsZero() {
			end.Finished = t.Finished
		}
	}
	if end.Started.IsZero() {
		end.Started = p.Started
	}
	if end.Started.After(end.Finished) {
		end.Started = end.Finished // a runtime may record the start of a short container after its end
	}
	for _, rule := range []func(Attempt, *Pod, *End) bool{stopped, succeeded, disrupted, terminated, failed, gone} {
		if rule(a, p, &end) {
			break
		}
	}
	if p.Terminated == nil && !p.Gone && p.NodeLost {
		end.Message += "; the container may still run there"
	}
	return end, true
}

// attemptPod returns the facts about the attempt's own Pod. If another Pod has its name, its own Pod is gone.
func attemptPod(a Attempt, p *Pod) *Pod {
	if p != nil && !p.Gone && a.PodUID != "" && p.UID != a.PodUID {
		return &Pod{Gone: true}
	}
	return p
}

// hasEnded reports whether the attempt is over: its container terminated, its Pod ended or is gone, its Pod was deleted
// before it had a node, or its node is lost.
func hasEnded(a Attempt, p *Pod, now time.Time) bool {
	switch {
	case p.Gone:
		// A Decided attempt may have no Pod yet. If it is being stopped, it never will.
		return a.PodUID != "" || a.Phase == AttemptStopping
	case p.Terminated != nil, p.Phase == "Failed", p.Phase == "Succeeded":
		return true
	case !p.Deletion.IsZero() && p.Node == "":
		return true
	}
	return isNodeLost(p, now)
}

func isNodeLost(p *Pod, now time.Time) bool {
	return p.NodeLost && !p.Deletion.IsZero() && !now.Before(p.Deletion.Add(NodeLostAfter))
}

func (e *End) set(phase, reason, message string) bool {
	e.Phase, e.Reason, e.Message = phase, reason, message
	return true
}

func stopped(a Attempt, p *Pod, e *End) bool {
	switch a.Stop {
	case "":
		return false
	case ReasonTimeout, ReasonStartFailed:
		return e.set(AttemptFailed, a.Stop, a.Message)
	}
	return e.set(AttemptCancelled, a.Stop, a.Message)
}

func succeeded(a Attempt, p *Pod, e *End) bool {
	if p.Terminated == nil || p.Terminated.ExitCode != 0 {
		return false
	}
	// The container may have been stopped, and have exited with code 0 on SIGTERM.
	var stop End
	switch {
	case disrupted(a, p, &stop):
		return e.set(AttemptSucceeded, "", "exit code 0; "+stop.Message)
	case p.Reason == "Evicted", p.Reason == "DeadlineExceeded":
		return e.set(AttemptSucceeded, "", "exit code 0; "+cmp.Or(p.Message, p.Reason))
	}
	return e.set(AttemptSucceeded, "", "")
}

func disrupted(_ Attempt, p *Pod, e *End) bool {
	switch {
	case p.NodeLost && p.Terminated == nil && !p.DeletionAsked.IsZero():
		// This comes before Disrupted, because Kubernetes also sets DisruptionTarget on the Pods of a lost node.
		return e.set(AttemptLost, ReasonNodeLost, fmt.Sprintf("node %q is lost", p.Node))
	case p.Disrupted && p.Reason == "Evicted":
		return e.set(AttemptLost, ReasonEvicted, cmp.Or(p.Message, "its Pod was evicted"))
	case p.Disrupted:
		return e.set(AttemptLost, ReasonDisrupted,
			cmp.Or(p.Message, "its Pod was disrupted (drain, preemption or taint)"))
	case p.DeletionAsked.IsZero():
		return false
	case p.Terminated != nil && !p.Terminated.Finished.IsZero() && p.DeletionAsked.After(p.Terminated.Finished):
		return false
	}
	return e.set(AttemptLost, ReasonPodDeleted, "its Pod was deleted before the task ended")
}

func terminated(_ Attempt, p *Pod, e *End) bool {
	t := p.Terminated
	switch {
	case p.Reason == "Evicted" && (t != nil || p.InitFailed != nil || !p.Started.IsZero()):
		return e.set(AttemptFailed, ReasonStorageLimit,
			cmp.Or(p.Message, "its Pod exceeded its ephemeral storage limit"))
	case t == nil:
		return false
	case p.Reason == "DeadlineExceeded":
		return e.set(AttemptFailed, ReasonTimeout, cmp.Or(p.Message, "its Pod was active longer than its deadline"))
	case t.isUnknown():
		return e.set(AttemptLost, ReasonNodeLost, cmp.Or(t.Message, "the node lost track of the container"))
	case t.Reason == "OOMKilled":
		return e.set(AttemptFailed, ReasonOOMKilled, fmt.Sprintf("exit code %d: out of memory", t.ExitCode))
	case (t.Reason == "StartError" || t.Reason == "ContainerCannotRun") && t.Message != "":
		return e.set(AttemptFailed, ReasonStartFailed, t.Message)
	}
	message := fmt.Sprintf("exit code %d", t.ExitCode)
	if t.Message != "" {
		message += ": " + t.Message
	}
	return e.set(AttemptFailed, ReasonExitCode, message)
}

func failed(_ Attempt, p *Pod, e *End) bool {
	switch {
	case p.Phase != "Failed" && p.Phase != "Succeeded":
		return false
	case p.Reason == "DeadlineExceeded":
		return e.set(AttemptFailed, ReasonTimeout, cmp.Or(p.Message, "its Pod was active longer than its deadline"))
	case p.InitFailed != nil:
		return e.set(AttemptFailed, ReasonStartFailed, fmt.Sprintf("an init container failed with exit code %d: %s",
			p.InitFailed.ExitCode, p.InitFailed.Message))
	}
	return e.set(AttemptLost, ReasonRefused, cmp.Or(p.Message, "its Pod failed without running the task: "+p.Reason))
}

func gone(_ Attempt, _ *Pod, e *End) bool {
	return e.set(AttemptLost, ReasonPodDeleted, "its Pod is gone")
}
