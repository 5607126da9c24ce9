package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// serverRole is the Role of the server in a namespace.
const serverRole = "../../manifests/components/namespaced/role/server-role.yaml"

// reported is what a Reader has reported and logged.
type reported struct {
	mu   sync.Mutex
	isUp map[string]bool
	log  bytes.Buffer
}

func (k *reported) report(resource, namespace string, isUp bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.isUp == nil {
		k.isUp = map[string]bool{}
	}
	k.isUp[resource+" "+namespace] = isUp
}

// Write takes a line of the log.
func (k *reported) Write(line []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(line)
}

// lines returns how many lines of the log have a message about a kind in a namespace.
func (k *reported) lines(message, resource, namespace string) (n int) {
	for line := range strings.Lines(k.String()) {
		if strings.Contains(line, fmt.Sprintf("msg=%q resource=%s namespace=%s", message, resource, namespace)) {
			n++
		}
	}
	return n
}

func (k *reported) has(text string) bool { return strings.Contains(k.String(), text) }

// String returns the log.
func (k *reported) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.String()
}

func (k *reported) readable() map[string]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	readable := map[string]bool{}
	for place, isUp := range k.isUp {
		readable[place] = isUp
	}
	return readable
}

// reportingReader runs a Reader, and returns what it reports and logs.
func (f *fixture) reportingReader(config *rest.Config, namespaces ...string) (*cluster.Reader, *reported) {
	f.Helper()
	k := &reported{}
	return f.readerWith(config, k.report, slog.New(slog.NewTextHandler(k, nil)), namespaces...), k
}

// show returns what a list has, and what it says of namespaces that it lacks.
func show[T metav1.Object](list cluster.List[T], err error) string {
	if err != nil {
		return detail(err)
	}
	var all []string
	for _, object := range list.Items {
		all = append(all, object.GetNamespace()+"/"+object.GetName())
	}
	for _, u := range list.Unavailable {
		all = append(all, "not "+u.Namespace+": "+u.Detail)
	}
	return strings.Join(all, " ")
}

// all shows the DAGs, DagTasks and DagRuns of a scope.
func all(ctx context.Context, r *cluster.Reader, s scope) map[string]string {
	pending, err := r.Pending(ctx, s)
	dags, dagsErr := r.DAGs(s)
	tasks, tasksErr := r.DagTasks(s)
	return map[string]string{
		"dags": show(dags, dagsErr), "dagtasks": show(tasks, tasksErr), "dagruns": show(pending.List, err),
	}
}

// fill creates a DAG, a DagTask and a DagRun named a in a namespace.
func (f *fixture) fill(namespace string) {
	f.Helper()
	f.create(f.dag(namespace, "a"), "kubectl")
	_, err := f.clients.Kontroler.KontrolerV1alpha1().DagTasks(namespace).Create(f.Context(), &v1alpha1.DagTask{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Spec:       v1alpha1.DagTaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Image: "i"}},
	}, metav1.CreateOptions{})
	f.must(err)
	_, err = f.clients.Kontroler.KontrolerV1alpha1().DagRuns(namespace).Create(f.Context(), &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.DagRunSpec{DagName: "none"},
	}, metav1.CreateOptions{})
	f.must(err)
}

// forbidden is what a Reader says of a namespace that does not let the server read a kind.
func forbidden(resource, namespace string) string {
	return fmt.Sprintf("Kubernetes does not let the server %s %s in namespace %s. The namespace is gone, or lacks the "+
		"server's Role (manifests/README.md).", verbs[resource], resource, namespace)
}

// verbs are what a Reader does with each kind.
var verbs = map[string]string{"dags": "list and watch", "dagtasks": "list and watch", "dagruns": "list"}

// closedBeside is what a Reader says of two namespaces of which one is closed.
func closedBeside(open, closed string) map[string]string {
	says := map[string]string{}
	for resource := range verbs {
		says[resource] = open + "/a not " + closed + ": " + forbidden(resource, closed)
	}
	return says
}

