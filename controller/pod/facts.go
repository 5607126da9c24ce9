package pod

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/kube"
	"kontroler/controller/text"
)

const (
	// clockSlack is the clock difference between a node and the API server that is tolerated without correction. It
	// includes rounding to whole seconds.
	clockSlack = 5 * time.Second
	// cleanupSlack is how long a kubelet may take to finish a deleted Pod after its last container ended.
	cleanupSlack = 30 * time.Second
	// defaultGrace is the default of terminationGracePeriodSeconds.
	defaultGrace = 30 * time.Second

	dagRunKind = "DagRun"
	// kubeletManager is the field manager of kubelets.
	kubeletManager = "kubelet"
	// The reasons of a container that kubelet or runtime lost track of, as after a reboot.
	reasonStatusUnknown, reasonUnknown = "ContainerStatusUnknown", "Unknown"
	// reasonCrashLoop is the kubelet's reason between two starts of a container.
	reasonCrashLoop = "CrashLoopBackOff"
	// reasonCreateContainer replaces all reasons for failing to create a container from a valid configuration.
	reasonCreateContainer = "CreateContainerError"
)

// Facts returns the facts about a Pod, except Gone and NodeLost, which need a live read. newest is the newest Event
// about the start of the Pod. Its zero value means that none is known.
func Facts(p *corev1.Pod, newest StartEvent) *engine.Pod {
	f := &engine.Pod{
		UID:     string(p.UID),
		Node:    p.Spec.NodeName,
		Phase:   string(p.Status.Phase),
		Reason:  text.Clean(p.Status.Reason),
		Message: text.Clean(p.Status.Message),
	}
	if p.Status.StartTime != nil {
		f.Accepted = kube.UTC(*p.Status.StartTime)
	}
	if p.Spec.ActiveDeadlineSeconds != nil {
		f.Deadline = *p.Spec.ActiveDeadlineSeconds
	}
	task := ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer)
	if task != nil {
		// If kubelet or runtime lost track of a container, they invent its exit code (ContainerStatusUnknown: 137 and
		// no times; Unknown: 255). Facts passes the termination on with that reason, and the engine counts it as an
		// infrastructure failure, or as a deletion. Without it, an attempt beside a running sidecar would never end.
		f.Terminated = terminationOf(task.State.Terminated)
		f.Started = StartedAt(&task.State)
	}
	if c := podCondition(p, corev1.DisruptionTarget); c != nil && c.Status == corev1.ConditionTrue {
		f.Disrupted = disruptedBefore(p, c, f.Terminated)
		if f.Disrupted && f.Message == "" {
			f.Message = text.Clean(c.Message)
		}
	}
	var lost string
	if f.InitFailed, lost = initFailed(p); f.Message == "" && lost != "" && f.Phase == string(corev1.PodFailed) {
		f.Message = text.Clean("the node lost track of init container " + lost)
	}
	if p.DeletionTimestamp != nil {
		f.DeletionAsked, f.Deletion = deletionAsked(p, f.Terminated), kube.UTC(*p.DeletionTimestamp)
	}
	if f.Started.IsZero() && f.Terminated == nil && IsLive(p) {
		f.Waits = podWait(p, task, newest)
	}
	return f
}

