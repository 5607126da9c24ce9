package dags

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
	"kontroler/store/view"
)

// Reader reads the cluster and the database.
type Reader struct {
	Cluster *cluster.Reader
	Views   *view.DB
}

// Filter selects DAGs or DagTasks. Zero fields select all.
type Filter struct {
	// Search is a substring of the name.
	Search string
	Labels labels.Selector
	// Suspended and Valid apply to DAGs only. Valid is "true", "false", or "unknown" if the controller has not
	// validated the current spec.
	Suspended *bool
	Valid     string
	// LastRun selects the DAGs whose newest run is in one of these phases.
	LastRun []string
	// IsDeleted selects the DAGs that were deleted. Only Search applies to them.
	IsDeleted bool
}

func (f Filter) hasMeta(name string, set map[string]string) bool {
	return strings.Contains(name, f.Search) && (f.Labels == nil || f.Labels.Matches(labels.Set(set)))
}

func (f Filter) hasDAG(d *v1alpha1.DAG) bool {
	return f.hasMeta(d.Name, d.Labels) && (f.Suspended == nil || *f.Suspended == d.Spec.Suspended) &&
		(f.Valid == "" || f.Valid == validity(d))
}

func validity(d *v1alpha1.DAG) string {
	switch valid := verdict(d.Status.Conditions, d.Generation); {
	case valid == nil:
		return "unknown"
	default:
		return strings.ToLower(string(valid.Status))
	}
}

// Place is where a page of a list begins: after the name From, or, if IsBackward, before it.
type Place struct {
	From       view.DAGName
	IsBackward bool
}

// pageOf returns a page of at most limit objects. The objects must be sorted by namespace and name.
func pageOf[T any](objects []T, at Place, limit int, nameOf func(T) (namespace, name string)) []T {
	place, found := find(objects, at.From, nameOf)
	if at.IsBackward {
		return objects[max(0, place-limit):place]
	}
	if found {
		place++
	}
	return objects[place:min(len(objects), place+limit)]
}

// find returns the index of a name in objects sorted by namespace and name, or the index where it would be inserted.
func find[T any](objects []T, wanted view.DAGName, nameOf func(T) (namespace, name string)) (place int, found bool) {
	return slices.BinarySearchFunc(objects, wanted, func(o T, wanted view.DAGName) int {
		namespace, name := nameOf(o)
		return cluster.CompareNames(namespace, name, wanted.Namespace, wanted.Name)
	})
}

// DAGs returns a page of at most limit DAGs, sorted by namespace and name, each with its last runs.
func (r *Reader) DAGs(
	ctx context.Context, scope view.Scope, filter Filter, at Place, limit int,
) (shown cluster.List[DAG], err error) {
	live, err := r.Cluster.DAGs(scope)
	if err != nil {
		return shown, err
	}
	shown.Unavailable = live.Unavailable
	if filter.IsDeleted {
		shown.Items, err = r.deleted(ctx, scope, filter, at, limit, live)
	} else {
		matching := slices.DeleteFunc(live.Items, func(d *v1alpha1.DAG) bool { return !filter.hasDAG(d) })
		if matching, err = r.byLastRun(ctx, scope, filter, matching); err != nil {
			return shown, err
		}
		shown.Items, err = viewAll(ctx, r, pageOf(matching, at, limit, nameOfDAG), dagOf)
	}
	if err != nil {
		return shown, err
	}
	return shown, r.addRecent(ctx, shown.Items)
}

func nameOfDAG(d *v1alpha1.DAG) (namespace, name string) { return d.Namespace, d.Name }

// byLastRun returns the DAGs in live whose last run the filter selects. It changes live.
func (r *Reader) byLastRun(
	ctx context.Context, scope view.Scope, filter Filter, live []*v1alpha1.DAG,
) ([]*v1alpha1.DAG, error) {
	if filter.LastRun == nil {
		return live, nil
	}
	selected, err := r.Views.ByLastRun(ctx, scope, filter.LastRun)
	return slices.DeleteFunc(live, func(d *v1alpha1.DAG) bool {
		return !selected[view.DAGName{Namespace: d.Namespace, Name: d.Name}]
	}), err
}

