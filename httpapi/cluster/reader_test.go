package cluster_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// fixture is a real cluster with a namespace of the test.
type fixture struct {
	*testing.T
	config    *rest.Config
	clients   cluster.Clients
	namespace string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	config := clustertest.Config(t)
	clustertest.InstallCRDs(t, config, "../../manifests/crd")
	f := &fixture{T: t, config: config, clients: clientsOf(t, config)}
	f.namespace = f.newNamespace()
	return f
}

func clientsOf(t *testing.T, config *rest.Config) cluster.Clients {
	t.Helper()
	clients, err := cluster.New(config, "kontroler-server/test")
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) newNamespace() string {
	f.Helper()
	name := f.createNamespace("")
	f.Cleanup(func() {
		err := f.clients.Core.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil {
			f.Error(err)
		}
	})
	return name
}

// createNamespace creates a namespace of a name, or of a new name if it is empty.
func (f *fixture) createNamespace(name string) string {
	f.Helper()
	created, err := f.clients.Core.CoreV1().Namespaces().Create(f.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: name, GenerateName: "live-"},
	}, metav1.CreateOptions{})
	f.must(err)
	return created.Name
}

// reader runs a Reader with the clients of a configuration.
func (f *fixture) reader(config *rest.Config, namespaces ...string) *cluster.Reader {
	f.Helper()
	return f.readerWith(config, func(string, string, bool) {}, slog.New(slog.DiscardHandler), namespaces...)
}

func (f *fixture) readerWith(
	config *rest.Config, report cluster.Report, log *slog.Logger, namespaces ...string,
) *cluster.Reader {
	f.Helper()
	r := cluster.NewReader(clientsOf(f.T, config), namespaces, report, log)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	f.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// scope is a scope of some namespaces, or of all if there are none.
type scope []string

func (s scope) Has(namespace string) bool {
	for _, name := range s {
		if name == namespace {
			return true
		}
	}
	return len(s) == 0
}

func (s scope) Names() ([]string, bool) { return s, len(s) == 0 }

// await polls until a condition holds, or the test ends.
func (f *fixture) await(what string, holds func() bool) {
	f.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("it never happened that %s", what)
		}
	}
}

func (f *fixture) dag(namespace, name string, tasks ...v1alpha1.Task) *v1alpha1.DAG {
	if tasks == nil {
		tasks = []v1alpha1.Task{{Name: "a", TaskTemplate: v1alpha1.TaskTemplate{Image: "i"}}}
	}
	return &v1alpha1.DAG{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": "x"},
			Annotations: map[string]string{"note": "long"}},
		Spec: v1alpha1.DAGSpec{Schedule: "@hourly", Task: tasks,
			Parameters: []v1alpha1.Parameter{{Name: "p", DefaultValue: new("v")}}},
	}
}

func (f *fixture) create(d *v1alpha1.DAG, manager string) *v1alpha1.DAG {
	f.Helper()
	created, err := f.clients.Kontroler.KontrolerV1alpha1().DAGs(d.Namespace).
		Create(f.Context(), d, metav1.CreateOptions{FieldManager: manager})
	f.must(err)
	return created
}

// names shows the DAGs of a scope.
func names(r *cluster.Reader, s scope) string {
	found, err := r.DAGs(s)
	return show(found, err)
}

// detail returns what an Error says to users.
func detail(err error) string {
	if failed, ok := errors.AsType[*cluster.Error](err); ok {
		return "error: " + failed.Detail
	}
	return "another error: " + err.Error()
}