// IsLive reports whether a Pod has not ended. --max-pods limits the live Pods.
func IsLive(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// deletionAsked returns when the deletion was requested, by the clock of the node if that is known. This is the
// deletionTimestamp minus the grace period, or the end of the task's container if the deletion killed it although the
// difference is later.
//
// The difference is exact only while nobody shortens the grace period. A kubelet that has ended a Pod deletes it
// again with a grace period of 0, and the API server overwrites the older time with its own clock. A finalizer keeps
// that object. With a grace period of 0 or 1 a later time therefore proves nothing, unless the kubelet reported the
// end before it knew of the deletion.
func deletionAsked(p *corev1.Pod, t *engine.Termination) time.Time {
	grace := time.Duration(0)
	if seconds := p.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	asked := kube.UTC(*p.DeletionTimestamp).Add(-grace).Add(nodeAhead(p, t))
	slack := clockSlack
	if grace <= time.Second {
		slack = defaultGrace + cleanupSlack
		if seconds := p.Spec.TerminationGracePeriodSeconds; seconds != nil {
			slack = time.Duration(*seconds)*time.Second + cleanupSlack
		}
	}
	switch {
	case t == nil || t.Finished.IsZero():
		return asked
	case endedBeforeDeletion(p):
		if asked.After(t.Finished) {
			return asked
		}
		return t.Finished.Add(time.Second)
	case asked.Before(t.Finished) || asked.Sub(t.Finished) > slack:
		return asked
	}
	return t.Finished
}

// disruptedBefore reports whether a disruption came before the end of the task's container. A Pod that is evicted
// after its end gets the same condition. A kubelet sets the condition only on Pods that it ends itself.
func disruptedBefore(p *corev1.Pod, c *corev1.PodCondition, t *engine.Termination) bool {
	if c.Reason == corev1.PodReasonTerminationByKubelet || t == nil || t.Finished.IsZero() {
		return true
	}
	return !endedBeforeDeletion(p) && kube.UTC(c.LastTransitionTime).Add(nodeAhead(p, t)).Sub(t.Finished) <= clockSlack
}

// endedBeforeDeletion reports whether the kubelet's last status, with the end of the task's container, predates the
// deletion. The container then ended by itself. From Kubernetes 1.33 on, a deletion increases the generation, so this
// compares no clocks.
func endedBeforeDeletion(p *corev1.Pod) bool {
	observed := p.Status.ObservedGeneration
	return p.DeletionTimestamp != nil && observed != 0 && observed < p.Generation
}

// nodeAhead returns how far the clock of the node is ahead of the API server's, if the times of the Pod prove a
// difference, and otherwise 0.
//
// A kubelet acknowledges a Pod after the API server bound it. The difference of those two times is skew plus delay,
// so a negative difference proves that the clock is behind. A kubelet reports an end after it happened, so an end
// later than the report proves that the clock is ahead. Without such a proof the difference counts as delay.
func nodeAhead(p *corev1.Pod, t *engine.Termination) time.Duration {
	bound, reported := podCondition(p, corev1.PodScheduled), reportedAt(p)
	if t == nil || t.Finished.IsZero() || bound == nil || bound.Status != corev1.ConditionTrue ||
		p.Status.StartTime == nil {
		return 0
	}
	ahead := p.Status.StartTime.Sub(bound.LastTransitionTime.Time)
	isLate := !reported.IsZero() && t.Finished.Sub(reported) > clockSlack
	if ahead < -clockSlack || isLate {
		return ahead
	}
	return 0
}

// reportedAt returns when the API server last accepted a changed status from a kubelet, or zero if that is unknown.
func reportedAt(p *corev1.Pod) time.Time {
	for _, entry := range p.ManagedFields {
		if entry.Manager == kubeletManager && entry.Subresource == "status" && entry.Time != nil {
			return kube.UTC(*entry.Time)
		}
	}
	return time.Time{}
}

// podWait returns why the task's container has not started: the Pod has no node, a container cannot start, an init
// container runs, or the node sets up the Pod. Events say more about the setup than the status does.
func podWait(p *corev1.Pod, task *corev1.ContainerStatus, newest StartEvent) *engine.Wait {
	if p.Spec.NodeName == "" {
		return unscheduledWait(p)
	}
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		if w := containerWait(s.State.Waiting); w != nil {
			w.Message = text.Clean("init container " + s.Name + ": " + w.Message)
			return w
		}
		if w := cmp.Or(crashedSidecar(p, s), runningInit(p, s, newest)); w != nil {
			return w
		}
	}
	if task != nil {
		if w := containerWait(task.State.Waiting); w != nil {
			return w
		}
	}
	return setupWait(p, newest)
}

