package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DAG is a workflow: tasks, the order between them, their parameters, and when to run them.
//
// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dags,singular=dag,scope=Namespaced,categories={kontroler}
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspended`
// +kubebuilder:printcolumn:name="Valid",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].status`
// +kubebuilder:printcolumn:name="Last Run",type=string,JSONPath=`.status.lastRun.phase`
// +kubebuilder:printcolumn:name="Last Schedule",type=date,JSONPath=`.status.lastScheduleTime`
// +kubebuilder:printcolumn:name="Next Schedule",type=string,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Version",type=integer,JSONPath=`.status.version`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Valid")].message`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DAG struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the workflow.
	Spec DAGSpec `json:"spec"`

	// Status is what the controller makes of it.
	// +optional
	Status DAGStatus `json:"status,omitempty"`
}

// DAGList is a list of DAGs.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
type DAGList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DAG `json:"items"`
}

// ConcurrencyPolicy says what happens when a run is due while an earlier one is live.
//
// +kubebuilder:validation:Enum=Allow;Forbid;Replace
type ConcurrencyPolicy string

// CronJob's policies, with CronJob's meaning.
const (
	AllowConcurrent   ConcurrencyPolicy = "Allow"
	ForbidConcurrent  ConcurrencyPolicy = "Forbid"
	ReplaceConcurrent ConcurrencyPolicy = "Replace"
)

// CatchUpPolicy says which missed due times run after a gap.
//
// +kubebuilder:validation:Enum=none;latest;all
type CatchUpPolicy string

// The policies of spec.catchUp.
const (
	CatchUpNone   CatchUpPolicy = "none"
	CatchUpLatest CatchUpPolicy = "latest"
	CatchUpAll    CatchUpPolicy = "all"
)

// LogPolicy says how the logs of a DAG's tasks are kept.
//
// +kubebuilder:validation:Enum=capture;follow;off
type LogPolicy string

// The policies of spec.logs.
const (
	LogsCapture LogPolicy = "capture"
	LogsFollow  LogPolicy = "follow"
	LogsOff     LogPolicy = "off"
)