// viewAll converts objects with show, which gets the id of the controller that owns the database.
func viewAll[T, V any](ctx context.Context, r *Reader, objects []T, show func(T, string) V) ([]V, error) {
	controllerID, err := r.Views.ControllerID(ctx)
	if err != nil {
		return nil, err
	}
	shown := make([]V, len(objects))
	for i, object := range objects {
		shown[i] = show(object, controllerID)
	}
	return shown, nil
}

// addRecent adds to each DAG its last runs, with one query.
func (r *Reader) addRecent(ctx context.Context, shown []DAG) error {
	names := make([]view.DAGName, len(shown))
	for i, d := range shown {
		names[i] = view.DAGName{Namespace: d.Namespace, Name: d.Name}
	}
	recent, err := r.Views.RecentRuns(ctx, names)
	for i := range shown {
		shown[i].add(recent[names[i]])
	}
	return err
}

// deleted returns a page of the deleted DAGs without a live object. It omits those in namespaces that cannot be read.
// The row of a deleted DAG may have a live object: one that was created again and has never been valid has no row of
// its own.
func (r *Reader) deleted(
	ctx context.Context, scope view.Scope, filter Filter, at Place, limit int, live cluster.List[*v1alpha1.DAG],
) ([]DAG, error) {
	var shown []DAG
	for len(shown) < limit {
		rows, err := r.Views.Deleted(ctx, scope, filter.Search, at.From, at.IsBackward, limit)
		if err != nil {
			return nil, err
		}
		var found []DAG
		for _, row := range rows {
			name := view.DAGName{Namespace: row.Namespace, Name: row.Name}
			if _, isLive := find(live.Items, name, nameOfDAG); !isLive && !live.Lacks(row.Namespace) {
				found = append(found, deletedOf(row))
			}
		}
		if at.IsBackward {
			shown = slices.Concat(found, shown)
			shown = shown[max(0, len(shown)-limit):]
		} else {
			shown = append(shown, found...)
			shown = shown[:min(len(shown), limit)]
		}
		if len(rows) < limit {
			break
		}
		last := rows[len(rows)-1]
		if at.IsBackward {
			last = rows[0]
		}
		at.From = view.DAGName{Namespace: last.Namespace, Name: last.Name}
	}
	return shown, nil
}

// DAG reads one DAG: the live object, or else the row of a deleted DAG.
func (r *Reader) DAG(ctx context.Context, namespace, name string) (detail DAGDetail, found bool, err error) {
	live, manifest, found, err := r.Cluster.LiveDAG(ctx, namespace, name)
	if err != nil {
		return DAGDetail{}, false, err
	}
	if found {
		shown, err := viewAll(ctx, r, []*v1alpha1.DAG{live}, dagOf)
		if err != nil {
			return DAGDetail{}, false, err
		}
		detail = DAGDetail{shown[0], manifest}
	} else {
		row, isKnown, err := r.Views.DAG(ctx, namespace, name)
		if err != nil || !isKnown {
			return DAGDetail{}, false, err
		}
		detail.DAG = deletedOf(row)
	}
	one := []DAG{detail.DAG}
	err = r.addRecent(ctx, one)
	detail.DAG = one[0]
	return detail, err == nil, err
}

// DagTasks returns a page of at most limit DagTasks, sorted by namespace and name.
func (r *Reader) DagTasks(
	ctx context.Context, scope view.Scope, filter Filter, at Place, limit int,
) (shown cluster.List[DagTask], err error) {
	live, err := r.Cluster.DagTasks(scope)
	if err != nil {
		return shown, err
	}
	shown.Unavailable = live.Unavailable
	matching := slices.DeleteFunc(live.Items, func(t *v1alpha1.DagTask) bool {
		return !filter.hasMeta(t.Name, t.Labels)
	})
	page := pageOf(matching, at, limit, func(t *v1alpha1.DagTask) (string, string) { return t.Namespace, t.Name })
	shown.Items, err = viewAll(ctx, r, page, dagTaskOf)
	return shown, err
}

