package pod

import (
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
	// clockSlack is how far the clocks of a node and of the API server may be apart before that is looked for, whole seconds
	// included.
	clockSlack = 5 * time.Second
	// cleanupSlack is how long after its last container's end a kubelet may take to end a deleted Pod.
	cleanupSlack = 30 * time.Second
	// defaultGrace is the grace of a Pod that does not state one.
	defaultGrace = 30 * time.Second

	dagRunKind = "DagRun"
	// kubeletManager is the name under which kubelets write.
	kubeletManager = "kubelet"
	// What kubelet and runtime say of a container that they lost, as after a reboot.
	reasonStatusUnknown, reasonUnknown = "ContainerStatusUnknown", "Unknown"
	// reasonCreateContainer stands for every failure to make a container from a valid configuration.
	reasonCreateContainer = "CreateContainerError"
)

// Facts is what the engine may know of a Pod, but for what only a live read can tell: Gone and NodeLost. newest is the
// newest Event that tells how its start goes; its zero value: there is none.
func Facts(p *corev1.Pod, newest StartEvent) *engine.Pod {
	f := &engine.Pod{
		UID:     string(p.UID),
		Node:    p.Spec.NodeName,
		Phase:   string(p.Status.Phase),
		Reason:  text.Clean(p.Status.Reason),
		Message: text.Clean(p.Status.Message),
	}
	task := ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer)
	if task != nil {
		// A container that kubelet or runtime lost has an exit code that is made up (ContainerStatusUnknown: 137 and no times;
		// Unknown: 255). It is passed on with that Reason: how it ended is not known, so the engine counts it as an
		// infrastructure failure, after a deletion as any other. Were it left out, an attempt beside a sidecar that goes on
		// would never end.
		f.Terminated = termination(task.State.Terminated)
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
		f.Message = text.Clean("its node lost track of init container " + lost)
	}
	if p.DeletionTimestamp != nil {
		f.DeletionAsked, f.Deletion = deletionAsked(p, f.Terminated), kube.UTC(*p.DeletionTimestamp)
	}
	if f.Started.IsZero() && f.Terminated == nil && IsLive(p) {
		f.Waits = podWaits(p, task, newest)
	}
	return f
}

// IsLive reports that a Pod has not ended: what --max-pods bounds.
func IsLive(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// deletionAsked is when the deletion was asked for, by the clock of the Pod's node as far as that is known:
// deletionTimestamp - grace, or the end of the task's container where that was killed by the deletion although the
// difference is later.
//
// The difference is exact only as long as nobody shortened the grace: a kubelet that has ended a Pod deletes it once more,
// with a grace of 0, and the API server then writes its own clock over the older time. A finalizer keeps that object. So
// with a grace of 0 or 1 a later time proves nothing, unless the kubelet reported the end before it knew of the deletion.
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
	case endedUnaware(p):
		if asked.After(t.Finished) {
			return asked
		}
		return t.Finished.Add(time.Second)
	case asked.Before(t.Finished) || asked.Sub(t.Finished) > slack:
		return asked
	}
	return t.Finished
}

// disruptedBefore reports that a disruption came before the task's container had ended. A Pod that is evicted when it is
// over gets the same condition; a kubelet sets it only on what it ends itself.
func disruptedBefore(p *corev1.Pod, c *corev1.PodCondition, t *engine.Termination) bool {
	if c.Reason == corev1.PodReasonTerminationByKubelet || t == nil || t.Finished.IsZero() {
		return true
	}
	return !endedUnaware(p) && kube.UTC(c.LastTransitionTime).Add(nodeAhead(p, t)).Sub(t.Finished) <= clockSlack
}

// endedUnaware reports that the kubelet's last report, with the end of the task's container, does not know of the deletion:
// the container ended before it, by itself. The deletion counts as a generation, from Kubernetes 1.33 on. No clock is asked.
func endedUnaware(p *corev1.Pod) bool {
	observed := p.Status.ObservedGeneration
	return p.DeletionTimestamp != nil && observed != 0 && observed < p.Generation
}

// nodeAhead is how far the clock of a Pod's node is ahead of the API server's, where the Pod's times prove that they are
// apart; else 0. A kubelet acknowledges a Pod after the API server has bound it, so the difference of those two times is
// the skew and the delay between them: less than nothing proves that the clock is behind. It reports an end after it: an
// end later than the report proves that the clock is ahead. Without such a proof the difference counts as delay.
func nodeAhead(p *corev1.Pod, t *engine.Termination) time.Duration {
	bound, reported := podCondition(p, corev1.PodScheduled), reportedAt(p)
	if t == nil || t.Finished.IsZero() || bound == nil || bound.Status != corev1.ConditionTrue || p.Status.StartTime == nil {
		return 0
	}
	ahead := p.Status.StartTime.Sub(bound.LastTransitionTime.Time)
	isLate := !reported.IsZero() && t.Finished.Sub(reported) > clockSlack
	if ahead < -clockSlack || isLate {
		return ahead
	}
	return 0
}