// TestWatch follows the DAGs of two namespaces, and checks which fields of a DAG are kept.
func TestWatch(t *testing.T) {
	f := newFixture(t)
	other := f.newNamespace()
	r := f.reader(f.config, f.namespace, other)
	both := scope{f.namespace, other}
	f.create(f.dag(f.namespace, "b"), "kubectl-client-side-apply")
	f.create(f.dag(f.namespace, "a",
		v1alpha1.Task{Name: "x", TaskRef: &v1alpha1.TaskRef{Name: "shared", Version: 3}},
		v1alpha1.Task{Name: "y", TaskRef: &v1alpha1.TaskRef{Name: "shared"}},
		v1alpha1.Task{Name: "z", TaskTemplate: v1alpha1.TaskTemplate{Image: "large"}}), "argocd-controller")
	f.create(f.dag(other, "c"), "kubectl")
	ab := f.namespace + "/a " + f.namespace + "/b"
	all := ab + " " + other + "/c"
	if other < f.namespace {
		all = other + "/c " + ab
	}
	f.await("all DAGs are there", func() bool { return names(r, both) == all })
	for name, tt := range map[string]struct {
		scope scope
		want  string
	}{
		"one namespace":       {scope{f.namespace}, ab},
		"the other namespace": {scope{other}, other + "/c"},
		"a foreign namespace": {scope{"default"}, ""},
	} {
		if got := names(r, tt.scope); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	kept, found, err := r.DAG(f.namespace, "a")
	if err != nil || !found {
		t.Fatalf("found %t, %v", found, err)
	}
	want := v1alpha1.DAGSpec{
		Schedule: "@hourly", Task: []v1alpha1.Task{{TaskRef: &v1alpha1.TaskRef{Name: "shared"}}},
	}
	if diff := gocmp.Diff(want, kept.Spec); diff != "" || kept.Annotations != nil ||
		cluster.Manager(kept) != "argocd-controller" {
		t.Errorf("kept of a DAG, with manager %q and annotations %v (-want +got):\n%s", cluster.Manager(kept),
			kept.Annotations, diff)
	}
	dags := f.clients.Kontroler.KontrolerV1alpha1().DAGs(f.namespace)
	_, err = dags.Patch(t.Context(), "b", "application/merge-patch+json", []byte(`{"spec": {"suspended": true}}`),
		metav1.PatchOptions{})
	f.must(err)
	f.await("a change is there", func() bool {
		b, _, err := r.DAG(f.namespace, "b")
		return err == nil && b.Spec.Suspended && cluster.Manager(b) == "kubectl-client-side-apply"
	})
	f.must(dags.Delete(t.Context(), "b", metav1.DeleteOptions{}))
	f.await("a deletion is there", func() bool { return names(r, scope{f.namespace}) == f.namespace+"/a" })
	// A finalizer keeps the object, which counts as deleted.
	_, err = dags.Patch(t.Context(), "a", "application/merge-patch+json",
		[]byte(`{"metadata": {"finalizers": ["example.com/x"]}}`), metav1.PatchOptions{})
	f.must(err)
	f.must(dags.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	f.await("an object that is being deleted is away", func() bool { return names(r, scope{f.namespace}) == "" })
	if _, _, found, err := r.LiveDAG(t.Context(), f.namespace, "a"); found || err != nil {
		t.Errorf("an object that is being deleted: found %t, %v", found, err)
	}
	_, err = dags.Patch(t.Context(), "a", "application/merge-patch+json", []byte(`{"metadata": {"finalizers": null}}`),
		metav1.PatchOptions{})
	f.must(err)
}

// TestWatchDagTasks follows the DagTasks of all namespaces.
func TestWatchDagTasks(t *testing.T) {
	f := newFixture(t)
	r := f.reader(f.config)
	tasks := f.clients.Kontroler.KontrolerV1alpha1().DagTasks(f.namespace)
	_, err := tasks.Create(t.Context(), &v1alpha1.DagTask{
		ObjectMeta: metav1.ObjectMeta{Name: "shared"},
		Spec:       v1alpha1.DagTaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Image: "i"}},
	}, metav1.CreateOptions{})
	f.must(err)
	f.await("the DagTask is there", func() bool {
		found, err := r.DagTasks(scope{f.namespace})
		return err == nil && len(found.Items) == 1 && found.Items[0].Spec.Image == "" &&
			cluster.Manager(found.Items[0]) == cluster.OwnManager
	})
	if _, found, err := r.DagTask("default", "shared"); found || err != nil {
		t.Errorf("in another namespace: found %t, %v", found, err)
	}
	task, manifest, found, err := r.LiveDagTask(t.Context(), f.namespace, "shared")
	if err != nil || !found || task.Spec.Image != "i" || !strings.Contains(string(manifest), `"image":"i"`) {
		t.Errorf("the live object: found %t, %v\n%s", found, err, manifest)
	}
}

