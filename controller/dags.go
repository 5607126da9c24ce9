package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/versions"
	"kontroler/store"
)

// compiled is a DAG that this controller has claimed. It is stored as a version, or has faults.
type compiled struct {
	dag     *v1alpha1.DAG
	graph   *dag.Graph
	version store.Version
	faults  field.ErrorList
}

// invalid returns why the DAG cannot run. The result is empty for a valid DAG.
func (c *compiled) invalid() string { return faultMessage(c.faults) }

var (
	errNoDAG   = errors.New("there is no such DAG")
	errNotOurs = errors.New("the DAG belongs to another controller")
)

// dagReconciler claims DAGs and stores the versions of DAGs and DagTasks.
type dagReconciler struct {
	*core
	queue, taskQueue *queue.Queue[cache.ObjectName] // of DAGs, of DagTasks
	graphs           *versions.Loader
	conditions       *dagConditions
	versions         versions.Saved
	leases           *otherLeases
	// compiles and saves share one read and store of an object between concurrent callers.
	compiles *versions.Shared[cache.ObjectName, *compiled]
	saves    *versions.Shared[cache.ObjectName, savedTask]
}

func newDAGReconciler(c *core, graphs *versions.Loader, conditions *dagConditions) *dagReconciler {
	return &dagReconciler{
		core: c, graphs: graphs, conditions: conditions, leases: newOtherLeases(),
		queue:     queue.New("dags", c.cfg.Metrics, queue.ByName),
		taskQueue: queue.New("dagtasks", c.cfg.Metrics, queue.ByName),
		compiles:  versions.NewShared[cache.ObjectName, *compiled](),
		saves:     versions.NewShared[cache.ObjectName, savedTask](),
	}
}

func (r *dagReconciler) syncDAG(ctx context.Context, key cache.ObjectName) error {
	return r.conditions.noteDAG(
		ctx,
		key,
		v1alpha1.ConditionReconciled,
		r.conditions.dagErrors,
		queue.Guard(key, func() error { return r.reconcileDAG(ctx, key) }),
	)
}

func (r *dagReconciler) reconcileDAG(ctx context.Context, key cache.ObjectName) error {
	r.versions.Drop(key) // its row may say that the DAG was deleted; compileDAG then stores it again
	c, err := r.compileDAG(ctx, key)
	switch {
	case errors.Is(err, errNoDAG):
		return r.dagGone(ctx, key)
	case errors.Is(err, errNotOurs):
		return nil
	case err != nil:
		return err
	}
	return r.reportDAG(ctx, c)
}

// compileDAG reads a DAG live, claims it, compiles it with the DagTasks that it names, and stores a new version if the
// compiled spec changed. The sync of a DAG and the admission of a run both use it. Runs of a DAG that are admitted at
// the same time share one call. It returns errNoDAG, errNotOurs, or an error that is worth a retry.
func (r *dagReconciler) compileDAG(ctx context.Context, key cache.ObjectName) (*compiled, error) {
	return r.compiles.Do(key, func() (*compiled, error) { return r.compile(ctx, key) })
}

func (r *dagReconciler) compile(ctx context.Context, key cache.ObjectName) (*compiled, error) {
	d, err := r.cfg.Client.KontrolerV1alpha1().DAGs(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, errNoDAG
	}
	if err != nil {
		return nil, fmt.Errorf("reading DAG %s: %w", key, err)
	}
	if d.DeletionTimestamp != nil {
		return nil, errNoDAG // a finalizer may keep the object for long
	}
	d, mine, err := r.claim(ctx, d)
	if err != nil {
		return nil, err
	}
	if !mine {
		return nil, errNotOurs
	}
	c := &compiled{dag: d}
	if version, ok := r.versions.Get(key, d); ok {
		c.version = version
		if c.graph, err = r.graphs.Load(ctx, version.ID); err == nil || !errors.Is(err, versions.ErrUnreadable) {
			return c, err
		}
	}
	resolved, err := r.resolveTasks(ctx, d)
	if err != nil {
		return nil, err
	}
	if c.graph, c.faults = dag.CompileWith(&d.Spec, resolved); len(c.faults) > 0 {
		return c, nil
	}
	encoded, err := dag.Encode(c.graph.Spec())
	if err != nil {
		// The database cannot store it, so the manifest is at fault.
		c.faults = field.ErrorList{field.Invalid(field.NewPath("spec"), field.OmitValueType{}, err.Error())}
		return c, nil
	}
	if c.version, err = r.saveVersion(ctx, d, encoded, c.graph.Len()); err != nil {
		return nil, err
	}
	r.versions.Put(key, d, c.version)
	r.scheduler.Enqueue(key) // its last sync may have found no row of the DAG
	return c, nil
}

