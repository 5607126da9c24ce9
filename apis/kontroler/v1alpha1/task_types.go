package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Task is a node of a DAG: a container that runs when all its parents have succeeded.
//
// +kubebuilder:validation:XValidation:rule="(has(self.image) && size(self.image) > 0) || has(self.taskRef)",message="image is required, unless taskRef names a DagTask that has one"
type Task struct {
	// Name of the task, unique in its DAG: a DNS label (lower case letters, digits and '-', at most 63 characters).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be a DNS label, such as build-app: lower case letters, digits and '-', with no '-' at its ends"
	Name string `json:"name"`

	// RunAfter names the parents: the tasks of this DAG that must succeed before this task starts.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10000
	// +kubebuilder:validation:items:MaxLength=63
	RunAfter []string `json:"runAfter,omitempty"`

	// TaskRef takes the task from a DagTask. Other fields of this task override those of the DagTask, merged as
	// kubectl patch merges (strategic merge): maps by field; volumes, volumeMounts, env, imagePullSecrets and
	// initContainers by their key. Other lists replace those of the DagTask, and so does script against command and
	// args. An empty text or list counts as absent.
	//
	// +optional
	TaskRef *TaskRef `json:"taskRef,omitempty"`

	TaskTemplate `json:",inline"`
}

// TaskTemplate has the fields that a task of a DAG and a DagTask have in common.
type TaskTemplate struct {
	// Image of the task's container.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Image string `json:"image,omitempty"`

	// Command is the entrypoint of the container. The default is that of the image.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=131072
	Command []string `json:"command,omitempty"`

	// Args of the entrypoint. The default is those of the image.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=131072
	Args []string `json:"args,omitempty"`

	// Script to run instead of command and args, at most 128 KiB. A script that begins with a shebang (#!) is
	// executed. Any other script runs in bash if the image has it, otherwise in /bin/sh. The script receives the
	// signals, and its exit code is that of the task. command and args beside a script are ignored.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	Script string `json:"script,omitempty"`

	// ScriptInjectorImage is accepted in old manifests and ignored, because scripts need no helper image.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	ScriptInjectorImage string `json:"scriptInjectorImage,omitempty"`

	// Backoff is how often and after what delay a failed attempt is retried.
	//
	// +optional
	Backoff *Backoff `json:"backoff,omitempty"`

	// Conditional limits retries to certain exit codes.
	//
	// +optional
	Conditional *Conditional `json:"conditional,omitempty"`

	// Parameters names the parameters of the DAG that become environment variables of this task.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Parameters []string `json:"parameters,omitempty"`

	// TimeoutSeconds is the maximum duration of each attempt, counted by the controller's clock from when it sees the
	// container run. After that the attempt fails with reason Timeout. Pulling the image and init containers do not
	// count. The Pod has an activeDeadlineSeconds, therefore quotas of scope Terminating count it. Once the container
	// runs, the controller lowers it, so that it ends the Pod a start grace after the timeout, should no controller do
	// so. If a webhook or a policy refuses that, only the controller ends the Pod.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`

	// PodTemplate has further fields of the Pod and of the task's container. It applies to every attempt.
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

	// Version of the DagTask. With 0 or none, a run uses the version that the DagTask has when the run is admitted.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	Version int64 `json:"version,omitempty"`
}

// Backoff is the retry policy of a task. The delay before retry n (from 1) is duration * factor^(n-1), at most
// maxDuration.
type Backoff struct {
	// Limit is the maximum number of retries. The default is 0. A negative limit counts as 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-9007199254740991
	// +kubebuilder:validation:Maximum=9007199254740991
	Limit *int64 `json:"limit,omitempty"`

	// Duration before the first retry, such as "30s" or "5m", at most 8760h. The default is 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,3})?[hms]|[0-9]{1,6}ms){1,4}$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="duration is at most 8760h"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Factor by which the delay grows with each retry. The default is 2.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Factor *int32 `json:"factor,omitempty"`

	// MaxDuration is the maximum delay, such as "30s" or "5m", at most 8760h. The default is 5m.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,3})?[hms]|[0-9]{1,6}ms){1,4}$`
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="maxDuration is at most 8760h"
	MaxDuration *metav1.Duration `json:"maxDuration,omitempty"`
}

// Conditional limits retries to certain exit codes.
type Conditional struct {
	// Enabled limits retries to the exit codes in retryCodes.
	//
	// +optional
	Enabled *bool `json:"enabled,omitempty"`

	// RetryCodes are the exit codes that are retried. Exit codes are 0 to 255; any other number matches none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Minimum=-9007199254740991
	// +kubebuilder:validation:items:Maximum=9007199254740991
	RetryCodes []int64 `json:"retryCodes,omitempty"`
}

// PodTemplate has the fields of a Pod and of its task container that a task may set. They mean the same as in a Pod.
// Beside a taskRef they are merged by the keys that they have in a Pod.
type PodTemplate struct {
	// Labels of the Pod. The prefix kontroler.greedykomodo/ is reserved for the controller.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the Pod. The prefix kontroler.greedykomodo/ is reserved for the controller.
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

	// Env of the task's container, in addition to the parameters of the task.
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

	// InitContainers run before the task's container. Those with restartPolicy Always are native sidecars. They do
	// not keep a task from ending.
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

	// EnableServiceLinks of the Pod. Unless it is false, the container has environment variables for each Service of
	// the namespace. With thousands of Services it does not start: "argument list too long".
	//
	// +optional
	EnableServiceLinks *bool `json:"enableServiceLinks,omitempty"`

	// ActiveDeadlineSeconds of the Pod, counted by the kubelet from the start of the Pod.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// TerminationGracePeriodSeconds of the Pod is the time between the stop signal and the kill. If the Pod is evicted,
	// drained or deleted, a container that exits with code 0 has succeeded. On SIGTERM, exit with another code unless
	// the work is done.
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
