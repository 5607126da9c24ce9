package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// requestTimeout bounds a read that bypasses the watch.
	requestTimeout = 5 * time.Second
	// listPage is how many DagRuns one request lists, and maxListPages how many requests a list takes at most.
	listPage     = 500
	maxListPages = 10
	// maxLists is how many namespaces are listed concurrently.
	maxLists = 10
)

// LiveDAG reads a DAG from the API server, not from the watch. manifest is the JSON of the object without its managed
// fields. found is false if the DAG does not exist or is being deleted. The error of a failed request is an *Error.
func (r *Reader) LiveDAG(ctx context.Context, namespace, name string) (
	dag *v1alpha1.DAG, manifest json.RawMessage, found bool, err error,
) {
	return read[v1alpha1.DAG](ctx, r, "dags", namespace, name)
}

// LiveDagTask reads a DagTask like LiveDAG.
func (r *Reader) LiveDagTask(ctx context.Context, namespace, name string) (
	task *v1alpha1.DagTask, manifest json.RawMessage, found bool, err error,
) {
	return read[v1alpha1.DagTask](ctx, r, "dagtasks", namespace, name)
}

// LiveRun reads a DagRun like LiveDAG.
func (r *Reader) LiveRun(ctx context.Context, namespace, name string) (run *v1alpha1.DagRun, found bool, err error) {
	run, _, found, err = read[v1alpha1.DagRun](ctx, r, "dagruns", namespace, name)
	return run, found, err
}

// read reads an object from the API server.
func read[T any, P interface {
	*T
	metav1.Object
}](ctx context.Context, r *Reader, resource, namespace, name string) (
	object P, manifest json.RawMessage, found bool, err error,
) {
	if !r.Serves(namespace) || !isName(namespace) || !isName(name) {
		return nil, nil, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	result := r.clients.Kontroler.KontrolerV1alpha1().RESTClient().Get().
		Namespace(namespace).Resource(resource).Name(name).SetHeader("Accept", "application/json").Do(ctx)
	raw, err := result.Raw()
	if err != nil {
		err = result.Error() // unlike the error of Raw, it has the details that IsAbsent needs
	}
	if IsAbsent(err) {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, request{"get", resource, namespace}.failed(err)
	}
	object = new(T)
	if err = json.Unmarshal(raw, object); err == nil {
		manifest, err = withoutManagedFields(raw)
	}
	if err != nil {
		return nil, nil, false, fmt.Errorf("decoding %s %s/%s: %w", resource, namespace, name, err)
	}
	return object, manifest, object.GetDeletionTimestamp() == nil, nil
}

// isName reports whether a text is a valid path segment for the name of an object.
func isName(text string) bool { return text != "" && len(rest.IsValidPathSegmentName(text)) == 0 }

// withoutManagedFields returns the JSON of an object without metadata.managedFields. It keeps unknown fields.
func withoutManagedFields(raw []byte) (json.RawMessage, error) {
	var object, meta map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(object["metadata"], &meta); err != nil {
		return nil, err
	}
	delete(meta, "managedFields")
	var err error
	if object["metadata"], err = json.Marshal(meta); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// Pending are the DagRuns of a scope whose status has no run: no controller has seen them, or they wait for their DAG.
// HasMore reports that there may be more, because a list was too long.
type Pending struct {
	List[*v1alpha1.DagRun]
	HasMore bool
}

// Pending lists the DagRuns of a scope whose status has no run. If no namespace can be read, the error is an *Error.
func (r *Reader) Pending(ctx context.Context, scope Scope) (found Pending, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	namespaces := r.listed(scope)
	lists, outcomes := make([]pendingRuns, len(namespaces)), make([]outcome, len(namespaces))
	var wg sync.WaitGroup
	turns := make(chan struct{}, maxLists)
	for i, namespace := range namespaces { // concurrently, so that a slow namespace does not delay the others
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			var err error
			lists[i], err = r.sharedList(namespace).do(func() (pendingRuns, error) {
				// Other callers share this list, so it must not end when one caller leaves.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
				defer cancel()
				return r.pendingIn(ctx, namespace)
			})
			outcomes[i] = outcome{namespace, request{"list", "dagruns", namespace}.failed(err)}
			if source, ok := r.dagRuns[namespace]; ok {
				source.note(err)
			}
		})
	}
	wg.Wait()
	if found.Unavailable, err = unavailable(outcomes); err != nil {
		return Pending{}, err
	}
	seen := map[types.UID]bool{}
	for _, list := range lists {
		found.HasMore = found.HasMore || list.isCut
		for _, run := range list.runs {
			if scope.Has(run.Namespace) && r.Serves(run.Namespace) && !seen[run.UID] {
				seen[run.UID] = true
				found.Items = append(found.Items, run)
			}
		}
	}
	return found, nil
}

