package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DagRun is the order to run a DAG once, and the summary of that run.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dagruns,singular=dagrun,shortName=dr,scope=Namespaced,categories={kontroler}
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

	// Spec is the order. It cannot be changed, but for cancel.
	Spec DagRunSpec `json:"spec"`

	// Status is the summary.
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

// DagRunSpec is the order to run a DAG once.
//
// +kubebuilder:validation:XValidation:rule="self.dagName == oldSelf.dagName",message="dagName is immutable: make another DagRun",fieldPath=".dagName"
// +kubebuilder:validation:XValidation:rule="has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters)",message="parameters are immutable: make another DagRun"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",message="a cancelled DagRun cannot be resumed: make another DagRun"
type DagRunSpec struct {
	// DagName names the DAG, in the same namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	DagName string `json:"dagName"`

	// Parameters override the DAG's, by name and of the same kind (plain or secret).
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Parameters []ParameterValue `json:"parameters,omitempty"`

	// Cancel stops the run and keeps the object. It is the one allowed change, and it is final.
	//
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// ParameterValue overrides a parameter of the DAG for one run.
// An empty value or fromSecret beside another of the three counts as left out, as in old manifests.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) || (has(self.fromSecret) && size(self.fromSecret) > 0) || has(self.secretKeyRef)",message="exactly one of value, fromSecret and secretKeyRef is required"
// +kubebuilder:validation:XValidation:rule="[has(self.value) && size(self.value) > 0, has(self.fromSecret) && size(self.fromSecret) > 0, has(self.secretKeyRef)].filter(x, x).size() <= 1",message="exactly one of value, fromSecret and secretKeyRef is required"
type ParameterValue struct {
	// Name of the parameter.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Value of a plain parameter. With its name and "=" it takes less than 128 KiB: Linux starts no process with a longer
	// environment variable.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Value *string `json:"value,omitempty"`

	// FromSecret names a Secret; the value is its key "secret".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	FromSecret string `json:"fromSecret,omitempty"`

	// SecretKeyRef names a Secret and a key in it.
	//
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
}

// RunPhase of a DagRun. The schema takes other words too: a DagRun of the existing Kontroler keeps its own.
//
// +kubebuilder:validation:MaxLength=64
type RunPhase string

// The phases of a run; the last three are final.
const (
	RunPending   RunPhase = "Pending"
	RunRunning   RunPhase = "Running"
	RunSucceeded RunPhase = "Succeeded"
	RunFailed    RunPhase = "Failed"
	RunCancelled RunPhase = "Cancelled"
)

// Ended reports whether the phase is final. A word that is none of the phases above is not.
func (p RunPhase) Ended() bool {
	return p == RunSucceeded || p == RunFailed || p == RunCancelled
}

// isOurs reports whether the phase is one of those above, or none.
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

// The conditions of a DagRun, beside Reconciled.
const (
	// RunConditionAdmitted is True once the run is in the database, False with the reason when it was refused or waits for its DAG.
	RunConditionAdmitted = "Admitted"
	// RunConditionSucceeded is True when every task succeeded, False when the run ended otherwise.
	RunConditionSucceeded = "Succeeded"
	// RunConditionFailed is True when the run failed, False when it ended otherwise.
	RunConditionFailed = "Failed"
)

// RunReasonOtherKontroler is the reason of the condition Admitted, False, of a DagRun that the existing Kontroler took on: it
// is history, and not run again.
const RunReasonOtherKontroler = "OtherKontroler"

// DagRunStatus is the summary of a run. Everything but runId and controller is a projection of the database.
type DagRunStatus struct {
	// ObservedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Phase: Pending, Running, Succeeded, Failed or Cancelled. Any other word is the existing Kontroler's.
	// +optional
	Phase RunPhase `json:"phase,omitempty"`

	// Reason of the phase, machine-readable; of a live run, what it waits for (as ImagePullBackOff), or TaskFailed.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// Message says why the run is where it is: what it waits for, and what has failed so far.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// Controller is the id of the controller that runs it.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// RunID is the run's id in that controller's database.
	// +optional
	RunID int64 `json:"runId,omitempty"`

	// DagRunID is the existing Kontroler's: the run's id in its database. A DagRun that has one, and no runId, was run there.
	// It is history: it is never run again.
	// +optional
	DagRunID int64 `json:"dagRunId,omitempty"`

	// DAGVersion is the version of the DAG that runs.
	// +optional
	DAGVersion int64 `json:"dagVersion,omitempty"`

	// StartTime is when the run was admitted.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// CompletionTime is when the run ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// Duration of an ended run, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Duration string `json:"duration,omitempty"`

	// Progress is done/total, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Progress string `json:"progress,omitempty"`

	// Tasks counts the tasks by phase.
	// +optional
	Tasks *TaskCounts `json:"tasks,omitempty"`

	// Conditions: Admitted, Succeeded, Failed; Reconciled only while it is False.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TaskCounts counts the tasks of a run by phase.
type TaskCounts struct {
	// Total number of tasks.
	Total int32 `json:"total"`
	// Waiting for parents, for their next attempt or for room.
	Waiting int32 `json:"waiting"`
	// Pending counts the tasks that have a live attempt whose container has not started.
	// +optional
	Pending int32 `json:"pending"`
	// Running counts the tasks whose container runs, or is being stopped.
	Running int32 `json:"running"`
	// Succeeded tasks.
	Succeeded int32 `json:"succeeded"`
	// Failed tasks.
	Failed int32 `json:"failed"`
	// Skipped tasks: a parent failed.
	Skipped int32 `json:"skipped"`
	// Cancelled tasks.
	Cancelled int32 `json:"cancelled"`
}