// TestLive reads one DAG from the API server.
func TestLive(t *testing.T) {
	f := newFixture(t)
	f.create(f.dag(f.namespace, "a"), "kubectl")
	r := f.reader(f.config, f.namespace)
	dag, manifest, found, err := r.LiveDAG(t.Context(), f.namespace, "a")
	if err != nil || !found || cluster.Manager(dag) != "kubectl" {
		t.Fatalf("found %t, %v", found, err)
	}
	var got map[string]any
	f.must(json.Unmarshal(manifest, &got))
	meta := got["metadata"].(map[string]any)
	if meta["managedFields"] != nil || meta["annotations"] == nil || got["kind"] != "DAG" ||
		got["apiVersion"] != "kontroler.greedykomodo/v1alpha1" {
		t.Errorf("manifest %s", manifest)
	}
	for _, name := range []string{"b", "", "a/status", "..", "a%2f", strings.Repeat("a", 300)} {
		if _, _, found, err := r.LiveDAG(t.Context(), f.namespace, name); found || err != nil {
			t.Errorf("%q: found %t, %v", name, found, err)
		}
	}
	other := f.newNamespace()
	f.create(f.dag(other, "a"), "kubectl")
	if _, _, found, err := r.LiveDAG(t.Context(), other, "a"); found || err != nil {
		t.Errorf("in a namespace that is not served: found %t, %v", found, err)
	}
}

// gate is a TCP proxy before the API server. While it is shut, connections are refused and broken.
type gate struct {
	*fixture
	address, target string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

// newGate returns a gate that is shut, and a configuration that goes through it.
func (f *fixture) newGate(config *rest.Config) (*gate, *rest.Config) {
	f.Helper()
	server, err := url.Parse(config.Host)
	f.must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	g := &gate{fixture: f, address: listener.Addr().String(), target: server.Host}
	f.must(listener.Close())
	f.Cleanup(g.shut)
	config = rest.CopyConfig(config)
	config.Host = "https://" + g.address
	if config.TLSClientConfig.ServerName == "" {
		config.TLSClientConfig.ServerName = server.Hostname()
	}
	return g, config
}

func (g *gate) open() {
	g.Helper()
	listener, err := net.Listen("tcp", g.address)
	g.must(err)
	g.mu.Lock()
	g.listener = listener
	g.mu.Unlock()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.target)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		g.listener.Close()
	}
	for _, conn := range g.conns {
		conn.Close()
	}
	g.listener, g.conns = nil, nil
}

// TestAPIServerAway checks that a Reader fails while the API server is unavailable, at the start and later, and
// recovers.
func TestAPIServerAway(t *testing.T) {
	f := newFixture(t)
	f.create(f.dag(f.namespace, "a"), "kubectl")
	g, config := f.newGate(f.config)
	r := f.reader(config, f.namespace)
	own := scope{f.namespace}
	const away = "error: The Kubernetes API does not answer."
	f.await("the API server is away at the start", func() bool { return names(r, own) == away })
	f.await("the start does not wait for it", func() bool { return r.Waiting() == "" })
	if names := names(r, scope{"default"}); names != "" {
		t.Errorf("the DAGs of another namespace: %s", names)
	}
	g.open()
	f.await("the Reader has recovered", func() bool { return names(r, own) == f.namespace+"/a" })
	g.shut()
	f.await("the API server is away later", func() bool { return names(r, own) == away })
	_, _, _, err := r.LiveDAG(t.Context(), f.namespace, "a")
	if got := detail(err); got != away {
		t.Errorf("one DAG: %s", got)
	}
	if _, err := r.Pending(t.Context(), own); detail(err) != away {
		t.Errorf("DagRuns: %v", err)
	}
	if _, err := r.DagTasks(own); err != nil && detail(err) != away {
		t.Errorf("DagTasks: %v", err)
	}
	f.create(f.dag(f.namespace, "b"), "kubectl")
	g.open()
	want := f.namespace + "/a " + f.namespace + "/b"
	f.await("the Reader has recovered with what changed", func() bool { return names(r, own) == want })
}

// TestNotPermitted checks that an Error names the permission that the server lacks.
func TestNotPermitted(t *testing.T) {
	f := newFixture(t)
	config := rest.CopyConfig(f.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody-of-" + f.namespace}
	r := f.reader(config, f.namespace)
	f.await("the permission is named", func() bool {
		got := names(r, scope{f.namespace})
		return strings.HasPrefix(got,
			"error: Kubernetes does not let the server list and watch dags in namespace "+f.namespace+".")
	})
	for verb, err := range map[string]error{
		"get dags": func() error {
			_, _, _, err := r.LiveDAG(t.Context(), f.namespace, "a")
			return err
		}(),
		"get dagruns": func() error {
			_, _, err := r.LiveRun(t.Context(), f.namespace, "a")
			return err
		}(),
		"list dagruns": func() error {
			_, err := r.Pending(t.Context(), scope{f.namespace})
			return err
		}(),
	} {
		want := "error: Kubernetes does not let the server " + verb + " in namespace " + f.namespace +
			". The namespace is gone, or lacks the server's Role (manifests/README.md)."
		if got := detail(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// recorder records the field selectors of lists of DagRuns. With isOld it makes the API server answer as one that does
// not know the field status.phase.
type recorder struct {
	http.RoundTripper
	isOld bool
	mu    sync.Mutex
	seen  []string
}

// record returns a configuration whose requests the recorder sees.
func (o *recorder) record(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		o.RoundTripper = next
		return o
	})
	return config
}

func (o *recorder) selectors() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.seen, ", ")
}

