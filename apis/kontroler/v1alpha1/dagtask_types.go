package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DagTask is a task that several DAGs use, by taskRef.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dagtasks,singular=dagtask,shortName=dt,scope=Namespaced,categories={kontroler}
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Version",type=integer,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DagTask struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the task.
	Spec DagTaskSpec `json:"spec"`

	// Status is what the controller makes of it.
	// +optional
	Status DagTaskStatus `json:"status,omitempty"`
}

// DagTaskList is a list of DagTasks.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
type DagTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DagTask `json:"items"`
}

// DagTaskSpec is a task without a place in a DAG.
//
// +kubebuilder:validation:XValidation:rule="has(self.image) && size(self.image) > 0",message="image is required"
// +kubebuilder:validation:XValidation:rule="!has(self.version) || !has(oldSelf.version) || self.version != oldSelf.version || self == oldSelf",message="a version is immutable: raise spec.version to change the task"
type DagTaskSpec struct {
	// Version of the task, which is immutable: a change of the task takes another number, usually the next. Without it each
	// controller counts versions as the task changes.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	Version *int32 `json:"version,omitempty"`

	// RunAfter is accepted from old manifests and unused: the order is the DAG's.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=63
	RunAfter []string `json:"runAfter,omitempty"`

	TaskTemplate `json:",inline"`
}

// DagTaskValid is the condition of a DagTask: True when its task is well-formed and is stored as a version.
const DagTaskValid = "Valid"

// DagTaskStatus is what the controller makes of a DagTask.
type DagTaskStatus struct {
	// ObservedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Controller is the id of the controller that writes this status: the first to see the DagTask, while it has its Lease.
	// Every controller keeps versions of its own.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// ControllerNamespace is the namespace of that controller's Lease.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerNamespace string `json:"controllerNamespace,omitempty"`

	// Version that DAGs get which follow the DagTask.
	// +optional
	Version int64 `json:"version,omitempty"`

	// Conditions: Valid.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
