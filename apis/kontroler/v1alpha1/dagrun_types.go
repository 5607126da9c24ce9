package v1alpha1

import (
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DagRun runs a DAG once. Its status summarizes the run.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dagruns,singular=dagrun,shortName=dr,scope=Namespaced,categories={kontroler}
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="DAG",type=string,JSONPath=`.spec.dagName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Tasks",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="Duration",type=string,JSONPath=`.status.duration`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DagRun struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what to run. Only cancel can change.
	Spec DagRunSpec `json:"spec"`

	// Status summarizes the run.
	// +optional
	Status DagRunStatus `json:"status,omitempty"`
}

// DagRunList is a list of DagRuns.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
type DagRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DagRun `json:"items"`
}

// DagRunSpec is what to run.
//
// +kubebuilder:validation:XValidation:rule="self.dagName == oldSelf.dagName",message="dagName is immutable: make another DagRun",fieldPath=".dagName"
// +kubebuilder:validation:XValidation:rule="has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters)",message="parameters are immutable: make another DagRun"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",message="a cancelled DagRun cannot be resumed: make another DagRun"
type DagRunSpec struct {
	// DagName is the name of a DAG in the same namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	DagName string `json:"dagName"`

	// Parameters override those of the DAG, by name. A plain parameter takes a plain value, a secret parameter a
	// Secret.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Parameters []ParameterValue `json:"parameters,omitempty"`

	// Cancel stops the run and keeps the object. It is the only field that can change, and it cannot be reset.
	//
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// ParameterValue overrides a parameter of the DAG for one run.
// An empty value or fromSecret counts as absent if another of the three fields is set, as in old manifests.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) || (has(self.fromSecret) && size(self.fromSecret) > 0) || has(self.secretKeyRef)",message="exactly one of value, fromSecret and secretKeyRef is required"
// +kubebuilder:validation:XValidation:rule="[has(self.value) && size(self.value) > 0, has(self.fromSecret) && size(self.fromSecret) > 0, has(self.secretKeyRef)].filter(x, x).size() <= 1",message="exactly one of value, fromSecret and secretKeyRef is required"
type ParameterValue struct {
	// Name of the parameter.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Value of a plain parameter. Name, "=" and value together are shorter than 128 KiB, because Linux starts no
	// process with a longer environment variable.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Value *string `json:"value,omitempty"`

	// FromSecret names a Secret. The value is that of its key "secret".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	FromSecret string `json:"fromSecret,omitempty"`

	// SecretKeyRef names a Secret and a key in it.
	//
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
}

// RunPhase is the phase of a DagRun. The schema accepts other words, because DagRuns of the existing Kontroler keep
// theirs.
//
// +kubebuilder:validation:MaxLength=64
type RunPhase string

// The phases of a run. The last three are final.
const (
	RunPending   RunPhase = "Pending"
	RunRunning   RunPhase = "Running"
	RunSucceeded RunPhase = "Succeeded"
	RunFailed    RunPhase = "Failed"
	RunCancelled RunPhase = "Cancelled"
)

// Ended reports whether the phase is final. Words of the existing Kontroler are not.
func (p RunPhase) Ended() bool {
	return p == RunSucceeded || p == RunFailed || p == RunCancelled
}

// isOurs reports whether the phase is empty or one of those above.
func (p RunPhase) isOurs() bool {
	return p == "" || p == RunPending || p == RunRunning || p.Ended()
}

// ScheduleOwner returns the owner reference to the DAG object whose schedule created the DagRun, or nil if no schedule
// did.
func (r *DagRun) ScheduleOwner() *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(r)
	if owner == nil || owner.Kind != "DAG" || r.Labels[LabelScheduled] != "true" {
		return nil
	}
	return owner
}

// What triggered a run.
const (
	// TriggerSchedule is the schedule of its DAG: the DagRun has the label scheduled.
	TriggerSchedule = "Schedule"
	// TriggerAPI is a request to Kontroler's server: the DagRun has the annotation requested-by.
	TriggerAPI = "API"
	// TriggerManual is anything else, such as kubectl.
	TriggerManual = "Manual"
)

// MaxRequester is the maximum length of the name that Origin returns, in characters.
const MaxRequester = 253

// Origin returns what triggered the run. requestedBy is empty unless the trigger is API. dueAt is zero unless the
// trigger is Schedule. All of it is what the DagRun claims: whoever created it may have written any label and
// annotation. The name is cut to MaxRequester characters, and each character that does not print is replaced. A due
// time that is not RFC 3339, or lies before 1970 or after 9999, is ignored.
func (r *DagRun) Origin() (trigger, requestedBy string, dueAt time.Time) {
	if r.Labels[LabelScheduled] == "true" {
		due, err := time.Parse(time.RFC3339, r.Annotations[AnnotationScheduledAt])
		if due = due.UTC(); err != nil || due.Year() < 1970 || due.Year() > 9999 {
			due = time.Time{}
		}
		return TriggerSchedule, "", due
	}
	if requestedBy = requester(r.Annotations[AnnotationRequestedBy]); requestedBy != "" {
		return TriggerAPI, requestedBy, time.Time{}
	}
	return TriggerManual, "", time.Time{}
}

// requester returns a name in a form that every store and terminal accepts.
func requester(claimed string) string {
	name := []rune(strings.TrimSpace(strings.ToValidUTF8(claimed, "\uFFFD")))
	name = name[:min(len(name), MaxRequester)]
	for i, c := range name {
		if !unicode.IsGraphic(c) {
			name[i] = unicode.ReplacementChar
		}
	}
	return strings.TrimSpace(string(name))
}

// The conditions of a DagRun, beside Reconciled.
const (
	// RunConditionAdmitted is True when the run is in the database. It is False, with the reason, if the run was
	// rejected or waits for its DAG.
	RunConditionAdmitted = "Admitted"
	// RunConditionSucceeded is True if every task succeeded, and False if the run ended otherwise.
	RunConditionSucceeded = "Succeeded"
	// RunConditionFailed is True if the run failed, and False if it ended otherwise.
	RunConditionFailed = "Failed"
)

// RunReasonOtherKontroler is the reason of the condition Admitted of a DagRun that the existing Kontroler ran. The
// condition is False, and the DagRun is not run again.
const RunReasonOtherKontroler = "OtherKontroler"

// DagRunStatus summarizes a run. All fields except runId and controller are projections of the database.
type DagRunStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase is Pending, Running, Succeeded, Failed or Cancelled. Any other word is from the existing Kontroler.
	// +optional
	Phase RunPhase `json:"phase,omitempty"`

	// Reason of the phase, machine-readable. For a live run it is what the run waits for, such as ImagePullBackOff,
	// or TaskFailed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// Message explains the phase: what the run waits for, and what has failed so far.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// Controller is the id of the controller that executes the run, or that ended the DagRun before there was a run.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// RunID is the id of the run in that controller's database.
	// +optional
	RunID int64 `json:"runId,omitempty"`

	// DagRunID is a field of the existing Kontroler: the id of the run in its database. A DagRun with a dagRunId and
	// without a runId was run there and is not run again.
	// +optional
	DagRunID int64 `json:"dagRunId,omitempty"`

	// DAGVersion is the version of the DAG that the run uses.
	// +optional
	DAGVersion int64 `json:"dagVersion,omitempty"`

	// StartTime is when the run was admitted.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// CompletionTime is when the run ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Duration of an ended run, for display.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Duration string `json:"duration,omitempty"`

	// Progress is the number of ended tasks and of all tasks (3/10), for display.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Progress string `json:"progress,omitempty"`

	// Tasks counts the tasks by phase.
	// +optional
	Tasks *TaskCounts `json:"tasks,omitempty"`

	// Conditions are Admitted, Succeeded and Failed, and while it is False also Reconciled.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TaskCounts counts the tasks of a run by phase.
type TaskCounts struct {
	// Total counts all tasks.
	Total int32 `json:"total"`
	// Waiting counts the tasks that wait for parents, for their next attempt, or for a slot.
	Waiting int32 `json:"waiting"`
	// Pending counts the tasks that have a live attempt whose container has not started.
	// +optional
	Pending int32 `json:"pending"`
	// Running counts the tasks whose container runs or is being stopped.
	Running int32 `json:"running"`
	// Succeeded counts the tasks that succeeded.
	Succeeded int32 `json:"succeeded"`
	// Failed counts the tasks that failed.
	Failed int32 `json:"failed"`
	// Skipped counts the tasks that did not run because a parent failed or was skipped.
	Skipped int32 `json:"skipped"`
	// Cancelled counts the tasks that were cancelled.
	Cancelled int32 `json:"cancelled"`
}