func (r *dagReconciler) dagGone(ctx context.Context, key cache.ObjectName) error {
	r.versions.Drop(key)
	r.scheduler.Enqueue(key) // the DAG may have been deleted while there was no leader
	return r.db.DAGs.MarkDeleted(ctx, key.Namespace, key.Name, r.now())
}

func (r *dagReconciler) saveVersion(
	ctx context.Context, d *v1alpha1.DAG, encoded []byte, tasks int,
) (store.Version, error) {
	row := store.DAG{Namespace: d.Namespace, Name: d.Name, UID: string(d.UID), CreatedAt: d.CreationTimestamp.UTC()}
	version, err := r.db.DAGs.SaveVersion(ctx, row, encoded, dag.Hash(encoded), tasks, r.now())
	if err != nil {
		return store.Version{}, err
	}
	fault.Point("version-committed")
	return version, nil
}

// reportDAG updates the status of a DAG.
func (r *dagReconciler) reportDAG(ctx context.Context, c *compiled) error {
	d := c.dag
	status := d.Status.DeepCopy()
	status.ObservedGeneration = d.Generation
	status.Tasks = int32(len(d.Spec.Task))
	if c.version.Number != 0 {
		status.Version = c.version.Number
	}
	valid := metav1.Condition{
		Type:               v1alpha1.DAGValid,
		Status:             metav1.ConditionTrue,
		Reason:             "Compiled",
		ObservedGeneration: d.Generation,
		Message:            fmt.Sprintf("%d tasks, version %d", len(d.Spec.Task), c.version.Number),
	}
	if why := c.invalid(); why != "" {
		valid.Status, valid.Reason, valid.Message = metav1.ConditionFalse, "Invalid", why
	}
	changed := meta.SetStatusCondition(&status.Conditions, valid)
	// Earlier versions of the controller set Supported. Reconciled reported that earlier syncs had failed.
	changed = meta.RemoveStatusCondition(&status.Conditions, "Supported") || changed
	changed = meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciled) || changed
	if !changed && status.Version == d.Status.Version && status.ObservedGeneration == d.Status.ObservedGeneration {
		return nil
	}
	// If the DAG has changed since it was read, for example its claim or last run, the patch fails with a conflict.
	_, err := kube.PatchStatus(ctx, r.cfg.Client.KontrolerV1alpha1().DAGs(d.Namespace), d, status)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patching the status of DAG %s/%s: %w", d.Namespace, d.Name, err)
	}
	fault.Point("dag-reported")
	r.announce(d, valid, d.Status.Conditions, func() []string { return dag.Warnings(&d.Spec) })
	return nil
}

// announce writes Events once for each generation of an object: one if the object is not valid, and one with its
// warnings about ignored or misleading fields. conditionsBefore are the conditions that the object had before.
func (r *dagReconciler) announce(
	about runtime.Object, valid metav1.Condition, conditionsBefore []metav1.Condition, warnings func() []string,
) {
	before := meta.FindStatusCondition(conditionsBefore, valid.Type)
	wasObserved := before != nil && before.ObservedGeneration == valid.ObservedGeneration
	if valid.Status == metav1.ConditionFalse && !(wasObserved && before.Status == metav1.ConditionFalse) {
		r.events.Event(about, corev1.EventTypeWarning, valid.Reason, text.Shorten(valid.Message, text.MaxBytes))
	}
	if wasObserved {
		return
	}
	if found := warnings(); len(found) > 0 {
		message := text.Shorten(strings.Join(found, "; "), text.MaxBytes)
		r.events.Event(about, corev1.EventTypeWarning, "Discouraged", message)
	}
}

// faultMessage lists the faults, cut to what a condition can hold.
func faultMessage(faults field.ErrorList) string {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return text.Shorten(strings.Join(lines, "; "), 16<<10)
}
