package control_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// tap is a proxy to the API server that records requests.
type tap struct {
	over     processOption // makes a controller send its requests through the tap
	mu       sync.Mutex
	requests []string
}

// newTap makes a tap that sends what it gets with the credentials of a kubeconfig. It calls each of before with a
// request before it sends it.
func (w *world) newTap(kubeconfig string, before ...func(*http.Request)) *tap {
	w.T.Helper()
	p := &tap{}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		w.T.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		w.T.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		w.T.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
		p.mu.Unlock()
		for _, act := range before {
			act(r)
		}
		proxy.ServeHTTP(answer, r)
	}))
	w.T.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p.over = w.withServer(server.URL)
	return p
}

func (p *tap) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[:len(p.requests):len(p.requests)]
}

// checkExitsFenced thaws a leader whose Lease another process has taken. It must exit, send requests only for its
// Lease, and write nothing to the database. isIdle says that the successor does not write either, so that the database
// can be compared.
func (w *world) checkExitsFenced(old *controller, p *tap, isIdle bool) {
	w.T.Helper()
	var before, after string
	if isIdle {
		before = w.Contents()
	}
	unsent := len(p.sent())
	old.Thaw()
	if code := old.WaitExit(); code != 1 {
		w.T.Errorf("the old leader exited with %d, want 1", code)
	}
	if isIdle {
		after = w.Contents()
	}
	if diff := gocmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
		w.T.Errorf("the old leader has written to the database (-before +after):\n%s", diff)
	}
	for _, request := range p.sent()[unsent:] {
		if !strings.Contains(request, "/leases/") {
			w.T.Errorf("the old leader has sent a request: %s", request)
		}
	}
	if log := old.Log(); !strings.Contains(log, "exiting") {
		w.T.Errorf("the old leader has not logged why it exits:\n%s", tail(log, 10))
	}
}

func TestLeaderStopped(t *testing.T) {
	w := newWorld(t)
	p := w.newTap(w.Accounts.Controller)
	old := w.Controller(shortLease, p.over)
	old.WaitLeads()
	standby := w.Controller(shortLease)
	w.ApplyDAG("dag", play("a", until("a")), play("b", until("b"), after("a")), play("c", "", after("b")))
	w.Start("run", "dag")
	w.WaitAttempt("run", "a", 1, "Running")
	old.Freeze()
	frozen := time.Now()
	w.Open("a")
	b := w.WaitAttempt("run", "b", 1, "Running")
	if late := b.DecidedAt.Sub(frozen); late > 2*leaseDuration {
		t.Errorf("the standby continued after %s, want within %s", late, 2*leaseDuration)
	}
	if !standby.Leads() {
		t.Error("the standby does not say that it leads")
	}
	w.Open("b")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b", "c"))
	w.CheckOnce("a", "b", "c")
	w.CheckStarts("run")
	w.CheckEpochs("2")
	w.checkExitsFenced(old, p, true)
	w.CheckEpochs("2")
}

// A leader that is frozen inside a transaction holds a lock on its epoch. The successor must take over nevertheless,
// and the commit of the old leader must fail. So must the one statement that a leader was about to send when it was
// frozen: the admission, or a commit of the run.
func TestLeaderStoppedInATransaction(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault string
		ended bool // thaw the leader after the end of the run instead of during it
	}{
		"open, version":              {"transaction-open:1@dag-claimed", false},
		"commit, version":            {"transaction-commit:1@dag-claimed", true},
		"commit, admission":          {"transaction-commit:2@dag-claimed", true},
		"commit, start":              {"transaction-commit:1@run-claimed", false},
		"commit, transition":         {"transaction-commit:3@run-claimed", true},
		"commit, another transition": {"transaction-commit:5@run-claimed", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.newTap(w.Accounts.Controller)
			old, hit := w.LaunchFaulty("stop:"+tt.fault, shortLease, p.over) // the last flag wins
			old.WaitLeads()
			standby := w.Controller(shortLease)
			scene := harness.Scenes(play)["diamond"]
			scene.Tasks = append(scene.Tasks, play("last", until("go"), after("d")))
			scene.Outcomes["last"], scene.Effects = "Succeeded", append(scene.Effects, "last")
			w.Prepare(scene)
			point, _, _ := strings.Cut(tt.fault, ":")
			w.Eventually(
				"the leader to stop in a transaction",
				patience,
				func(context.Context) (bool, string) { return hit() == point, hit() },
			)
			stopped := time.Now()
			standby.WaitLeads()
			if took := w.TakenAt(); took.Sub(stopped) > 2*leaseDuration {
				t.Errorf("the standby took the epoch after %s, want within %s", took.Sub(stopped), 2*leaseDuration)
			}
			w.CheckEpochs("2")
			if tt.ended {
				w.Open("go")
				w.CheckScene(scene)
			}
			w.checkExitsFenced(old, p, tt.ended)
			w.Open("go")
			w.CheckScene(scene)
			w.CheckEpochs("2")
		})
	}
}

// theLease returns the Lease of the world's controller.
func (w *world) theLease() *coordinationv1.Lease {
	w.T.Helper()
	leases, err := w.Kube.CoordinationV1().Leases(w.Namespace).
		List(w.T.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelController})
	if err != nil {
		w.T.Fatal(err)
	}
	if len(leases.Items) != 1 {
		w.T.Fatalf("the Leases are %v, want one", leases.Items)
	}
	return &leases.Items[0]
}

// A leader that gets SIGTERM hands over in the middle of a run. It releases the Lease before it exits, so that the
// standby does not wait until the Lease expires.
func TestLeaderHandsOver(t *testing.T) {
	w := newWorld(t)
	old := w.Controller(flags("--lease-duration=15s"))
	old.WaitLeads()
	standby := w.Controller(flags("--lease-duration=15s"))
	w.ApplyDAG("dag", play("a", until("a")), play("b", "", after("a")))
	w.Start("run", "dag")
	w.WaitAttempt("run", "a", 1, "Running")
	leader := *w.theLease().Spec.HolderIdentity
	old.Stop()
	stopped := time.Now()
	if is := *w.theLease().Spec.HolderIdentity; is == leader {
		t.Errorf("the Lease is still held by %s, which has exited", is)
	}
	w.Open("a")
	standby.WaitLeads()
	t.Logf("the standby took the epoch %s after the exit of the leader",
		w.TakenAt().Sub(stopped).Round(time.Millisecond))
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b"))
	w.CheckOnce("a", "b")
	w.CheckStarts("run")
	w.CheckEpochs("2")
}

// A database that was restored from a backup is behind the epoch of its Lease.
func TestRestoredDatabase(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		c := w.Controller()
		c.WaitLeads()
		c.Stop()
	}
	w.CheckEpochs("2")
	w.Exec(`UPDATE kontroler.epochs SET epoch = 1`)
	refused := w.Launch()
	if code := refused.WaitExit(); code != 1 {
		t.Errorf("the controller exited with %d, want 1", code)
	}
	refused.WaitLog("--accept-restored-database")
	w.Controller(flags("--accept-restored-database")).WaitLeads()
	w.CheckEpochs("3")
	w.ApplyDAG("dag", play("a", ""))
	w.Start("run", "dag")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a"))
	w.CheckOnce("a")
	if is := w.theLease().Annotations[v1alpha1.AnnotationEpoch]; is != "3" {
		t.Errorf("the Lease has epoch %s, want 3", is)
	}
}
