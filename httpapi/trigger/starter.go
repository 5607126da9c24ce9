package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/objects"
	"kontroler/store/view"
)

// Starter starts runs.
type Starter struct {
	Objects objects.Client
	Views   *view.DB
	// Stored reads versions of DagTasks.
	Stored objects.StoredVersion
	// CheckOwn returns an error if the DAG belongs to another controller.
	CheckOwn func(context.Context, *v1alpha1.DAG) error
}

// Run is the DagRun of a request, created now or by an earlier request.
type Run struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Admitted reports that the run is in the database, and can be read by its UID.
	Admitted bool `json:"admitted"`
}

func runOf(r *v1alpha1.DagRun) *Run {
	return &Run{r.Namespace, r.Name, string(r.UID), r.Status.RunID != 0}
}

// Start creates the DagRun of a request, if the live DAG accepts the parameters. isNew is false if a concurrent request
// with the same key has created the DagRun.
func (s *Starter) Start(ctx context.Context, r *Request) (run *Run, isNew bool, err error) {
	wanted, err := s.prepare(ctx, r)
	if err != nil {
		return nil, false, err
	}
	created, err := s.Objects.CreateRun(ctx, wanted)
	if err == nil {
		return runOf(created), true, nil
	}
	if refusal, ok := errors.AsType[*objects.Refusal](err); !ok || refusal.Reason != objects.Exists || r.Key == "" {
		return nil, false, err
	}
	found, findErr := s.Find(ctx, r)
	if findErr != nil {
		return nil, false, findErr
	}
	if found == nil {
		return nil, false, err // the DagRun was deleted meanwhile
	}
	return found, false, nil
}

// Check returns the error that Start would return now. It creates nothing.
func (s *Starter) Check(ctx context.Context, r *Request) error {
	wanted, err := s.prepare(ctx, r)
	if err != nil {
		return err
	}
	return s.Objects.CheckRun(ctx, wanted)
}

// prepare returns the DagRun to create for a request, if the live DAG accepts the parameters.
func (s *Starter) prepare(ctx context.Context, r *Request) (*v1alpha1.DagRun, error) {
	d, err := s.Objects.DAGs(s.Stored).Get(ctx, r.Namespace, r.DAG)
	if err != nil {
		return nil, err
	}
	if d.DeletionTimestamp != nil {
		return nil, &objects.Refusal{Reason: objects.Denied, Detail: "The DAG is being deleted."}
	}
	if err := s.CheckOwn(ctx, d); err != nil {
		return nil, err
	}
	graph, faults, err := s.Objects.Compile(ctx, d, s.Stored)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, &objects.Refusal{
			Reason: objects.Denied,
			Detail: fmt.Sprintf("The DAG is not valid: %s. Correct it first.", summaryOf(faults)),
		}
	}
	overrides, err := r.overrides(graph)
	if err != nil {
		return nil, err
	}
	hash, err := r.hash()
	if err != nil {
		return nil, err
	}
	return r.newRun(d, overrides, hash), nil
}