func (o *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	if strings.HasSuffix(r.URL.Path, "/dagruns") {
		o.mu.Lock()
		o.seen = append(o.seen, cmp.Or(query.Get("fieldSelector"), "all"))
		o.mu.Unlock()
	}
	if selector := query.Get("fieldSelector"); o.isOld && selector != "" {
		r = r.Clone(r.Context())
		query.Set("fieldSelector", strings.Replace(selector, "status.phase", "status.none", 1))
		r.URL.RawQuery = query.Encode()
	}
	return o.RoundTripper.RoundTrip(r)
}

// TestPending lists the DagRuns without a row, with and without a field selector.
func TestPending(t *testing.T) {
	f := newFixture(t)
	other := f.newNamespace()
	for _, run := range []struct {
		namespace, name string
		status          v1alpha1.DagRunStatus
	}{
		{f.namespace, "new", v1alpha1.DagRunStatus{}},
		{f.namespace, "waits", v1alpha1.DagRunStatus{Phase: "Pending", Reason: "DagNotFound"}},
		{f.namespace, "running", v1alpha1.DagRunStatus{Phase: "Running", RunID: 3, Controller: "c"}},
		{f.namespace, "claimed", v1alpha1.DagRunStatus{Phase: "Pending", RunID: 4, Controller: "c"}},
		{f.namespace, "cancelled", v1alpha1.DagRunStatus{Phase: "Cancelled"}},
		{f.namespace, "old", v1alpha1.DagRunStatus{DagRunID: 7}},
		{other, "new", v1alpha1.DagRunStatus{}},
	} {
		dagRuns := f.clients.Kontroler.KontrolerV1alpha1().DagRuns(run.namespace)
		created, err := dagRuns.Create(t.Context(), &v1alpha1.DagRun{
			ObjectMeta: metav1.ObjectMeta{Name: run.name}, Spec: v1alpha1.DagRunSpec{DagName: "none"},
		}, metav1.CreateOptions{})
		f.must(err)
		created.Status = run.status
		_, err = dagRuns.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
		f.must(err)
	}
	present, old := &recorder{}, &recorder{isOld: true}
	for name, tt := range map[string]struct {
		reader *cluster.Reader
		scope  scope
		want   string
	}{
		"a namespace":    {f.reader(present.record(f.config)), scope{f.namespace}, "new waits"},
		"two namespaces": {f.reader(f.config), scope{f.namespace, other}, "new new waits"},
		"many namespaces": {
			f.reader(f.config), scope{f.namespace, other, "c", "d", "e", "f"}, "new new waits",
		},
		"two that are served": {
			f.reader(f.config, f.namespace, other), scope{f.namespace, other}, "new new waits",
		},
		"all that are served":      {f.reader(f.config, f.namespace), nil, "new waits"},
		"one that is not served":   {f.reader(f.config, f.namespace), scope{other}, ""},
		"by an API server of 1.30": {f.reader(old.record(f.config), f.namespace), scope{f.namespace}, "new waits"},
	} {
		found, err := tt.reader.Pending(t.Context(), tt.scope)
		if err != nil || found.HasMore || found.Unavailable != nil {
			t.Errorf("%s: hasMore %t, unavailable %v, %v", name, found.HasMore, found.Unavailable, err)
		}
		if got := runNames(found.Items); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	if got, want := present.selectors(), "status.phase=, status.phase=Pending"; got != want {
		t.Errorf("lists of %q, want %q", got, want)
	}
	if got, want := old.selectors(), "status.phase=, all"; got != want {
		t.Errorf("lists of an API server of 1.30: %q, want %q", got, want)
	}
}

func runNames(runs []*v1alpha1.DagRun) string {
	var all []string
	for _, run := range runs {
		all = append(all, run.Name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}