// DAGSpec is a workflow.
//
// +kubebuilder:validation:XValidation:rule="!has(self.dsl) || size(self.dsl) == 0",message="dsl is not supported: write the tasks in spec.task"
// +kubebuilder:validation:XValidation:rule="has(self.dsl) || (has(self.task) && size(self.task) > 0)",message="task is required: a DAG has at least one task"
type DAGSpec struct {
	// Schedule in cron format (five fields, or @hourly, @daily, …); empty: runs only when asked to. A zone before it (TZ= or
	// CRON_TZ=) counts as timeZone, and must not differ from it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Schedule string `json:"schedule,omitempty"`

	// TimeZone of the schedule, a name of the IANA time zone database; default: UTC.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone *string `json:"timeZone,omitempty"`

	// StartingDeadlineSeconds is how late a scheduled run may start; a due time that is later than that does not run. Less
	// than ten seconds counts as ten, since a run that starts within ten seconds is on time.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// ConcurrencyPolicy when a run is due while an earlier one is live: Allow (default), Forbid or Replace.
	//
	// +optional
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// SuccessfulRunsHistoryLimit is how many succeeded DagRuns made by the schedule are kept as objects, the newest; default 10,
	// 0: none. Their history stays in the database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	SuccessfulRunsHistoryLimit *int32 `json:"successfulRunsHistoryLimit,omitempty"`

	// FailedRunsHistoryLimit is how many failed or cancelled DagRuns made by the schedule are kept as objects, the newest;
	// default 10, 0: none. Their history stays in the database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	FailedRunsHistoryLimit *int32 `json:"failedRunsHistoryLimit,omitempty"`

	// CatchUp says which missed due times run after a gap: none, latest (default) or all.
	//
	// +optional
	CatchUp CatchUpPolicy `json:"catchUp,omitempty"`

	// CatchUpLimit bounds the runs that one gap makes; default 100.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	CatchUpLimit *int32 `json:"catchUpLimit,omitempty"`

	// Suspended: no new scheduled runs; running ones go on.
	//
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// Parameters of the DAG; a DagRun may override them.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Parameters []Parameter `json:"parameters,omitempty"`

	// Task is the list of tasks.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10000
	Task []Task `json:"task,omitempty"`

	// Webhook is told when a task or the run ends.
	//
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// Workspace is a volume that the tasks of one run share.
	//
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`

	// MaxParallel bounds the tasks of one run that are active at once; default: no bound.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxParallel *int32 `json:"maxParallel,omitempty"`

	// Logs says how the logs of the tasks' containers are kept: capture (default) reads a log when its container has ended,
	// or is about to be deleted, as far as the node still has it; follow reads it from the start, so that rotation cannot
	// take its beginning (at most 200 at once, the rest as with capture); off keeps none.
	//
	// +optional
	Logs LogPolicy `json:"logs,omitempty"`

	// ActiveDeadlineSeconds bounds a whole run, from its start; past it the run is stopped and Failed, reason DeadlineExceeded.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// TTLSecondsAfterFinished: DagRun objects, whoever made them, are deleted so long after they ended; default: never. It
	// may be changed at any time, also for runs that have ended. Their history stays in the database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// ControllerClass names the class of controllers that may claim this DAG; default: the empty class.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerClass string `json:"controllerClass,omitempty"`

	// DSL is a field of later versions of the old Kontroler; it is refused.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	DSL *string `json:"dsl,omitempty"`
}

// Parameter of a DAG: a plain value or a reference to a Secret, never the secret's value.
// An empty defaultValue or defaultFromSecret beside another of the three counts as left out, as in old manifests.
//
// +kubebuilder:validation:XValidation:rule="has(self.defaultValue) || (has(self.defaultFromSecret) && size(self.defaultFromSecret) > 0) || has(self.defaultSecretKeyRef)",message="exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required"
// +kubebuilder:validation:XValidation:rule="[has(self.defaultValue) && size(self.defaultValue) > 0, has(self.defaultFromSecret) && size(self.defaultFromSecret) > 0, has(self.defaultSecretKeyRef)].filter(x, x).size() <= 1",message="exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required"
type Parameter struct {
	// Name of the parameter, which is also the name of the environment variable in the tasks that use it: printable ASCII
	// without "=". Before Kubernetes 1.34 a Pod takes letters, digits, "_", "-" and "." only, and no digit at the beginning.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[ -<>-~]+$`
	Name string `json:"name"`

	// DefaultValue is the value of a run that does not override it. With its name and "=" it takes less than 128 KiB: Linux
	// starts no process with a longer environment variable.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	DefaultValue *string `json:"defaultValue,omitempty"`

	// DefaultFromSecret names a Secret in the DAG's namespace; the value is its key "secret".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DefaultFromSecret string `json:"defaultFromSecret,omitempty"`

	// DefaultSecretKeyRef names a Secret in the DAG's namespace and a key in it.
	//
	// +optional
	DefaultSecretKeyRef *SecretKeyRef `json:"defaultSecretKeyRef,omitempty"`
}

