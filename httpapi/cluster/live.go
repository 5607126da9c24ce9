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
	// requestTimeout bounds a read past the watch.
	requestTimeout = 5 * time.Second
	// listPage is how many DagRuns one request lists, and maxListPages how many requests a list takes at most.
	listPage     = 500
	maxListPages = 10
	// maxLists is how many namespaces are listed at a time.
	maxLists = 10
)

// LiveDAG reads a DAG past the watch. manifest is the object as the API server has it, without its managed fields.
func (r *Reader) LiveDAG(ctx context.Context, namespace, name string) (
	dag *v1alpha1.DAG, manifest json.RawMessage, found bool, err error,
) {
	return read[v1alpha1.DAG](ctx, r, "dags", namespace, name)
}

// LiveDagTask reads a DagTask as LiveDAG reads a DAG.
func (r *Reader) LiveDagTask(ctx context.Context, namespace, name string) (
	task *v1alpha1.DagTask, manifest json.RawMessage, found bool, err error,
) {
	return read[v1alpha1.DagTask](ctx, r, "dagtasks", namespace, name)
}

// LiveRun reads a DagRun.
func (r *Reader) LiveRun(ctx context.Context, namespace, name string) (run *v1alpha1.DagRun, found bool, err error) {
	run, _, found, err = read[v1alpha1.DagRun](ctx, r, "dagruns", namespace, name)
	return run, found, err
}

// read reads an object. found is false if it does not exist or is being deleted.
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
		err = result.Error() // The error of Raw does not say what is absent.
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

// isName reports whether a text can be the name of an object in a path.
func isName(text string) bool { return text != "" && len(rest.IsValidPathSegmentName(text)) == 0 }

// withoutManagedFields returns an object without its managed fields. The rest stays as it is.
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

// Pending are the DagRuns of a scope that have no row as far as they say: no controller has seen them, or they wait for
// their DAG. HasMore reports that there may be more, because a list was too long.
type Pending struct {
	List[*v1alpha1.DagRun]
	HasMore bool
}

// Pending lists the DagRuns without a row.
func (r *Reader) Pending(ctx context.Context, scope Scope) (found Pending, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	namespaces := r.listed(scope)
	lists, outcomes := make([]pendingRuns, len(namespaces)), make([]outcome, len(namespaces))
	var wg sync.WaitGroup
	turns := make(chan struct{}, maxLists)
	for i, namespace := range namespaces { // together, so that none waits for one that does not answer
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			var err error
			lists[i], err = r.sharedList(namespace).do(func() (pendingRuns, error) {
				// Callers who leave do not fail those who stay.
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

// listed returns the namespaces to list for a scope. A scope of many namespaces is found in a list of all.
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

// pendingRuns are DagRuns that are pending. isCut says that the list was too long, isOfAll that no selector applied.
type pendingRuns struct {
	runs           []*v1alpha1.DagRun
	isCut, isOfAll bool
}

// sharedList makes one list at a time. All callers who asked before a list begins share it, so it lacks nothing that
// existed when they asked.
type sharedList struct {
	mu     sync.Mutex
	next   *flight       // the list that the next caller begins; nil if nobody waits for one
	making chan struct{} // full while a list is made
}

func newSharedList() *sharedList { return &sharedList{making: make(chan struct{}, 1)} }

type flight struct {
	isDone bool
	runs   pendingRuns
	err    error
}

// do returns the result of a list that begins after this call.
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
	s.next = nil // Whoever asks from now on needs a later list.
	s.mu.Unlock()
	own.runs, own.err = list()
	own.isDone = true
	return own.runs, own.err
}

// sharedList returns that of a namespace, or of all if it is empty.
func (r *Reader) sharedList(namespace string) *sharedList {
	shared, _ := r.pending.LoadOrStore(namespace, newSharedList())
	return shared.(*sharedList)
}

// pendingIn lists the DagRuns of a namespace, or of all if it is empty, that are pending. One that a controller sees
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

// pendingBy lists those that a field selector selects. An API server that does not know the field, before Kubernetes
// 1.31 or with older definitions, lists all of them.
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

// isPending reports whether a controller is to make a run of a DagRun.
func isPending(run *v1alpha1.DagRun) bool {
	return run.Status.RunID == 0 && !run.Status.Phase.Ended() && run.DeletionTimestamp == nil &&
		!run.IsOtherKontrolers()
}
