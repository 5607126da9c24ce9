package existing

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
)

// Config is what a Releaser needs. All fields are required.
type Config struct {
	Client versioned.Interface
	// The caches of the kinds that both projects have.
	DAGs     *informer.Set[*v1alpha1.DAG]
	DagTasks *informer.Set[*v1alpha1.DagTask]
	DagRuns  *informer.Set[*v1alpha1.DagRun]
	// Failed is called with each error before the work is retried.
	Failed  func(error)
	Metrics queue.Metrics
	Log     *slog.Logger
}

// Releaser removes finalizers of the existing Kontroler.
type Releaser struct {
	Config
	queue *queue.Queue[objectKey]
}

// New makes a Releaser. Run starts it. ShutDown must be called even if it was never started.
func New(cfg Config) *Releaser {
	return &Releaser{Config: cfg, queue: queue.New("releases", cfg.Metrics, objectKey.namespace)}
}

// Run releases the enqueued objects until ShutDown is called. It returns when its requests have ended. The end of ctx
// cancels them.
func (r *Releaser) Run(ctx context.Context) {
	var running sync.WaitGroup
	for range queue.WorkersFor(workers) {
		running.Go(func() { r.queue.Work(ctx, r.sync, r.Failed) })
	}
	running.Wait()
}

// ShutDown shuts the queue down. The next term enqueues the remaining objects again.
func (r *Releaser) ShutDown() { r.queue.ShutDown() }

// Object is an object of a kind that both projects have.
type Object interface {
	informer.Object
	OldFinalizers() []string
}

// workers is how many objects of one namespace are released at the same time. The limit keeps a start with many of them
// from flooding the API server.
const workers = queue.LeastPerNamespace

// objectKey names an object that a finalizer of the existing Kontroler may hold.
type objectKey struct {
	resource string
	name     cache.ObjectName
}

func (k objectKey) namespace() string { return k.name.Namespace }

// isHeld reports whether an object was deleted and a finalizer of the existing Kontroler holds it.
func isHeld(o Object) bool {
	isOld := func(finalizer string) bool { return slices.Contains(o.OldFinalizers(), finalizer) }
	return o.GetDeletionTimestamp() != nil && slices.ContainsFunc(o.GetFinalizers(), isOld)
}

// Enqueue enqueues an object of a resource if it is to be released.
func (r *Releaser) Enqueue(resource string, o Object) {
	if isHeld(o) {
		r.queue.Add(objectKey{resource, cache.MetaObjectToName(o)})
	}
}

// sync removes the finalizers of the existing Kontroler from a deleted object. The patch has the UID and the finalizers
// as preconditions. If the object has changed meanwhile, the patch fails and is retried with the object that the cache
// has then.
func (r *Releaser) sync(ctx context.Context, key objectKey) error {
	o, isCached := r.cachedObject(key)
	if !isCached || !isHeld(o) {
		return nil
	}
	kept := slices.DeleteFunc(
		slices.Clone(o.GetFinalizers()),
		func(f string) bool { return slices.Contains(o.OldFinalizers(), f) },
	)
	body, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": o.GetUID()},
		{"op": "test", "path": "/metadata/finalizers", "value": o.GetFinalizers()},
		{"op": "replace", "path": "/metadata/finalizers", "value": kept},
	})
	if err != nil {
		return fmt.Errorf("encoding finalizers: %w", err)
	}
	err = r.Client.KontrolerV1alpha1().RESTClient().Patch(types.JSONPatchType).Namespace(key.name.Namespace).
		Resource(key.resource).Name(key.name.Name).Body(body).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the finalizer of the existing Kontroler from the deleted %s %s: %w", key.resource,
			key.name, err)
	}
	r.Log.Info("removed the finalizer of the existing Kontroler from a deleted object", "resource", key.resource,
		"namespace", key.name.Namespace, "name", key.name.Name)
	return nil
}

// cachedObject returns the object of a key from the cache.
func (r *Releaser) cachedObject(key objectKey) (o Object, isCached bool) {
	switch key.resource {
	case "dags":
		return r.DAGs.Get(key.name)
	case "dagtasks":
		return r.DagTasks.Get(key.name)
	default:
		return r.DagRuns.Get(key.name)
	}
}