// SecretKeyRef names a key of a Secret in the same namespace.
type SecretKeyRef struct {
	// Name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Key in the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// WebhookEvent is a kind of ending that a webhook is told of.
//
// +kubebuilder:validation:Enum=TaskSucceeded;TaskFailed;RunSucceeded;RunFailed;RunCancelled
type WebhookEvent string

// The events.
const (
	EventTaskSucceeded WebhookEvent = "TaskSucceeded"
	EventTaskFailed    WebhookEvent = "TaskFailed"
	EventRunSucceeded  WebhookEvent = "RunSucceeded"
	EventRunFailed     WebhookEvent = "RunFailed"
	EventRunCancelled  WebhookEvent = "RunCancelled"
)

// Webhook is told when a task or the run ends: at least once, in the order of a run's endings, for up to a day. A run uses
// the webhook of its version of the DAG.
type Webhook struct {
	// URL that is sent a POST; http or https; empty: nothing is sent. Loopback, link-local and metadata addresses are
	// refused, private ones are not.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`

	// VerifySSL: the URL must be https, with a certificate that the controller's system trusts. Without it no certificate
	// is checked.
	//
	// +optional
	VerifySSL bool `json:"verifySSL,omitempty"`

	// SecretRef names the Secret key with which timestamp and body are signed (HMAC-SHA256, in the header
	// Kontroler-Signature). It is read whenever something is sent.
	//
	// +optional
	SecretRef *SecretKeyRef `json:"secretRef,omitempty"`

	// Events that are sent; default: all.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	Events []WebhookEvent `json:"events,omitempty"`
}

// Workspace is a volume claim made for each run before its first Pod, and mounted at /workspace in every container of its
// tasks. It is deleted when the run has ended.
type Workspace struct {
	// Enable the workspace.
	//
	// +optional
	Enable bool `json:"enable,omitempty"`

	// KeepOnFailure keeps the claim of a run that is Failed for as long as its DagRun.
	//
	// +optional
	KeepOnFailure bool `json:"keepOnFailure,omitempty"`

	// PVC is the claim's spec.
	//
	// +optional
	PVC WorkspaceClaim `json:"pvc,omitempty"`
}

// WorkspaceClaim is the spec of a workspace's PersistentVolumeClaim.
type WorkspaceClaim struct {
	// AccessModes of the claim; default: ReadWriteOnce. Without ReadWriteMany the Pods of a run share a node; with
	// ReadWriteOncePod, which excludes the others, a run has one task active at a time.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:Enum=ReadWriteOnce;ReadOnlyMany;ReadWriteMany;ReadWriteOncePod
	AccessModes []corev1.PersistentVolumeAccessMode `json:"accessModes,omitempty"`

	// Selector of the volumes that the claim may bind to.
	//
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Resources that the claim asks for; requests.storage is required.
	//
	// +optional
	Resources WorkspaceResources `json:"resources,omitempty"`

	// StorageClassName of the claim; default: the cluster's.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// VolumeMode of the claim: Filesystem (default). Block is refused, as it cannot be mounted.
	//
	// +optional
	// +kubebuilder:validation:Enum=Filesystem;Block
	VolumeMode *corev1.PersistentVolumeMode `json:"volumeMode,omitempty"`
}

// WorkspaceResources is what a workspace's claim asks for.
type WorkspaceResources struct {
	// Limits of the claim, by resource.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Requests of the claim, by resource: storage.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Claims is accepted from old manifests and unused: a volume claim has none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Claims []corev1.ResourceClaim `json:"claims,omitempty"`
}

// ConditionReconciled of a DAG or DagRun is False while its syncs fail, with the error; else it is absent.
const ConditionReconciled = "Reconciled"

// The conditions of a DAG, beside Reconciled.
const (
	// DAGValid is True when the spec compiles; else its message names every fault.
	DAGValid = "Valid"
	// DAGScheduled is False while the API server refuses the DagRun that is due, with its answer; else it is absent.
	DAGScheduled = "Scheduled"
)

// DAGStatus is what the controller makes of a DAG.
type DAGStatus struct {
	// ObservedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Controller is the id of the controller that claimed the DAG.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// ControllerNamespace is the namespace of that controller's Lease; a claim is void when the Lease is gone or long past.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerNamespace string `json:"controllerNamespace,omitempty"`

	// Version of the spec, counted from 1 as the compiled spec changes.
	// +optional
	Version int64 `json:"version,omitempty"`

	// Tasks is the number of tasks.
	// +optional
	Tasks int32 `json:"tasks,omitempty"`

	// LastRun is the newest run.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`

	// LastScheduleTime is when the schedule last made a run.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// NextScheduleTime is when the schedule is due next.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// Phase is the existing Kontroler's: Successful or Failed, as it left it. The condition Valid replaces it.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Phase string `json:"phase,omitempty"`

	// Message is the existing Kontroler's: why phase is what it is. The message of the condition Valid replaces it.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Message string `json:"message,omitempty"`

	// Conditions: Valid; Scheduled and Reconciled only while they are False.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LastRun is the newest run of a DAG.
type LastRun struct {
	// Name of the DagRun.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Phase of the run.
	Phase RunPhase `json:"phase"`
	// Time of the phase.
	Time metav1.Time `json:"time"`
}