// unscheduledWait returns why a Pod has no node.
func unscheduledWait(p *corev1.Pod) *engine.Wait {
	c := podCondition(p, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse {
		return &engine.Wait{
			Reason:    engine.ReasonUnschedulable,
			Message:   "no scheduler has considered the Pod yet",
			IsRoutine: true,
		}
	}
	message := text.Clean(c.Message)
	if message == "" {
		message = text.Clean(c.Reason)
	}
	return &engine.Wait{Reason: engine.ReasonUnschedulable, Message: message}
}

// crashedSidecar returns the wait for a sidecar that crashes before it has passed its startup probe, while it runs
// again or has just ended. It has the reason of the kubelet's back-off, so that all starts share one grace. It returns
// nil for any other container.
func crashedSidecar(p *corev1.Pod, s *corev1.ContainerStatus) *engine.Wait {
	isStarted := s.Started != nil && *s.Started
	runsAgain := s.State.Running != nil && s.RestartCount > 0
	if isStarted || !runsAgain && s.State.Terminated == nil || !isSidecar(p, s.Name) {
		return nil
	}
	return &engine.Wait{
		Reason:    reasonCrashLoop,
		Message:   text.Clean("init container " + s.Name + ": ended before it had passed its startup probe"),
		IsFailure: true,
	}
}

// runningInit returns the wait for a running init container, or for a sidecar that has not passed its startup probe.
// It returns nil if s is neither.
func runningInit(p *corev1.Pod, s *corev1.ContainerStatus, newest StartEvent) *engine.Wait {
	wait := &engine.Wait{
		Reason:    engine.ReasonPodInitializing,
		Message:   "init container " + s.Name + " is running",
		IsRoutine: true,
	}
	switch {
	case s.State.Running == nil:
		return nil
	case !isSidecar(p, s.Name):
	case s.Started != nil && *s.Started:
		return nil
	default:
		wait.Message = "sidecar " + s.Name + " has not passed its startup probe"
		if newest.Container == s.Name && newest.Reason == "Unhealthy" {
			wait.Message = text.Clean(wait.Message + ": " + newest.Message)
		}
	}
	return wait
}

// setupWait returns the wait for the node to set up the Pod: volumes, sandbox, network, images. The node retries a
// failure; after the start grace, the attempt fails. A volume that is still attached to another node is no failure.
func setupWait(p *corev1.Pod, newest StartEvent) *engine.Wait {
	if newest.AwaitsDetach {
		// The reason differs from that of a failure, so that a later failure has the whole grace.
		return &engine.Wait{Reason: newest.Reason, Message: newest.text(newest.Reason)}
	}
	if newest.Fails {
		reason := startFailure(newest.Reason)
		return &engine.Wait{Reason: reason, Message: newest.text(reason), IsFailure: true}
	}
	wait := &engine.Wait{Reason: engine.ReasonContainerCreating, IsRoutine: true}
	done := func(s corev1.ContainerStatus) bool { return s.State.Terminated != nil || s.State.Running != nil }
	if n := len(p.Spec.InitContainers); n > 0 &&
		(len(p.Status.InitContainerStatuses) < n || !done(p.Status.InitContainerStatuses[n-1])) {
		wait.Reason = engine.ReasonPodInitializing
	}
	switch {
	case newest.Message != "":
		wait.Message = newest.text(wait.Reason)
	case len(p.Status.ContainerStatuses) == 0:
		wait.Message = text.Clean(fmt.Sprintf("node %q has not reported the Pod yet", p.Spec.NodeName))
	default:
		wait.Message = text.Clean(fmt.Sprintf("node %q is setting up the Pod", p.Spec.NodeName))
	}
	return wait
}

// containerWait interprets the reasons of a kubelet. Reasons that alternate while the cause stays the same become
// one, because the start grace begins when a reason first appears.
func containerWait(w *corev1.ContainerStateWaiting) *engine.Wait {
	if w == nil {
		return nil
	}
	wait := &engine.Wait{Reason: text.Clean(w.Reason), Message: text.Clean(w.Message), IsFailure: true}
	switch w.Reason {
	case "", "ContainerCreating", "PodInitializing":
		return nil
	case "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		wait.Reason, wait.Message = engine.ReasonImagePullBackOff, text.Clean(pullError(w.Message))
	case "InvalidImageName":
		wait.IsPermanent = true
	case "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
		"CreatePodSandboxError", "ConfigPodSandboxError":
		wait.Reason = reasonCreateContainer
	default:
		// An unknown reason is a failure only if its name says so, as in CreateContainerConfigError,
		// ErrImageNeverPull and CrashLoopBackOff. Otherwise it may be a normal state.
		wait.IsFailure = strings.HasPrefix(w.Reason, "Err") || strings.HasSuffix(w.Reason, "Error") ||
			strings.HasSuffix(w.Reason, "BackOff")
	}
	if wait.Message == "" {
		wait.Message = text.Clean(w.Reason)
	}
	return wait
}

// pullError removes the prefix that a kubelet adds while it backs off (`Back-off pulling image "x": ErrImagePull: `),
// so that the message does not alternate. Any other message stays.
func pullError(message string) string {
	if strings.HasPrefix(message, "Back-off pulling image ") {
		for _, reason := range []string{"ErrImagePull", "RegistryUnavailable", "SignatureValidationFailed"} {
			if _, cause, found := strings.Cut(message, `": `+reason+": "); found {
				return cause
			}
		}
	}
	return message
}

// initFailed returns how the first failed init container ended, or nil. Native sidecars do not count. An init
// container that kubelet or runtime lost track of has not failed; its name is returned as lost.
func initFailed(p *corev1.Pod) (failed *engine.Termination, lost string) {
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		t := terminationOf(s.State.Terminated)
		switch {
		case t == nil || t.ExitCode == 0 || isSidecar(p, s.Name):
		case t.Reason == reasonStatusUnknown || t.Reason == reasonUnknown:
			lost = s.Name
		default:
			says := t.Message
			if says == "" {
				says = t.Reason
			}
			t.Message = text.Clean(s.Name + ": " + says)
			return t, ""
		}
	}
	return nil, lost
}