// awaitAll polls until a Reader says something of a scope.
func (f *fixture) awaitAll(what string, r *cluster.Reader, s scope, want map[string]string) {
	f.Helper()
	var diff string
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if diff = gocmp.Diff(want, all(f.Context(), r, s)); diff == "" {
			return
		}
		if time.Now().After(end) {
			f.Fatalf("it never happened that %s (-want +got):\n%s", what, diff)
		}
	}
}

// TestClosedNamespace checks that a namespace that the server may not read is named, and that the others are read. It
// is read after the grant of the right, and named again after the right is revoked.
func TestClosedNamespace(t *testing.T) {
	f := newFixture(t)
	open, closed := f.namespace, f.newNamespace()
	f.fill(open)
	f.fill(closed)
	account := clustertest.NewAccount(t, f.config, open)
	account.Grant(t, open, serverRole)
	gate, config := f.newGate(account.Config)
	gate.open()
	r, reported := f.reportingReader(config, open, closed)
	both := scope{open, closed}
	f.awaitAll("the open namespace is read", r, both, closedBeside(open, closed))
	if why := r.Waiting(); why != "" {
		t.Errorf("the start waits for %q", why)
	}
	alone := map[string]string{}
	for resource := range verbs {
		alone[resource] = "error: " + forbidden(resource, closed)
	}
	if diff := gocmp.Diff(alone, all(t.Context(), r, scope{closed})); diff != "" {
		t.Errorf("the closed namespace alone (-want +got):\n%s", diff)
	}
	if _, _, err := r.DAG(closed, "a"); detail(err) != alone["dags"] {
		t.Errorf("a DAG of the closed namespace: %v", err)
	}
	want := map[string]bool{}
	for resource := range verbs {
		want[resource+" "+open], want[resource+" "+closed] = true, false
	}
	if diff := gocmp.Diff(want, reported.readable()); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}

	account.Grant(t, closed, serverRole)
	sorted := []string{open + "/a", closed + "/a"}
	if closed < open {
		sorted = []string{closed + "/a", open + "/a"}
	}
	names := strings.Join(sorted, " ")
	f.awaitAll("the other namespace is read", r, both, map[string]string{
		"dags": names, "dagtasks": names, "dagruns": open + "/a " + closed + "/a",
	})
	for place, isUp := range reported.readable() {
		if !isUp {
			t.Errorf("%s is reported to be away", place)
		}
	}
	for resource := range alone {
		before, after := reported.lines("live objects cannot be read", resource, closed),
			reported.lines("live objects can be read again", resource, closed)
		if before != 1 || after != 1 {
			t.Errorf("the log says of %s that they cannot be read %d times, that they can %d times", resource, before,
				after)
		}
	}

	account.Revoke(t, closed)
	gate.shut() // A watch that was let in goes on until it ends.
	gate.open()
	f.awaitAll("the namespace is closed again", r, both, closedBeside(open, closed))
}