// DagTask reads one DagTask.
func (r *Reader) DagTask(ctx context.Context, namespace, name string) (detail DagTaskDetail, found bool, err error) {
	live, manifest, found, err := r.Cluster.LiveDagTask(ctx, namespace, name)
	if err != nil || !found {
		return DagTaskDetail{}, false, err
	}
	shown, err := viewAll(ctx, r, []*v1alpha1.DagTask{live}, dagTaskOf)
	if err != nil {
		return DagTaskDetail{}, false, err
	}
	return DagTaskDetail{shown[0], manifest}, true, nil
}

// Name is the namespace and the name of a DAG.
type Name struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Users lists the DAGs that use a DagTask. found reports whether the DagTask exists.
func (r *Reader) Users(namespace, name string) (users []Name, found bool, err error) {
	if _, found, err = r.Cluster.DagTask(namespace, name); err != nil || !found {
		return nil, false, err
	}
	all, err := r.Cluster.DAGs(view.Namespaces(namespace))
	users = []Name{}
	for _, d := range all.Items {
		if slices.ContainsFunc(d.Spec.Task, func(t v1alpha1.Task) bool { return t.TaskRef.Name == name }) {
			users = append(users, Name{d.Namespace, d.Name})
		}
	}
	return users, err == nil, err
}

// Namespace is a namespace. DAGs is the number of its DAGs, nil if it is not known.
type Namespace struct {
	Name string
	DAGs *int
}

// Namespaces lists the namespaces of a scope that have DAGs, or that the scope or --namespaces names, sorted by name.
func (r *Reader) Namespaces(scope view.Scope) (list cluster.List[Namespace], err error) {
	live, err := r.Cluster.DAGs(scope)
	names, _ := scope.Names()
	counts := map[string]int{}
	for _, namespace := range append(names, r.Cluster.Namespaces()...) {
		if scope.Has(namespace) {
			counts[namespace] = 0
		}
	}
	for _, d := range live.Items {
		counts[d.Namespace]++
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		namespace := Namespace{Name: name}
		if !live.Lacks(name) {
			namespace.DAGs = new(counts[name])
		}
		list.Items = append(list.Items, namespace)
	}
	list.Unavailable = live.Unavailable
	return list, err
}

// Due is a future due time of a DAG.
type Due struct {
	Namespace string    `json:"namespace"`
	DAG       string    `json:"dag"`
	DueAt     time.Time `json:"dueAt"`
}

// Upcoming lists the next due times of the DAGs of a scope, soonest first, at most limit.
func (r *Reader) Upcoming(scope view.Scope, limit int) (cluster.List[Due], error) {
	live, err := r.Cluster.DAGs(scope)
	upcoming := []Due{}
	for _, d := range live.Items {
		if at := nextDue(d); at != nil {
			upcoming = append(upcoming, Due{d.Namespace, d.Name, *at})
		}
	}
	slices.SortStableFunc(upcoming, func(a, b Due) int { return a.DueAt.Compare(b.DueAt) })
	return cluster.List[Due]{Items: upcoming[:min(limit, len(upcoming))], Unavailable: live.Unavailable}, err
}

// Invalid is a DAG that does not run because its spec is not valid.
type Invalid struct {
	Name
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Invalid lists the DAGs of a scope that are not valid, by namespace and name.
func (r *Reader) Invalid(scope view.Scope) (cluster.List[Invalid], error) {
	live, err := r.Cluster.DAGs(scope)
	list := cluster.List[Invalid]{Items: []Invalid{}, Unavailable: live.Unavailable}
	for _, d := range live.Items {
		if validity(d) == "false" {
			valid := verdict(d.Status.Conditions, d.Generation)
			since := valid.LastTransitionTime.UTC()
			list.Items = append(list.Items, Invalid{Name{d.Namespace, d.Name}, valid.Message, since})
		}
	}
	return list, err
}