func isSidecar(p *corev1.Pod, name string) bool {
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.Name == name {
			return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		}
	}
	return false
}

// ContainerStatus returns the status of a container by name, or nil.
func ContainerStatus(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

func podCondition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func terminationOf(t *corev1.ContainerStateTerminated) *engine.Termination {
	if t == nil {
		return nil
	}
	return &engine.Termination{
		ExitCode: t.ExitCode,
		Reason:   text.Clean(t.Reason),
		Message:  text.Clean(t.Message),
		Started:  kube.UTC(t.StartedAt),
		Finished: kube.UTC(t.FinishedAt),
	}
}

// StartedAt returns when a container started. It is zero if the container has not started.
func StartedAt(s *corev1.ContainerState) time.Time {
	switch {
	case s.Running != nil:
		return kube.UTC(s.Running.StartedAt)
	case s.Terminated != nil:
		return kube.UTC(s.Terminated.StartedAt)
	}
	return time.Time{}
}

// Trim is the transform of the Pod informers. It keeps what Facts, the ownership checks, the reaper and the log
// readers use. The result does not share memory with what it drops. Trimming twice changes nothing.
func Trim(obj any) (any, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:                       p.Name,
			Namespace:                  p.Namespace,
			UID:                        p.UID,
			ResourceVersion:            p.ResourceVersion,
			Generation:                 p.Generation,
			CreationTimestamp:          p.CreationTimestamp,
			DeletionTimestamp:          p.DeletionTimestamp,
			DeletionGracePeriodSeconds: p.DeletionGracePeriodSeconds,
			Labels:                     reservedLabels(p.Labels),
			OwnerReferences:            p.OwnerReferences,
			Finalizers:                 p.Finalizers,
		},
		Spec: corev1.PodSpec{
			NodeName:                      p.Spec.NodeName,
			ActiveDeadlineSeconds:         p.Spec.ActiveDeadlineSeconds,
			TerminationGracePeriodSeconds: p.Spec.TerminationGracePeriodSeconds,
			InitContainers:                trimContainers(p.Spec.InitContainers),
			Containers:                    trimContainers(p.Spec.Containers),
		},
		Status: corev1.PodStatus{
			ObservedGeneration:    p.Status.ObservedGeneration,
			StartTime:             p.Status.StartTime,
			Phase:                 p.Status.Phase,
			Reason:                p.Status.Reason,
			Message:               p.Status.Message,
			InitContainerStatuses: trimStatuses(p.Status.InitContainerStatuses, func(string) bool { return true }),
			ContainerStatuses: trimStatuses(
				p.Status.ContainerStatuses,
				func(name string) bool { return name == v1alpha1.TaskContainer },
			),
		},
	}
	if run, ok := p.Annotations[v1alpha1.AnnotationRun]; ok {
		kept.Annotations = map[string]string{v1alpha1.AnnotationRun: run}
	}
	if at := reportedAt(p); !at.IsZero() {
		kept.ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: kubeletManager, Subresource: "status", Time: &metav1.Time{Time: at}},
		}
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.DisruptionTarget} {
		if c := podCondition(p, kind); c != nil {
			kept.Status.Conditions = append(kept.Status.Conditions, *c)
		}
	}
	return kept, nil
}

