package engine

// Phases of a run.
const (
	RunPending   = "Pending"
	RunRunning   = "Running"
	RunSucceeded = "Succeeded"
	RunFailed    = "Failed"
	RunCancelled = "Cancelled"
)

// Phases of a task.
const (
	TaskWaiting   = "Waiting"
	TaskReady     = "Ready"
	TaskActive    = "Active"
	TaskSucceeded = "Succeeded"
	TaskFailed    = "Failed"
	TaskSkipped   = "Skipped"
	TaskCancelled = "Cancelled"
)

// Phases of an attempt. The first four are live.
const (
	AttemptDecided   = "Decided"
	AttemptPending   = "Pending"
	AttemptRunning   = "Running"
	AttemptStopping  = "Stopping"
	AttemptSucceeded = "Succeeded"
	AttemptFailed    = "Failed"
	AttemptLost      = "Lost"
	AttemptCancelled = "Cancelled"
)

// Reasons of a run.
const (
	ReasonDagNotFound       = "DagNotFound"
	ReasonDagTaskNotFound   = "DagTaskNotFound"
	ReasonInvalidDag        = "InvalidDag"
	ReasonInvalidParameters = "InvalidParameters"
	ReasonDeadlineExceeded  = "DeadlineExceeded"
	ReasonTaskFailed        = "TaskFailed"
	ReasonUserCancelled     = "UserCancelled"
	ReasonDeleted           = "Deleted"
	ReasonHistoryLost       = "HistoryLost"
	ReasonVersionUnreadable = "VersionUnreadable"
)

// Reasons of a task.
const (
	ReasonBackingOff                 = "BackingOff"
	ReasonParentFailed               = "ParentFailed"
	ReasonRetriesSpent               = "RetriesSpent"
	ReasonNotRetryable               = "NotRetryable"
	ReasonInfrastructureRetriesSpent = "InfrastructureRetriesSpent"
)

// Reasons of an attempt that does not run yet.
const (
	ReasonQuotaExceeded        = "QuotaExceeded"
	ReasonCreateRefused        = "CreateRefused"
	ReasonNamespaceTerminating = "NamespaceTerminating"
	ReasonCreateFailed         = "CreateFailed"
	ReasonUnschedulable        = "Unschedulable"
	ReasonImagePullBackOff     = "ImagePullBackOff"
	ReasonContainerCreating    = "ContainerCreating"
	ReasonPodInitializing      = "PodInitializing"
)

// Reasons of an attempt that ended.
const (
	ReasonExitCode     = "ExitCode"
	ReasonOOMKilled    = "OOMKilled"
	ReasonStorageLimit = "StorageLimit"
	ReasonTimeout      = "Timeout"
	ReasonStartFailed  = "StartFailed"
	ReasonNameTaken    = "NameTaken"
	ReasonPodDeleted   = "PodDeleted"
	ReasonDisrupted    = "Disrupted"
	ReasonEvicted      = "Evicted"
	ReasonNodeLost     = "NodeLost"
	ReasonRefused      = "Refused"
)

// Holds state why the Ready tasks of a run do not start, if one reason applies to all of them. A hold may also be the
// reason for which the namespace rejects Pods: QuotaExceeded, NamespaceTerminating or CreateFailed.
const (
	HoldMaxParallel = "MaxParallel"
	HoldThrottled   = "Throttled"
)