// TestNamespaceIsDeleted checks that a namespace that was deleted with its Role is named like one that never had a
// Role, and is read when it is created again.
func TestNamespaceIsDeleted(t *testing.T) {
	f := newFixture(t)
	open, deleted := f.namespace, f.newNamespace()
	f.fill(open)
	account := clustertest.NewAccount(t, f.config, open)
	account.Grant(t, open, serverRole)
	account.Grant(t, deleted, serverRole)
	gate, config := f.newGate(account.Config)
	gate.open()
	r := f.reader(config, open, deleted)
	both := scope{open, deleted}
	same := map[string]string{"dags": open + "/a", "dagtasks": open + "/a", "dagruns": open + "/a"}
	f.awaitAll("both are read", r, both, same)
	namespaces := f.clients.Core.CoreV1().Namespaces()
	f.must(namespaces.Delete(t.Context(), deleted, metav1.DeleteOptions{}))
	f.await("the namespace is gone", func() bool {
		_, err := namespaces.Get(t.Context(), deleted, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	gate.shut()
	gate.open()
	f.awaitAll("the namespace is named", r, both, closedBeside(open, deleted))
	f.createNamespace(deleted)
	account.Grant(t, deleted, serverRole)
	f.awaitAll("both are read again", r, both, same)
}

// faulty makes the API server fail for one namespace.
type faulty struct {
	http.RoundTripper
	namespace string

	mu  sync.Mutex
	how func(*http.Request) (*http.Response, error) // nil means that it works
}

func (x *faulty) set(how func(*http.Request) (*http.Response, error)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.how = how
}

func (x *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	x.mu.Lock()
	how := x.how
	x.mu.Unlock()
	if how != nil && strings.Contains(r.URL.Path, "/namespaces/"+x.namespace+"/") {
		return how(r)
	}
	return x.RoundTripper.RoundTrip(r)
}

// answering answers with a status and no body that Kubernetes would send.
func answering(status int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		answer := &http.Response{
			StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r,
		}
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			answer.Header.Set(name, value)
		}
		return answer, nil
	}
}

// hanging answers nothing.
func hanging(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestOneNamespaceFails checks that the other namespaces are read while the API server fails for one. That one is read
// when the fault ends.
func TestOneNamespaceFails(t *testing.T) {
	const away, notYet = "The Kubernetes API does not answer.", "The server has not read the dags of the cluster yet."
	whole := newFixture(t)
	good, bad := whole.namespace, whole.newNamespace()
	whole.fill(good)
	whole.fill(bad)
	for name, tt := range map[string]struct {
		how           func(*http.Request) (*http.Response, error)
		dags, dagRuns string
	}{
		"401": {
			answering(http.StatusUnauthorized), "The Kubernetes API does not accept the credential of the server.",
			"The Kubernetes API does not accept the credential of the server.",
		},
		"403": {
			answering(http.StatusForbidden), forbidden("dags", bad), forbidden("dagruns", bad),
		},
		"404 of a kind that was removed": {
			answering(http.StatusNotFound), "The cluster has no dags. Their definitions are in manifests/crd.",
			"The cluster has no dagruns. Their definitions are in manifests/crd.",
		},
		"429":                     {answering(http.StatusTooManyRequests, "Retry-After: 1"), away, away},
		"500":                     {answering(http.StatusInternalServerError), away, away},
		"503":                     {answering(http.StatusServiceUnavailable), away, away},
		"504":                     {answering(http.StatusGatewayTimeout), away, away},
		"no answer":               {hanging, notYet, away},
		"a connection that broke": {func(*http.Request) (*http.Response, error) { return nil, io.EOF }, away, away},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := *whole
			f.T = t
			x := &faulty{namespace: bad}
			x.set(tt.how)
			config := rest.CopyConfig(f.config)
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				x.RoundTripper = next
				return x
			})
			r := f.reader(config, good, bad)
			both := scope{good, bad}
			want := good + "/a not " + bad + ": "
			f.await("the others are read", func() bool {
				dags, err := r.DAGs(both)
				return show(dags, err) == want+tt.dags
			})
			pending, err := r.Pending(t.Context(), both)
			if got := show(pending.List, err); got != want+tt.dagRuns {
				t.Errorf("DagRuns: %s, want %s", got, want+tt.dagRuns)
			}
			if tt.dags == notYet {
				return // TestNoAnswer waits for it.
			}
			x.set(nil)
			f.await("all are read", func() bool {
				pending, err := r.Pending(t.Context(), both)
				return len(strings.Fields(names(r, both))) == 2 && err == nil && len(pending.Items) == 2
			})
		})
	}
}