// reservedLabels returns the labels with the controller's prefix, or nil.
func reservedLabels(labels map[string]string) map[string]string {
	var kept map[string]string
	for key, value := range labels {
		if strings.HasPrefix(key, reservedPrefix) {
			if kept == nil {
				kept = make(map[string]string, 5)
			}
			kept[key] = value
		}
	}
	return kept
}

// trimContainers keeps the names, and the restartPolicy that identifies native sidecars.
func trimContainers(containers []corev1.Container) []corev1.Container {
	if len(containers) == 0 {
		return nil
	}
	kept := make([]corev1.Container, len(containers))
	for i := range containers {
		kept[i] = corev1.Container{Name: containers[i].Name, RestartPolicy: containers[i].RestartPolicy}
	}
	return kept
}

// trimStatuses keeps the states and restarts of the containers that isUsed selects.
func trimStatuses(statuses []corev1.ContainerStatus, isUsed func(name string) bool) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for i := range statuses {
		if s := &statuses[i]; isUsed(s.Name) {
			kept = append(kept, corev1.ContainerStatus{
				Name: s.Name, State: s.State, Started: s.Started, RestartCount: s.RestartCount,
			})
		}
	}
	return kept
}

// IsOurs reports whether a Pod belongs to this controller and to a run, according to its labels and its owner.
func IsOurs(p *corev1.Pod, controllerID, runUID string) bool {
	return p.Labels[v1alpha1.LabelController] == controllerID && p.Labels[v1alpha1.LabelRun] == runUID &&
		OwnerUID(p) == runUID
}

// BelongsTo reports whether a Pod belongs to a run although its labels may have been removed: the run owns it, and it
// has our finalizer. It is meant for Pods whose name this controller derived.
func BelongsTo(p *corev1.Pod, controllerID, runUID string) bool {
	return IsOurs(p, controllerID, runUID) || OwnerUID(p) == runUID && kube.HasFinalizer(p)
}

// RunUID returns the UID of the run of a Pod, from its owner or else from its label. Anybody may edit the label, so
// only a UUID counts.
func RunUID(p *corev1.Pod) (string, bool) {
	for _, uid := range []string{OwnerUID(p), p.Labels[v1alpha1.LabelRun]} {
		if isUUID(uid) {
			return uid, true
		}
	}
	return "", false
}

// OwnerUID returns the UID of the DagRun that controls an object, or an empty string.
func OwnerUID(object metav1.Object) string {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil || owner.Kind != dagRunKind || !strings.HasPrefix(owner.APIVersion, reservedPrefix) {
		return ""
	}
	return string(owner.UID)
}

// isUUID accepts a UUID in lower case, as Kubernetes writes it. Another spelling would be another key.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	digits := strings.ReplaceAll(s, "-", "")
	return len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == ""
}

// SameFacts reports whether two states of a Pod are the same for the ownership checks, the reaper and the engine.
// Routine steps of a start are ignored, unless they concern an init container, because most Pods pass them before
// anybody could read about them.
func SameFacts(a, b *corev1.Pod) bool {
	return a.UID == b.UID &&
		slices.Equal(a.Finalizers, b.Finalizers) &&
		maps.Equal(reservedLabels(a.Labels), reservedLabels(b.Labels)) &&
		OwnerUID(a) == OwnerUID(b) &&
		reflect.DeepEqual(significantFacts(a), significantFacts(b))
}

// significantFacts returns the facts whose change is worth a sync. It leaves out Accepted and Deadline, which matter
// only together with other facts, and the routine waits of a Pod that has no init containers left to run.
func significantFacts(p *corev1.Pod) *engine.Pod {
	f := Facts(p, StartEvent{})
	f.Accepted, f.Deadline = time.Time{}, 0
	if f.Waits != nil && f.Waits.IsRoutine && f.Waits.Reason != engine.ReasonPodInitializing {
		f.Waits = nil
	}
	return f
}