// listed returns the namespaces to list for a scope. If the Reader has all namespaces, one list of all serves a scope
// of more than five.
func (r *Reader) listed(scope Scope) (namespaces []string) {
	names, isAll := scope.Names()
	if len(r.namespaces) == 0 {
		if isAll || len(names) > 5 {
			return []string{metav1.NamespaceAll}
		}
		return names
	}
	for _, namespace := range r.namespaces {
		if scope.Has(namespace) {
			namespaces = append(namespaces, namespace)
		}
	}
	return namespaces
}

// pendingRuns are the pending DagRuns of a list. isCut says that the list was too long, isOfAll that the API server did
// not apply the field selector.
type pendingRuns struct {
	runs           []*v1alpha1.DagRun
	isCut, isOfAll bool
}

// sharedList makes one list at a time. Callers share a list if they called before it began, so it has everything that
// existed when they called.
type sharedList struct {
	mu     sync.Mutex
	next   *flight       // the list that begins next; nil if no caller waits for it
	making chan struct{} // full while a list is made
}

func newSharedList() *sharedList { return &sharedList{making: make(chan struct{}, 1)} }

type flight struct {
	isDone bool
	runs   pendingRuns
	err    error
}

// do returns the result of a call of list that begins after the call of do. Concurrent callers may share one.
func (s *sharedList) do(list func() (pendingRuns, error)) (pendingRuns, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = &flight{}
	}
	own := s.next
	s.mu.Unlock()
	s.making <- struct{}{}
	defer func() { <-s.making }()
	if own.isDone {
		return own.runs, own.err
	}
	s.mu.Lock()
	s.next = nil // later callers need a later list
	s.mu.Unlock()
	own.runs, own.err = list()
	own.isDone = true
	return own.runs, own.err
}

// sharedList returns the sharedList of a namespace, or of all namespaces if it is empty.
func (r *Reader) sharedList(namespace string) *sharedList {
	shared, _ := r.pending.LoadOrStore(namespace, newSharedList())
	return shared.(*sharedList)
}

// pendingIn lists the pending DagRuns of a namespace, or of all namespaces if it is empty. A DagRun whose phase changes
// between the two lists is in both.
func (r *Reader) pendingIn(ctx context.Context, namespace string) (pending pendingRuns, err error) {
	for _, phase := range []string{"", string(v1alpha1.RunPending)} {
		found, err := r.pendingBy(ctx, namespace, "status.phase="+phase)
		if err != nil {
			return pendingRuns{}, err
		}
		pending.runs = append(pending.runs, found.runs...)
		pending.isCut = pending.isCut || found.isCut
		if found.isOfAll {
			break
		}
	}
	return pending, nil
}

// pendingBy lists the pending DagRuns that a field selector selects. If the API server does not support the field,
// before Kubernetes 1.31 or with older CustomResourceDefinitions, it lists all DagRuns and filters them here.
func (r *Reader) pendingBy(ctx context.Context, namespace, selector string) (pending pendingRuns, err error) {
	options := metav1.ListOptions{FieldSelector: selector, Limit: listPage}
	for range maxListPages {
		list, err := r.clients.Kontroler.KontrolerV1alpha1().DagRuns(namespace).List(ctx, options)
		if apierrors.IsBadRequest(err) && options.FieldSelector != "" {
			options.FieldSelector, pending.isOfAll = "", true
			list, err = r.clients.Kontroler.KontrolerV1alpha1().DagRuns(namespace).List(ctx, options)
		}
		if apierrors.IsResourceExpired(err) {
			pending.isCut = true
			return pending, nil // the list took longer than the API server keeps it
		}
		if err != nil {
			return pendingRuns{}, err
		}
		for i := range list.Items {
			if isPending(&list.Items[i]) {
				pending.runs = append(pending.runs, &list.Items[i])
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return pending, nil
		}
	}
	pending.isCut = true
	return pending, nil
}

// isPending reports whether a DagRun waits for a controller to admit it.
func isPending(run *v1alpha1.DagRun) bool {
	return run.Status.RunID == 0 && !run.Status.Phase.Ended() && run.DeletionTimestamp == nil &&
		!run.IsOtherKontrolers()
}
