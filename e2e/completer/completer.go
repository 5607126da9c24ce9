package completer

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Options say what a Completer plays.
type Options struct {
	// Namespace limits the Completer to one namespace. Empty means all.
	Namespace string
	// Node is the name of the node to which Pods are bound. If it is empty, Pods end immediately and unbound: that
	// takes one request for each Pod, and a deletion has no grace period.
	Node string
	// Requests limits the concurrent requests.
	Requests int
	// Seen, if it is not nil, is called with each new Pod before it is played.
	Seen func(*corev1.Pod)
	// Reported, if it is not nil, is called with each Pod whose status was written, from any goroutine.
	Reported func(*corev1.Pod)
	// Failed is called with each error, from any goroutine.
	Failed func(error)
}

// Completer plays the Pods of a cluster until it is stopped.
type Completer struct {
	client kubernetes.Interface
	Options
	requests chan struct{}
	stop     context.CancelFunc
	work     sync.WaitGroup
	factory  informers.SharedInformerFactory

	mu    sync.Mutex
	pods  map[types.UID]*player
	gates map[gate]*opening
	words map[gate]bool // that once has reached
}

// gate is a name in a namespace.
type gate struct{ namespace, name string }

// opening is the state of a gate.
type opening struct {
	open    bool
	changed chan struct{} // closed with the next change
}

// Start starts a completer. When it returns, the completer has seen all existing Pods.
func Start(ctx context.Context, client kubernetes.Interface, options Options) (*Completer, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &Completer{
		client: client, Options: options, requests: make(chan struct{}, max(1, options.Requests)), stop: stop,
		pods: map[types.UID]*player{}, gates: map[gate]*opening{}, words: map[gate]bool{},
	}
	if c.Node != "" {
		if err := c.startNode(ctx); err != nil {
			stop()
			return nil, err
		}
	}
	c.factory = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(options.Namespace))
	informer := c.factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { c.saw(ctx, obj) },
		UpdateFunc: func(_, obj any) { c.saw(ctx, obj) },
		DeleteFunc: c.gone,
	})
	if err != nil {
		stop()
		return nil, err
	}
	c.factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
	return c, nil
}

// Stop ends the completer. Pods stay as they are.
func (c *Completer) Stop() {
	c.stop()
	c.factory.Shutdown() // afterwards no player is started
	c.work.Wait()
}

// saw starts a player for a new Pod. If the Pod has a deletionTimestamp, it passes that to the player.
func (c *Completer) saw(ctx context.Context, obj any) {
	pod := obj.(*corev1.Pod)
	c.mu.Lock()
	p, known := c.pods[pod.UID]
	if !known {
		p = newPlayer(c, pod)
		c.pods[pod.UID] = p
	}
	c.mu.Unlock()
	if pod.DeletionTimestamp != nil {
		p.delete(pod)
	}
	if known {
		return
	}
	if c.Seen != nil {
		c.Seen(pod)
	}
	c.work.Go(func() {
		defer p.cancel()
		if err := p.play(ctx); err != nil && ctx.Err() == nil && !p.isGone() {
			c.failed(pod, err)
		}
	})
}

// gone ends the player of a Pod that no longer exists.
func (c *Completer) gone(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	c.mu.Lock()
	p := c.pods[pod.UID]
	delete(c.pods, pod.UID)
	c.mu.Unlock()
	if p != nil {
		p.cancel()
	}
}

// Open opens a gate for the Pods of a namespace that wait for it, now and later.
func (c *Completer) Open(namespace, name string) { c.set(gate{namespace, name}, true) }

// Close closes a gate.
func (c *Completer) Close(namespace, name string) { c.set(gate{namespace, name}, false) }

func (c *Completer) set(g gate, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.opening(g)
	o.open = open
	close(o.changed)
	o.changed = make(chan struct{})
}

// opening returns the state of a gate. The caller holds the lock.
func (c *Completer) opening(g gate) *opening {
	o := c.gates[g]
	if o == nil {
		o = &opening{changed: make(chan struct{})}
		c.gates[g] = o
	}
	return o
}

// isOpen reports whether a gate is open, and returns a channel that is closed when that changes.
func (c *Completer) isOpen(g gate) (bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.opening(g)
	return o.open, o.changed
}

// first reports whether it is called for the first time with a word.
func (c *Completer) first(g gate) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.words[g]
	c.words[g] = true
	return !known
}

// request sends a request when Requests allows it.
func (c *Completer) request(ctx context.Context, send func() error) error {
	select {
	case c.requests <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.requests }()
	return send()
}