// reportedAt is when the API server last took a status from a kubelet that said something new; zero: it does not say.
func reportedAt(p *corev1.Pod) time.Time {
	for _, entry := range p.ManagedFields {
		if entry.Manager == kubeletManager && entry.Subresource == "status" && entry.Time != nil {
			return kube.UTC(*entry.Time)
		}
	}
	return time.Time{}
}

// podWaits is why the task's container has not started: it has no node, it or an init container cannot start, an init
// Container runs, or the Pod is being set up, of which its Events tell more than its status.
func podWaits(p *corev1.Pod, task *corev1.ContainerStatus, newest StartEvent) *engine.Wait {
	if p.Spec.NodeName == "" {
		return unscheduled(p)
	}
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		if w := containerWaits(s.State.Waiting); w != nil {
			w.Message = text.Clean("init container " + s.Name + ": " + w.Message)
			return w
		}
		if w := initRuns(p, s, newest); w != nil {
			return w
		}
	}
	if task != nil {
		if w := containerWaits(task.State.Waiting); w != nil {
			return w
		}
	}
	return settingUp(p, newest)
}

// unscheduled is why a Pod has no node.
func unscheduled(p *corev1.Pod) *engine.Wait {
	c := podCondition(p, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionFalse {
		return &engine.Wait{Reason: engine.ReasonUnschedulable, Message: "no scheduler has considered the Pod yet", IsRoutine: true}
	}
	message := text.Clean(c.Message)
	if message == "" {
		message = text.Clean(c.Reason)
	}
	return &engine.Wait{Reason: engine.ReasonUnschedulable, Message: message}
}

// initRuns names an init container that runs, or a sidecar that has yet to pass its startup probe; nil: it does neither.
func initRuns(p *corev1.Pod, s *corev1.ContainerStatus, newest StartEvent) *engine.Wait {
	wait := &engine.Wait{Reason: engine.ReasonPodInitializing, Message: "init container " + s.Name + " is running", IsRoutine: true}
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

// settingUp is what the node is at before a container of the Pod runs: volumes, the sandbox and its network, images. What
// has failed is tried again, and fails the attempt after the start grace.
func settingUp(p *corev1.Pod, newest StartEvent) *engine.Wait {
	if newest.Fails {
		reason := startFailure(newest.Reason)
		return &engine.Wait{Reason: reason, Message: newest.text(reason), IsFailure: true}
	}
	wait := &engine.Wait{Reason: engine.ReasonContainerCreating, IsRoutine: true}
	done := func(s corev1.ContainerStatus) bool { return s.State.Terminated != nil || s.State.Running != nil }
	if n := len(p.Spec.InitContainers); n > 0 && (len(p.Status.InitContainerStatuses) < n || !done(p.Status.InitContainerStatuses[n-1])) {
		wait.Reason = engine.ReasonPodInitializing
	}
	switch {
	case newest.Message != "":
		wait.Message = newest.text(wait.Reason)
	case len(p.Status.ContainerStatuses) == 0:
		wait.Message = text.Clean(fmt.Sprintf("node %q has not reported the Pod yet", p.Spec.NodeName))
	default:
		wait.Message = text.Clean(fmt.Sprintf("node %q sets the Pod up", p.Spec.NodeName))
	}
	return wait
}

// containerWaits sorts the reasons of a kubelet. Those that take turns while the cause stays the same become one: the
// start grace is counted from the first telling.
func containerWaits(w *corev1.ContainerStateWaiting) *engine.Wait {
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
		// What this version does not know fails only when it is called an error, as kubelets name theirs
		// (CreateContainerConfigError, ErrImageNeverPull, CrashLoopBackOff); it may be a mere state.
		wait.IsFailure = strings.HasPrefix(w.Reason, "Err") || strings.HasSuffix(w.Reason, "Error") || strings.HasSuffix(w.Reason, "BackOff")
	}
	if wait.Message == "" {
		wait.Message = text.Clean(w.Reason)
	}
	return wait
}

// pullError drops what a kubelet puts before the error while it backs off (`Back-off pulling image "x": ErrImagePull: `),
// so that the text does not change with each turn. A text of another form stays as it is.
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

// initFailed is how the first init container that failed ended; nil: none did. Native sidecars are none. One that kubelet
// or runtime lost has not failed either: its name is returned.
func initFailed(p *corev1.Pod) (failed *engine.Termination, lost string) {
	for i := range p.Status.InitContainerStatuses {
		s := &p.Status.InitContainerStatuses[i]
		t := termination(s.State.Terminated)
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

// ContainerStatus returns the status of a container by name; nil: there is none.
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

func termination(t *corev1.ContainerStateTerminated) *engine.Termination {
	if t == nil {
		return nil
	}
	return &engine.Termination{
		ExitCode: t.ExitCode, Reason: text.Clean(t.Reason), Message: text.Clean(t.Message), Started: kube.UTC(t.StartedAt), Finished: kube.UTC(t.FinishedAt),
	}
}

// StartedAt is when a container started; zero: it has not.
func StartedAt(s *corev1.ContainerState) time.Time {
	switch {
	case s.Running != nil:
		return kube.UTC(s.Running.StartedAt)
	case s.Terminated != nil:
		return kube.UTC(s.Terminated.StartedAt)
	}
	return time.Time{}
}

// Trim is the informers' transform: of a Pod it keeps what Facts, the checks of ownership, the reaper and the reader
// of logs read. What it returns shares nothing that it drops; to trim twice changes nothing.
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
			Labels:                     ourLabels(p.Labels),
			OwnerReferences:            p.OwnerReferences,
			Finalizers:                 p.Finalizers,
		},
		Spec: corev1.PodSpec{
			NodeName:                      p.Spec.NodeName,
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
			ContainerStatuses:     trimStatuses(p.Status.ContainerStatuses, func(name string) bool { return name == v1alpha1.TaskContainer }),
		},
	}
	if run, ok := p.Annotations[v1alpha1.AnnotationRun]; ok {
		kept.Annotations = map[string]string{v1alpha1.AnnotationRun: run}
	}
	if at := reportedAt(p); !at.IsZero() {
		kept.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: kubeletManager, Subresource: "status", Time: &metav1.Time{Time: at}}}
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.DisruptionTarget} {
		if c := podCondition(p, kind); c != nil {
			kept.Status.Conditions = append(kept.Status.Conditions, *c)
		}
	}
	return kept, nil
}

