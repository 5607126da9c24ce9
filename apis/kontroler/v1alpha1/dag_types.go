package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DAG describes a workflow: its tasks, their order, their parameters, and a schedule.
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

	// Spec describes the workflow.
	Spec DAGSpec `json:"spec"`

	// Status is written by the controller.
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

// ConcurrencyPolicy is what happens when a run is due while an earlier run of the schedule is live.
//
// +kubebuilder:validation:Enum=Allow;Forbid;Replace
type ConcurrencyPolicy string

// The policies of spec.concurrencyPolicy. They mean the same as in a CronJob.
const (
	AllowConcurrent   ConcurrencyPolicy = "Allow"
	ForbidConcurrent  ConcurrencyPolicy = "Forbid"
	ReplaceConcurrent ConcurrencyPolicy = "Replace"
)

// CatchUpPolicy selects the missed due times that run after a gap.
//
// +kubebuilder:validation:Enum=none;latest;all
type CatchUpPolicy string

// The policies of spec.catchUp.
const (
	CatchUpNone   CatchUpPolicy = "none"
	CatchUpLatest CatchUpPolicy = "latest"
	CatchUpAll    CatchUpPolicy = "all"
)

// LogPolicy selects how the logs of a DAG's tasks are stored.
//
// +kubebuilder:validation:Enum=capture;follow;off
type LogPolicy string

// The policies of spec.logs.
const (
	LogsCapture LogPolicy = "capture"
	LogsFollow  LogPolicy = "follow"
	LogsOff     LogPolicy = "off"
)