// TestLogOfAFault checks that the fault of a kind is logged once, independent of the number of retries.
func TestLogOfAFault(t *testing.T) {
	f := newFixture(t)
	tried := make(chan struct{}, 100)
	x := &faulty{namespace: f.namespace, how: func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/dags") {
			tried <- struct{}{}
		}
		return answering(http.StatusForbidden)(r)
	}}
	config := rest.CopyConfig(f.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		x.RoundTripper = next
		return x
	})
	k := &reported{}
	log := slog.New(slog.NewTextHandler(k, nil))
	klog.SetSlogLogger(log)
	t.Cleanup(klog.ClearLogger)
	f.readerWith(config, k.report, log, f.namespace)
	for range 2 * 3 { // A try watches and then lists.
		<-tried
	}
	if n := k.lines("live objects cannot be read", "dags", f.namespace); n != 1 || k.has("Failed to watch") {
		t.Errorf("the log says %d times that the DAGs cannot be read:\n%s", n, k)
	}
}

// TestKindsAreRemoved checks that lists fail after the CustomResourceDefinitions were deleted, and that no object
// counts as deleted.
func TestKindsAreRemoved(t *testing.T) {
	f := newFixture(t)
	f.fill(f.namespace)
	x := &faulty{namespace: f.namespace}
	config := rest.CopyConfig(f.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		x.RoundTripper = next
		return x
	})
	// The API server answers as for a kind that was removed: the path has another one.
	x.set(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		for _, kind := range []string{"dags", "dagtasks", "dagruns"} {
			r.URL.Path = strings.Replace(r.URL.Path, "/"+kind, "/removed"+kind, 1)
		}
		return x.RoundTripper.RoundTrip(r)
	})
	r := f.reader(config, f.namespace)
	const removed = "error: The cluster has no %s. Their definitions are in manifests/crd."
	f.awaitAll("the kinds are missing", r, scope{f.namespace}, map[string]string{
		"dags":     fmt.Sprintf(removed, "dags"),
		"dagtasks": fmt.Sprintf(removed, "dagtasks"),
		"dagruns":  fmt.Sprintf(removed, "dagruns"),
	})
	_, _, _, dagErr := r.LiveDAG(t.Context(), f.namespace, "a")
	_, _, _, taskErr := r.LiveDagTask(t.Context(), f.namespace, "a")
	_, _, runErr := r.LiveRun(t.Context(), f.namespace, "a")
	for kind, err := range map[string]error{"dags": dagErr, "dagtasks": taskErr, "dagruns": runErr} {
		if err == nil || detail(err) != fmt.Sprintf(removed, kind) {
			t.Errorf("one of the %s: %v", kind, err)
		}
	}
	x.set(nil)
	own := f.namespace + "/a"
	f.awaitAll("the kinds are back", r, scope{f.namespace}, map[string]string{
		"dags": own, "dagtasks": own, "dagruns": own,
	})
}

// timeout is the error of a connection that could not be opened in time.
type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// TestWatchBreaks checks that a Reader does not answer from a broken watch, even if a load balancer still accepts
// connections.
func TestWatchBreaks(t *testing.T) {
	for name, err := range map[string]error{
		"connections that are closed": io.EOF, "connections that time out": timeout{errors.New("i/o timeout")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.fill(f.namespace)
			gate, config := f.newGate(f.config)
			gate.open()
			x := &faulty{namespace: f.namespace}
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				x.RoundTripper = next
				return x
			})
			r := f.reader(config, f.namespace)
			f.await("the DAG is read", func() bool { return names(r, scope{f.namespace}) == f.namespace+"/a" })
			x.set(func(*http.Request) (*http.Response, error) { return nil, err })
			gate.shut()
			gate.open()
			f.await("nothing is read", func() bool {
				return names(r, scope{f.namespace}) == "error: The Kubernetes API does not answer."
			})
			x.set(nil)
			f.await("the DAG is read again", func() bool { return names(r, scope{f.namespace}) == f.namespace+"/a" })
		})
	}
}