// ourLabels are the labels under our prefix; nil: none.
func ourLabels(labels map[string]string) map[string]string {
	var kept map[string]string
	for key, value := range labels {
		if strings.HasPrefix(key, ownPrefix) {
			if kept == nil {
				kept = make(map[string]string, 5)
			}
			kept[key] = value
		}
	}
	return kept
}

// trimContainers keeps the names, and what tells a native sidecar.
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

// trimStatuses keeps the states of the containers that are read.
func trimStatuses(statuses []corev1.ContainerStatus, read func(name string) bool) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for i := range statuses {
		if s := &statuses[i]; read(s.Name) {
			kept = append(kept, corev1.ContainerStatus{Name: s.Name, State: s.State, Started: s.Started})
		}
	}
	return kept
}

// IsOurs reports that a Pod is one of this controller's for that run: its labels say so, and its owner.
func IsOurs(p *corev1.Pod, controllerID, runUID string) bool {
	return p.Labels[v1alpha1.LabelController] == controllerID && p.Labels[v1alpha1.LabelRun] == runUID && OwnerUID(p) == runUID
}

// BelongsTo reports that a Pod under a name that only this controller derives is the run's, although its labels may be gone:
// the run owns it, and our finalizer is on it.
func BelongsTo(p *corev1.Pod, controllerID, runUID string) bool {
	return IsOurs(p, controllerID, runUID) || OwnerUID(p) == runUID && slices.Contains(p.Finalizers, v1alpha1.Finalizer)
}

// RunUID is the UID of the run that a Pod belongs to: of its owner, else of its label, which anybody may edit. Only a
// UUID counts.
func RunUID(p *corev1.Pod) (string, bool) {
	for _, uid := range []string{OwnerUID(p), p.Labels[v1alpha1.LabelRun]} {
		if isUUID(uid) {
			return uid, true
		}
	}
	return "", false
}

// OwnerUID is the UID of the DagRun that controls an object; empty: none does.
func OwnerUID(object metav1.Object) string {
	owner := metav1.GetControllerOfNoCopy(object)
	if owner == nil || owner.Kind != dagRunKind || !strings.HasPrefix(owner.APIVersion, ownPrefix) {
		return ""
	}
	return string(owner.UID)
}

// isUUID accepts a UUID as Kubernetes writes it, in lower case: another spelling would be another key.
func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	digits := strings.ReplaceAll(s, "-", "")
	return len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == ""
}

// SameFacts reports that two states of a Pod differ in nothing that the checks of ownership, the reaper or the engine would
// act on. What every start goes through is no difference, unless an init container is named: most Pods are past it before
// anybody would be told.
func SameFacts(a, b *corev1.Pod) bool {
	return a.UID == b.UID &&
		slices.Equal(a.Finalizers, b.Finalizers) &&
		maps.Equal(ourLabels(a.Labels), ourLabels(b.Labels)) &&
		OwnerUID(a) == OwnerUID(b) &&
		reflect.DeepEqual(telling(a), telling(b))
}

// telling are the facts of a Pod without a wait that is usual for a Pod that has no init containers.
func telling(p *corev1.Pod) *engine.Pod {
	f := Facts(p, StartEvent{})
	if f.Waits != nil && f.Waits.IsRoutine && f.Waits.Reason != engine.ReasonPodInitializing {
		f.Waits = nil
	}
	return f
}