// DAGSpec describes a workflow.
//
// +kubebuilder:validation:XValidation:rule="!has(self.dsl) || size(self.dsl) == 0",message="dsl is not supported: write the tasks in spec.task"
// +kubebuilder:validation:XValidation:rule="has(self.dsl) || (has(self.task) && size(self.task) > 0)",message="task is required: a DAG has at least one task"
type DAGSpec struct {
	// Schedule in cron format: five fields, @hourly, @daily and the like, or @every 90m. Without it the DAG runs only
	// when a DagRun is created. A zone in the schedule (TZ= or CRON_TZ=) counts as timeZone and must not differ from
	// it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Schedule string `json:"schedule,omitempty"`

	// TimeZone of the schedule: a name of the IANA time zone database. The default is UTC.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone *string `json:"timeZone,omitempty"`

	// StartingDeadlineSeconds is how late a scheduled run may start. A due time that is older does not run. Values
	// below ten count as ten, because a run that starts within ten seconds is on time.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// ConcurrencyPolicy applies when a run is due while an earlier run of the schedule is live: Allow starts another
	// one (default), Forbid skips the new one, Replace cancels the live one.
	//
	// +optional
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// SuccessfulRunsHistoryLimit is how many succeeded DagRuns of the schedule are kept. The newest stay. The default
	// is 10; 0 keeps none. Their history stays in the database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	SuccessfulRunsHistoryLimit *int32 `json:"successfulRunsHistoryLimit,omitempty"`

	// FailedRunsHistoryLimit is how many failed or cancelled DagRuns of the schedule are kept. The newest stay. The
	// default is 10; 0 keeps none. Their history stays in the database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	FailedRunsHistoryLimit *int32 `json:"failedRunsHistoryLimit,omitempty"`

	// CatchUp selects the missed due times that run after a gap, such as controller downtime: none, latest (default)
	// or all.
	//
	// +optional
	CatchUp CatchUpPolicy `json:"catchUp,omitempty"`

	// CatchUpLimit is the maximum number of runs that one gap creates. The default is 100.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	CatchUpLimit *int32 `json:"catchUpLimit,omitempty"`

	// Suspended stops the schedule from creating runs. Live runs continue.
	//
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// Parameters of the DAG. A DagRun may override them.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Parameters []Parameter `json:"parameters,omitempty"`

	// Task lists the tasks.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10000
	Task []Task `json:"task,omitempty"`

	// Webhook receives a request when a task or the run ends.
	//
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// Workspace is a volume that the tasks of a run share.
	//
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`

	// MaxParallel is the maximum number of active tasks of a run. Without it there is no limit.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxParallel *int32 `json:"maxParallel,omitempty"`

	// Logs selects how the logs of the tasks' containers are stored. capture (default) reads a log when its container
	// has ended or is about to be deleted, as far as the node still has it. follow reads it from the start, so that
	// rotation does not lose its beginning; it follows at most 200 logs at a time and captures the others. off stores
	// none.
	//
	// +optional
	Logs LogPolicy `json:"logs,omitempty"`

	// ActiveDeadlineSeconds is the maximum duration of a run. After that the run is stopped and Failed with reason
	// DeadlineExceeded.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// TTLSecondsAfterFinished is how long a DagRun stays after it ended, whoever created it. Without it DagRuns are
	// not deleted after a time. A change also applies to runs that have already ended. Their history stays in the
	// database.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// ControllerClass is the class of the controllers that may claim this DAG. The default is the empty class.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerClass string `json:"controllerClass,omitempty"`

	// DSL is a field of later versions of the old Kontroler. It is rejected.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1048576
	DSL *string `json:"dsl,omitempty"`
}

// Parameter of a DAG: a plain value or a reference to a Secret, never the value of a Secret.
// An empty defaultValue or defaultFromSecret counts as absent if another of the three fields is set, as in old
// manifests.
//
// +kubebuilder:validation:XValidation:rule="has(self.defaultValue) || (has(self.defaultFromSecret) && size(self.defaultFromSecret) > 0) || has(self.defaultSecretKeyRef)",message="exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required"
// +kubebuilder:validation:XValidation:rule="[has(self.defaultValue) && size(self.defaultValue) > 0, has(self.defaultFromSecret) && size(self.defaultFromSecret) > 0, has(self.defaultSecretKeyRef)].filter(x, x).size() <= 1",message="exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required"
type Parameter struct {
	// Name of the parameter and of the environment variable in the tasks that use it: printable ASCII without "=".
	// Before Kubernetes 1.34 a Pod accepts only letters, digits, "_", "-" and ".", and no digit at the beginning.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[ -<>-~]+$`
	Name string `json:"name"`

	// DefaultValue is the value of runs that do not override it. Name, "=" and value together are shorter than 128
	// KiB, because Linux starts no process with a longer environment variable.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=131072
	DefaultValue *string `json:"defaultValue,omitempty"`

	// DefaultFromSecret names a Secret in the DAG's namespace. The value is that of its key "secret".
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

// WebhookEvent is an end of a task or run for which a webhook receives a request.
//
// +kubebuilder:validation:Enum=TaskSucceeded;TaskFailed;RunSucceeded;RunFailed;RunCancelled
type WebhookEvent string

// The events of a webhook.
const (
	EventTaskSucceeded WebhookEvent = "TaskSucceeded"
	EventTaskFailed    WebhookEvent = "TaskFailed"
	EventRunSucceeded  WebhookEvent = "RunSucceeded"
	EventRunFailed     WebhookEvent = "RunFailed"
	EventRunCancelled  WebhookEvent = "RunCancelled"
)

// Webhook receives a request when a task or the run ends, at least once and in the order in which they ended. Failed
// requests are retried for up to a day. A run uses the webhook of its version of the DAG.
type Webhook struct {
	// URL that receives the POST requests, http or https. Without it nothing is sent. Loopback, link-local and
	// metadata addresses are rejected; private addresses are not.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`

	// VerifySSL requires https and a certificate that the controller's system trusts. Without it certificates are not
	// checked.
	//
	// +optional
	VerifySSL bool `json:"verifySSL,omitempty"`

	// SecretRef names the Secret key that signs timestamp and body (HMAC-SHA256, in the header Kontroler-Signature).
	// It is read for each request.
	//
	// +optional
	SecretRef *SecretKeyRef `json:"secretRef,omitempty"`

	// Events that are sent. The default is all.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	Events []WebhookEvent `json:"events,omitempty"`
}

// Workspace is a PersistentVolumeClaim that each run gets before its first Pod. It is mounted at /workspace in every
// container of the tasks, and deleted when the run has ended.
type Workspace struct {
	// Enable the workspace.
	//
	// +optional
	Enable bool `json:"enable,omitempty"`

	// KeepOnFailure keeps the claim of a Failed run as long as its DagRun.
	//
	// +optional
	KeepOnFailure bool `json:"keepOnFailure,omitempty"`

	// PVC is the spec of the claim.
	//
	// +optional
	PVC WorkspaceClaim `json:"pvc,omitempty"`
}

// WorkspaceClaim is the spec of a workspace's PersistentVolumeClaim.
type WorkspaceClaim struct {
	// AccessModes of the claim. The default is ReadWriteOnce. Without ReadWriteMany the Pods of a run share a node.
	// With ReadWriteOncePod, which excludes other modes, a run has one active task at a time.
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

	// Resources of the claim. requests.storage is required.
	//
	// +optional
	Resources WorkspaceResources `json:"resources,omitempty"`

	// StorageClassName of the claim. The default is that of the cluster.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// VolumeMode of the claim: Filesystem (default). Block is rejected, because it cannot be mounted.
	//
	// +optional
	// +kubebuilder:validation:Enum=Filesystem;Block
	VolumeMode *corev1.PersistentVolumeMode `json:"volumeMode,omitempty"`
}

// WorkspaceResources are the resources of a workspace's claim.
type WorkspaceResources struct {
	// Limits of the claim, by resource.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Limits corev1.ResourceList `json:"limits,omitempty"`

	// Requests of the claim, by resource. Only storage has a meaning.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Requests corev1.ResourceList `json:"requests,omitempty"`

	// Claims is accepted in old manifests and ignored, because a PersistentVolumeClaim has none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Claims []corev1.ResourceClaim `json:"claims,omitempty"`
}

// ConditionReconciled of a DAG or DagRun is False while its syncs fail, with the error. Otherwise it is absent.
const ConditionReconciled = "Reconciled"

// The conditions of a DAG, beside Reconciled.
const (
	// DAGValid is True if the spec compiles. If it is False, its message lists every fault.
	DAGValid = "Valid"
	// DAGScheduled is False while the API server rejects the DagRun that is due, with its answer. Otherwise it is
	// absent.
	DAGScheduled = "Scheduled"
)

// DAGStatus is the state of a DAG as the controller last observed it.
type DAGStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Controller is the id of the controller that claimed the DAG.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Controller string `json:"controller,omitempty"`

	// ControllerNamespace is the namespace of that controller's Lease. A claim is void if the Lease is gone or has
	// long expired.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ControllerNamespace string `json:"controllerNamespace,omitempty"`

	// Version of the spec, counted from 1. It increases when the compiled spec changes.
	// +optional
	Version int64 `json:"version,omitempty"`

	// Tasks is the number of tasks.
	// +optional
	Tasks int32 `json:"tasks,omitempty"`

	// LastRun is the newest run.
	// +optional
	LastRun *LastRun `json:"lastRun,omitempty"`

	// LastScheduleTime is the due time of the newest run that the schedule created.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// NextScheduleTime is when the schedule is due next.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// Phase is a field of the existing Kontroler: Successful or Failed, as it left it. The condition Valid replaces
	// it.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Phase string `json:"phase,omitempty"`

	// Message is a field of the existing Kontroler. The message of the condition Valid replaces it.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Message string `json:"message,omitempty"`

	// Conditions are Valid, and while they are False also Scheduled and Reconciled.
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
