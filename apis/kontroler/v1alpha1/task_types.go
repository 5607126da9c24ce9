package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Task is one node of a DAG: a container that runs when all its parents have succeeded.
//
// +kubebuilder:validation:XValidation:rule="(has(self.image) && size(self.image) > 0) || has(self.taskRef)",message="image is required, unless taskRef names a DagTask that has one"
type Task struct {
	// Name of the task, unique in its DAG: a DNS label (lower case letters, digits and '-', at most 63).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label, such as build-app: lower case letters, digits and '-', with no '-' at its ends"
	Name string `json:"name"`

	// RunAfter names the tasks of this DAG that must have succeeded before this one starts.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=63
	RunAfter []string `json:"runAfter,omitempty"`

	// TaskRef takes the task from a DagTask. Fields given beside it override the DagTask's, merged as by kubectl patch (strategic
	// merge): maps by field; volumes, volumeMounts, env, imagePullSecrets and initContainers by their key; other lists, and script
	// against command and args, replace. An empty text or list counts as left out.
	//
	// +optional
	TaskRef *TaskRef `json:"taskRef,omitempty"`

	TaskTemplate `json:",inline"`
}

// TaskTemplate is what a task does, as given in a DAG or in a DagTask.
type TaskTemplate struct {
	// Image of the task's container.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Image string `json:"image,omitempty"`

	// Command is the container's entrypoint; the image's own when left out.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=131072
	Command []string `json:"command,omitempty"`

	// Args of the entrypoint; the image's own when left out.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=131072
	Args []string `json:"args,omitempty"`

	// Script to run instead of command and args, at most 128 KiB. One that begins with a shebang (#!) is executed; any other
	// is run by bash where the image has it, else by /bin/sh. The process that the container starts becomes the script's: it
	// gets the signals, and its exit code is the task's. Beside a script, command and args do not count.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Script string `json:"script,omitempty"`

	// ScriptInjectorImage is accepted from old manifests and unused: scripts need no helper image.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ScriptInjectorImage string `json:"scriptInjectorImage,omitempty"`

	// Backoff says how often, and after how long, a failed attempt is retried.
	//
	// +optional
	Backoff *Backoff `json:"backoff,omitempty"`

	// Conditional limits retries to some exit codes.
	//
	// +optional
	Conditional *Conditional `json:"conditional,omitempty"`

	// Parameters names the DAG's parameters that become environment variables of this task.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Parameters []string `json:"parameters,omitempty"`

	// TimeoutSeconds bounds each attempt, counted by the controller's clock from when it sees the container run; past
	// it the attempt fails, reason Timeout.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`

	// PodTemplate shapes the Pod around the task's container. It applies to every attempt.
	//
	// +optional
	PodTemplate *PodTemplate `json:"podTemplate,omitempty"`
}

// TaskRef names a DagTask in the DAG's namespace.
type TaskRef struct {
	// Name of the DagTask.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Version of the DagTask; 0 or absent: the one that the DagTask has when the run is admitted, pinned in the run.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	Version int64 `json:"version,omitempty"`
}

// Backoff is the retry policy of a task. The delay before retry n (from 1) is duration * factor^(n-1), at most maxDuration.
type Backoff struct {
	// Limit is the number of retries after a failed attempt; default 0: none. A negative one counts as 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-9007199254740991
	// +kubebuilder:validation:Maximum=9007199254740991
	Limit *int64 `json:"limit,omitempty"`

	// Duration before the first retry, as "30s" or "5m", at most 8760h; default 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,3})?[hms]|[0-9]{1,6}ms){1,4}$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="duration is at most 8760h"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Factor by which the delay grows with each retry; default 2.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Factor *int32 `json:"factor,omitempty"`

	// MaxDuration bounds the delay, as "30s" or "5m", at most 8760h; default 5m.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,3})?[hms]|[0-9]{1,6}ms){1,4}$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="maxDuration is at most 8760h"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
}

// Conditional limits retries to exit codes.
type Conditional struct {
	// Enabled: retry only when the container ended with one of retryCodes.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// RetryCodes are the exit codes that are worth a retry. Exit codes are 0 to 255: any other number matches none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Minimum=-9007199254740991
	// +kubebuilder:validation:items:Maximum=9007199254740991
	RetryCodes []int64 `json:"retryCodes,omitempty"`
}

// PodTemplate shapes the Pod of a task: the fields of a Pod and of its task container that a task may set, as in core/v1.
// What is given beside a taskRef is merged by the keys that the fields have there.
type PodTemplate struct {
	// Labels of the Pod. Those under kontroler.greedykomodo/ are the controller's own.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the Pod. Those under kontroler.greedykomodo/ are the controller's own.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// Volumes of the Pod.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Volumes []corev1.Volume `json:"volumes,omitempty" patchStrategy:"merge,retainKeys" patchMergeKey:"name"`

	// VolumeMounts of the task's container.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty" patchStrategy:"merge" patchMergeKey:"mountPath"`

	// Env of the task's container, beside the task's parameters.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Env []corev1.EnvVar `json:"env,omitempty" patchStrategy:"merge" patchMergeKey:"name"`

	// EnvFrom of the task's container.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// ImagePullSecrets of the Pod.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty" patchStrategy:"merge" patchMergeKey:"name"`

	// ImagePullPolicy of the task's container.
	//
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// SecurityContext of the Pod.
	//
	// +optional
	SecurityContext *corev1.PodSecurityContext `json:"securityContext,omitempty"`

	// ContainerSecurityContext is the security context of the task's container.
	//
	// +optional
	ContainerSecurityContext *corev1.SecurityContext `json:"containerSecurityContext,omitempty"`

	// InitContainers run before the task's container. Those with restartPolicy Always are native sidecars: they never keep a task from ending.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	InitContainers []corev1.Container `json:"initContainers,omitempty" patchStrategy:"merge" patchMergeKey:"name"`

	// NodeSelector of the Pod.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Tolerations of the Pod.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// Affinity of the Pod.
	//
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// ServiceAccountName of the Pod.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// AutomountServiceAccountToken of the Pod.
	//
	// +optional
	AutomountServiceAccountToken *bool `json:"automountServiceAccountToken,omitempty"`

	// ActiveDeadlineSeconds of the Pod, counted by the kubelet from its start.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// TerminationGracePeriodSeconds of the Pod: from the stop signal to the kill.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`

	// PriorityClassName of the Pod.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// RuntimeClassName of the Pod.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// Resources of the task's container.
	//
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}
