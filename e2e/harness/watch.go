package harness

import (
	"context"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/completer"
)

// podWatch records every Pod that was created in a cluster, also those that no longer exist. An API server under load
// ends watches, and a Pod may then be gone before it is listed again. The completer therefore reports each Pod that it
// ends, too. Without the completer a Pod exists for seconds.
type podWatch struct {
	mu    sync.Mutex
	pods  map[types.UID]*seenPod
	order []*seenPod    // by creation
	begun []*seenPod    // by the start of the task container
	noted chan struct{} // closed with the next event
}

// seenPod is a Pod that was created.
type seenPod struct {
	namespace, name, task string
	uid, owner            types.UID
	script                string
	hasScript             bool // for the completer
	started, succeeded    bool
}

// marker is the prefix of the names of the Pods that catchUp creates.
const marker = "watch-marker-"

// watchPods starts a podWatch. cleanup registers what ends it.
func watchPods(cleanup func(func()), kube kubernetes.Interface) (*podWatch, error) {
	p := &podWatch{pods: map[types.UID]*seenPod{}, noted: make(chan struct{})}
	factory := informers.NewSharedInformerFactory(kube, 0)
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(is any) { p.note(is.(*corev1.Pod)) },
		UpdateFunc: func(_, is any) { p.note(is.(*corev1.Pod)) },
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
	cleanup(func() {
		stop()
		factory.Shutdown()
	})
	return p, nil
}

// note records the state of a Pod.
func (p *podWatch) note(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.pods[pod.UID]
	if s == nil {
		s = &seenPod{namespace: pod.Namespace, name: pod.Name, uid: pod.UID, task: pod.Labels[v1alpha1.LabelTask]}
		s.script, s.hasScript = completer.Script(pod)
		if owner := metav1.GetControllerOf(pod); owner != nil {
			s.owner = owner.UID
		}
		p.pods[pod.UID] = s
		p.order = append(p.order, s)
	}
	if !s.started && (Running(pod) || Terminated(pod)) {
		s.started = true
		p.begun = append(p.begun, s)
	}
	s.succeeded = s.succeeded || pod.Status.Phase == corev1.PodSucceeded
	close(p.noted)
	p.noted = make(chan struct{})
}

// created returns the Pods that were created in a namespace, in their order.
func (p *podWatch) created(namespace string) []seenPod {
	return p.in(namespace, func() []*seenPod { return p.order })
}

// ran returns the Pods of a namespace whose task container has started, in the order of the starts.
func (p *podWatch) ran(namespace string) []seenPod {
	return p.in(namespace, func() []*seenPod { return p.begun })
}

func (p *podWatch) in(namespace string, list func() []*seenPod) []seenPod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []seenPod
	for _, s := range list() {
		if s.namespace == namespace {
			found = append(found, *s)
		}
	}
	return found
}

// created returns all Pods that were created in the namespace of the world until now.
func (w *World) created() []seenPod {
	w.T.Helper()
	w.catchUp()
	return w.watch.created(w.Namespace)
}

// catchUp creates a Pod and waits until the watch has seen it. Then the watch has seen everything before it, in all
// namespaces.
func (w *World) catchUp() {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.T.Context(), Patience)
	defer cancel()
	pods := w.Kube.CoreV1().Pods(metav1.NamespaceDefault) // no test sets a quota or a policy there
	made, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: marker},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: "none"},
			Containers:   []corev1.Container{{Name: "none", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatalf("creating a Pod for the watch to see: %v", err)
	}
	for {
		w.watch.mu.Lock()
		_, seen := w.watch.pods[made.UID]
		noted := w.watch.noted
		w.watch.mu.Unlock()
		if seen {
			break
		}
		select {
		case <-noted:
		case <-ctx.Done():
			w.T.Fatal("the watch has not seen a new Pod")
		}
	}
	if err := pods.Delete(ctx, made.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		w.T.Fatal(err)
	}
}

// Said returns the texts that scripts say (see completer.Command), of all Pods that succeeded, in the order of their
// starts.
func (w *World) Said() []string {
	w.T.Helper()
	w.catchUp()
	var said []string
	for _, pod := range w.watch.ran(w.Namespace) {
		for step := range strings.SplitSeq(pod.script, ";") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(step), "say "); ok && pod.succeeded {
				said = append(said, text)
			}
		}
	}
	return said
}

// checkCreated checks that each attempt of a run had at most one Pod, and that each Pod of the run belonged to an
// attempt.
func (d *Database) checkCreated(row RunRow) {
	d.t.Helper()
	names := map[string]string{} // UIDs of the Pods in the rows of the attempts, by name
	for _, a := range d.Attempts(row.Name) {
		names[a.PodName] = a.PodUID
	}
	var seen []string
	for _, pod := range d.w.created() {
		if string(pod.owner) != row.UID {
			continue
		}
		uid, known := names[pod.name]
		switch {
		case !known:
			d.t.Errorf("run %s: Pod %s was created, but no attempt has it", row.Name, pod.name)
		case slices.Contains(seen, pod.name):
			d.t.Errorf("run %s: Pod %s was created twice", row.Name, pod.name)
		case uid != "" && uid != string(pod.uid):
			d.t.Errorf("run %s: Pod %s has UID %s, but its row has %s", row.Name, pod.name, pod.uid, uid)
		}
		seen = append(seen, pod.name)
	}
	for name, uid := range names {
		if uid != "" && !slices.Contains(seen, name) {
			d.t.Errorf("run %s: an attempt has Pod %s, which was not created", row.Name, name)
		}
	}
}
