package dags

import (
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
	"kontroler/store/view"
)

// Object has the fields that DAGs and DagTasks have in common.
type Object struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	UID        string            `json:"uid"`
	Generation int64             `json:"generation,omitempty"`
	CreatedAt  time.Time         `json:"createdAt"`
	Labels     map[string]string `json:"labels"`
	// Valid is whether the controller accepts the current spec, nil if it has not validated it yet. Message says why it
	// does not.
	Valid   *bool  `json:"valid"`
	Message string `json:"message,omitempty"`
	// ReadOnly means that another controller has claimed the object.
	ReadOnly bool `json:"readOnly"`
	// Manager is the field manager that wrote the spec, such as kubectl-client-side-apply.
	Manager string `json:"manager,omitempty"`
}

// DAG is a DAG in a list. One that was deleted has no generation, schedule or validity.
type DAG struct {
	Object
	Schedule  *Schedule `json:"schedule,omitempty"`
	Suspended bool      `json:"suspended"`
	// NextDueAt is the next due time of the schedule, from the status of the DAG.
	NextDueAt *time.Time `json:"nextDueAt,omitempty"`
	DeletedAt *time.Time `json:"deletedAt,omitempty"`
	// TypicalDurationSeconds is the median duration of the last successful runs. It is missing if there is none.
	TypicalDurationSeconds float64 `json:"typicalDurationSeconds,omitempty"`
	// Runs are the newest runs, newest first.
	Runs []LastRun `json:"runs"`
}

// Schedule is when a DAG is due.
type Schedule struct {
	Cron     []string `json:"cron"`
	TimeZone string   `json:"timeZone,omitempty"`
}

// LastRun is a run of a DAG in a list of DAGs.
type LastRun struct {
	UID        string     `json:"uid"`
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	CreatedAt  time.Time  `json:"createdAt"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// DAGDetail is one DAG. Manifest is the live object without managed fields. It is missing if the DAG was deleted.
type DAGDetail struct {
	DAG
	Manifest json.RawMessage `json:"manifest,omitempty"`
}

// DagTask is a DagTask in a list. Version is the one that DAGs use if they pin none.
type DagTask struct {
	Object
	Version int64 `json:"version,omitempty"`
}

// DagTaskDetail is one DagTask. Manifest is the live object without managed fields.
type DagTaskDetail struct {
	DagTask
	Manifest json.RawMessage `json:"manifest"`
}

// objectOf returns the fields that DAGs and DagTasks have in common. claimant is the id of the controller that has
// claimed the object, controllerID that of the controller that owns the database.
func objectOf(o metav1.Object, claimant, controllerID string, conditions []metav1.Condition) Object {
	shown := Object{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()), Generation: o.GetGeneration(),
		CreatedAt: o.GetCreationTimestamp().UTC(), Labels: o.GetLabels(), Manager: cluster.Manager(o),
		ReadOnly: claimant != "" && claimant != controllerID,
	}
	if shown.Labels == nil {
		shown.Labels = map[string]string{}
	}
	if valid := verdict(conditions, o.GetGeneration()); valid != nil {
		isValid := valid.Status == metav1.ConditionTrue
		shown.Valid = &isValid
		if !isValid {
			shown.Message = valid.Message
		}
	}
	return shown
}

// verdict returns the condition Valid if it is True or False for this generation, else nil. The condition has the same
// type for DAGs and DagTasks.
func verdict(conditions []metav1.Condition, generation int64) *metav1.Condition {
	valid := meta.FindStatusCondition(conditions, v1alpha1.DAGValid)
	if valid == nil || valid.Status == metav1.ConditionUnknown || valid.ObservedGeneration != generation {
		return nil
	}
	return valid
}

// dagOf returns a live DAG without its runs.
func dagOf(d *v1alpha1.DAG, controllerID string) DAG {
	shown := DAG{
		Object:    objectOf(d, d.Status.Controller, controllerID, d.Status.Conditions),
		Suspended: d.Spec.Suspended, NextDueAt: nextDue(d), Runs: []LastRun{},
	}
	if expression, zone := dag.SplitSchedule(&d.Spec); expression != "" {
		shown.Schedule = &Schedule{[]string{expression}, zone}
	}
	return shown
}

// nextDue returns the next due time of a DAG, or nil. A DAG that is suspended or has lost its schedule has none, even
// if its status still names one.
func nextDue(d *v1alpha1.DAG) *time.Time {
	if d.Status.NextScheduleTime == nil || d.Spec.Suspended || d.Spec.Schedule == "" {
		return nil
	}
	due := d.Status.NextScheduleTime.UTC()
	return &due
}

// deletedOf returns a deleted DAG from its row.
func deletedOf(row view.DAG) DAG {
	return DAG{
		Object: Object{
			Namespace: row.Namespace, Name: row.Name, UID: row.UID, CreatedAt: row.CreatedAt,
			Labels: map[string]string{},
		},
		DeletedAt: optional(row.DeletedAt), Runs: []LastRun{},
	}
}

func dagTaskOf(t *v1alpha1.DagTask, controllerID string) DagTask {
	return DagTask{objectOf(t, t.Status.Controller, controllerID, t.Status.Conditions), t.Status.Version}
}

// add adds the last runs of a DAG, and their typical duration.
func (d *DAG) add(recent view.Recent) {
	d.TypicalDurationSeconds = recent.TypicalDuration.Seconds()
	for _, r := range recent.Runs {
		d.Runs = append(d.Runs, LastRun{
			r.UID, r.Name, r.Phase, r.CreatedAt, optional(r.StartedAt), optional(r.FinishedAt),
		})
	}
}

// optional returns nil for the zero time, so that JSON omits it.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
