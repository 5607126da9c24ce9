package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DagTask is a task that DAGs share. They refer to it by taskRef.
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

	// Spec describes the task.
	Spec DagTaskSpec `json:"spec"`

	// Status is written by the controller.
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

// DagTaskSpec describes a task without a name and a place in a DAG.
//
// +kubebuilder:validation:XValidation:rule="has(self.image) && size(self.image) > 0",message="image is required"
// +kubebuilder:validation:XValidation:rule="!has(self.version) || !has(oldSelf.version) || self.version != oldSelf.version || self == oldSelf",message="a version is immutable: raise spec.version to change the task"
type DagTaskSpec struct {
	// Version of the task. A version is immutable: a changed task needs another number, usually the next. Without it
	// each controller numbers the versions itself.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	Version *int32 `json:"version,omitempty"`

	// RunAfter is accepted in old manifests and ignored, because the DAG defines the order.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=63
	RunAfter []string `json:"runAfter,omitempty"`

	TaskTemplate `json:",inline"`
}

// DagTaskValid is the condition of a DagTask. It is True if the task is well-formed and stored as a version.
const DagTaskValid = "Valid"

// DagTaskStatus is the state of a DagTask as a controller last observed it.
type DagTaskStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Controller is the id of the controller that writes this status: the first one that sees the DagTask, while it
	// holds its Lease. Every controller keeps its own versions.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// ControllerNamespace is the namespace of that controller's Lease.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerNamespace string `json:"controllerNamespace,omitempty"`

	// Version is the one that DAGs use if their taskRef pins none.
	// +optional
	Version int64 `json:"version,omitempty"`

	// Conditions has only Valid.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