// summaryOf returns the texts of the first faults, and the number of the others.
func summaryOf(faults field.ErrorList) string {
	const most = 3
	var texts []string
	for _, fault := range faults[:min(len(faults), most)] {
		texts = append(texts, fault.Error())
	}
	if more := len(faults) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// overrides returns the parameters of the DagRun: the given ones, and the inherited ones that differ from the defaults
// of the DAG. It refuses invalid ones. The faults name fields of the request.
func (r *Request) overrides(graph *dag.Graph) ([]v1alpha1.ParameterValue, error) {
	defaults, _ := graph.Resolve(nil) // the defaults of a graph are valid
	overrides := slices.Clone(r.Given)
	for _, inherited := range r.merged()[len(r.Given):] {
		isSame := func(d dag.Value) bool { return reflect.DeepEqual(overrideOf(d), inherited) }
		if !slices.ContainsFunc(defaults, isSame) {
			overrides = append(overrides, inherited)
		}
	}
	_, found := graph.Resolve(overrides)
	var faults []objects.Fault
	root := field.NewPath("spec", "parameters")
	for _, f := range found {
		fault := objects.Fault{Field: strings.TrimPrefix(f.Field, "spec."), Detail: f.ErrorBody()}
		for i := len(r.Given); i < len(overrides); i++ {
			if strings.HasPrefix(f.Field, root.Index(i).String()) {
				fault = objects.Fault{
					Field:  "parameters",
					Detail: fmt.Sprintf("parameter %q of the run: %s", overrides[i].Name, f.Detail),
				}
			}
		}
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return nil, &objects.Refusal{
			Reason: objects.Invalid, Detail: "The DAG does not take these parameters.", Faults: faults,
		}
	}
	return overrides, r.checkSecrets(overrides)
}

// CheckSecrets returns a *Refusal if a given parameter names a Secret and the user may not name Secrets.
func (r *Request) CheckSecrets() error { return r.checkSecrets(r.Given) }

func (r *Request) checkSecrets(overrides []v1alpha1.ParameterValue) error {
	namesSecret := func(p v1alpha1.ParameterValue) bool { return p.FromSecret != "" || p.SecretKeyRef != nil }
	i := slices.IndexFunc(overrides, namesSecret)
	if i < 0 || r.MayNameSecrets {
		return nil
	}
	return &objects.Refusal{Reason: objects.NotAllowed, Detail: fmt.Sprintf("You need the role editor in namespace %s "+
		"to choose the Secret of parameter %q: whoever names a Secret can read it.", r.Namespace, overrides[i].Name)}
}

// errKeyUsed is the error for a key that another request has used.
var errKeyUsed = &objects.Refusal{
	Reason: objects.Invalid, Detail: "The Idempotency-Key was used for another request. Use a new key.",
}

// Find returns the run that an earlier request with the key created, or nil if there is none. If that request differs
// from this one, the error is a *Refusal.
func (s *Starter) Find(ctx context.Context, r *Request) (*Run, error) {
	run, err := s.Objects.FindRun(ctx, r.Namespace, r.name())
	if err != nil {
		return nil, err
	}
	if run == nil {
		return s.findRow(ctx, r)
	}
	hash, err := r.hash()
	if err != nil {
		return nil, err
	}
	found := run.Annotations[v1alpha1.AnnotationRequest]
	switch {
	case found == "" || run.Spec.DagName != r.DAG || run.Annotations[v1alpha1.AnnotationRequestedBy] != r.User:
		return nil, &objects.Refusal{
			Reason: objects.Exists,
			Detail: fmt.Sprintf("Another DagRun has the name %s of this key. Use a new key.", run.Name),
		}
	case found != hash:
		return nil, errKeyUsed
	}
	return runOf(run), nil
}

func (s *Starter) findRow(ctx context.Context, r *Request) (*Run, error) {
	row, found, err := s.Views.NewestRun(ctx, r.Namespace, r.name())
	if err != nil || !found {
		return nil, err
	}
	isSame, err := s.isSameAsRow(ctx, r, row)
	if err == nil && !isSame {
		err = errKeyUsed
	}
	return &Run{row.Namespace, row.Name, row.UID, true}, err
}

// isSameAsRow reports whether a request is the one that created a run, from the row of the run. The row of a refused
// run has no parameters, so any request matches.
func (s *Starter) isSameAsRow(ctx context.Context, r *Request, row view.Run) (bool, error) {
	if row.DAG != r.DAG || row.RequestedBy != r.User {
		return false, nil
	}
	was, err := valuesOf(row)
	if err != nil || len(was) == 0 {
		return err == nil &&
			(row.VersionID == 0 || row.Phase == string(v1alpha1.RunFailed) || len(r.merged()) == 0), err
	}
	version, found, err := s.Views.VersionByID(ctx, row.VersionID)
	if err != nil || !found {
		return false, err
	}
	graph, err := dag.Load(version.Spec, version.Tasks)
	if err != nil {
		return false, fmt.Errorf("reading version %d of DAG %s/%s: %w", version.Number, row.Namespace, row.DAG, err)
	}
	is, faults := graph.Resolve(r.merged())
	return len(faults) == 0 && reflect.DeepEqual(was, is), nil
}

// ParametersOf returns the parameters of a run as overrides. The row of a refused run has none, so they come from its
// DagRun.
func (s *Starter) ParametersOf(ctx context.Context, row view.Run) (overrides []v1alpha1.ParameterValue, err error) {
	values, err := valuesOf(row)
	if err != nil {
		return nil, err
	}
	for _, value := range values {
		overrides = append(overrides, overrideOf(value))
	}
	if len(values) > 0 {
		return overrides, nil
	}
	run, err := s.Objects.FindRun(ctx, row.Namespace, row.Name)
	if err != nil || run == nil || string(run.UID) != row.UID {
		return nil, err
	}
	return run.Spec.Parameters, nil
}

func valuesOf(row view.Run) (values []dag.Value, err error) {
	if err := json.Unmarshal(row.Parameters, &values); err != nil {
		return nil, fmt.Errorf("reading the parameters of run %d: %w", row.ID, err)
	}
	return values, nil
}

func overrideOf(value dag.Value) v1alpha1.ParameterValue {
	if value.Value != nil {
		return v1alpha1.ParameterValue{Name: value.Name, Value: value.Value}
	}
	return v1alpha1.ParameterValue{
		Name: value.Name, SecretKeyRef: &v1alpha1.SecretKeyRef{Name: value.Secret, Key: value.Key},
	}
}
