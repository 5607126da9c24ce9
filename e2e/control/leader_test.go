package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kontroler/apis/kontroler/v1alpha1"
)

// leaseDuration of the controllers of these tests; a standby has to work on within two of them.
const leaseDuration = 8 * time.Second

var leased = flags("--lease-duration=" + leaseDuration.String())

// waitLeads waits until a process has the Lease.
func (c *controller) waitLeads() {
	c.w.t.Helper()
	c.w.eventually(c.name+" to lead", patience, func(context.Context) (bool, string) { return c.leads(), "none that does" })
}

// tap is a way to the API server that remembers what was sent over it.
type tap struct {
	kubeconfig string
	mu         sync.Mutex
	requests   []string
}

func (w *world) newTap() *tap {
	w.t.Helper()
	p := &tap{kubeconfig: filepath.Join(w.t.TempDir(), "kubeconfig")}
	target, err := url.Parse(w.config.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	transport, err := rest.TransportFor(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.RequestURI())
		p.mu.Unlock()
		proxy.ServeHTTP(answer, r)
	}))
	w.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["tap"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["tap"] = &clientcmdapi.Context{Cluster: "tap"}
	config.CurrentContext = "tap"
	if err := clientcmd.WriteToFile(*config, p.kubeconfig); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// over gives a controller the tap as its way to the API server.
func over(p *tap) processOption { return environment("KUBECONFIG=" + p.kubeconfig) }

func (p *tap) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[:len(p.requests):len(p.requests)]
}

// checkExitsUnheard lets a stopped leader go on, whose Lease another has by now: it exits by itself, asks for nothing but
// its Lease, and writes nothing. still: nobody else writes meanwhile, so that the whole database can be compared.
func (w *world) checkExitsUnheard(old *controller, p *tap, still bool) {
	w.t.Helper()
	var before, after string
	if still {
		before = w.text()
	}
	unsent := len(p.sent())
	old.thaw()
	if code := old.waitExit(); code != 1 {
		w.t.Errorf("the old leader exited with %d, want 1", code)
	}
	if still {
		after = w.text()
	}
	if diff := gocmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
		w.t.Errorf("the old leader has written to the database (-before +after):\n%s", diff)
	}
	for _, request := range p.sent()[unsent:] {
		if !strings.Contains(request, "/leases/") {
			w.t.Errorf("the old leader has asked the API server: %s", request)
		}
	}
	if log := old.log(); !strings.Contains(log, "exiting") {
		w.t.Errorf("the old leader has not said why it exits:\n%s", tail(log, 10))
	}
}

// checkEpochs checks which epoch is the last that was taken, and that the sessions of earlier ones end.
func (d *database) checkEpochs(want string) {
	d.t.Helper()
	if is := d.strings(`SELECT epoch::text FROM kontroler.epochs`); len(is) != 1 || is[0] != want {
		d.t.Errorf("the epoch is %v, want %s", is, want)
	}
	d.w.eventually("the sessions of earlier epochs to end", patience, func(context.Context) (bool, string) {
		sessions := d.strings(`SELECT DISTINCT application_name FROM pg_stat_activity
			WHERE datname = current_database() AND application_name ~ '^kontroler [a-z0-9]{10} ' AND application_name !~ $1`, " "+want+"$")
		return len(sessions) == 0, strings.Join(sessions, ", ")
	})
}

func TestLeaderStopped(t *testing.T) {
	w := newWorld(t)
	p := w.newTap()
	old := w.controller(leased, over(p))
	old.waitLeads()
	standby := w.controller(leased)
	w.applyDAG("dag", marked("a", until("a")), marked("b", until("b"), after("a")), marked("c", "", after("b")))
	w.start("run", "dag")
	w.waitAttempt("run", "a", 1, "Running")
	old.freeze()
	frozen := time.Now()
	w.open("a")
	b := w.waitAttempt("run", "b", 1, "Running")
	if late := b.DecidedAt.Sub(frozen); late > 2*leaseDuration {
		t.Errorf("the standby worked on after %s, want within %s", late, 2*leaseDuration)
	}
	if !standby.leads() {
		t.Error("the standby does not say that it leads")
	}
	w.open("b")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b", "c"))
	w.checkOnce("a", "b", "c")
	w.checkStarts("run")
	w.checkEpochs("2")
	w.checkExitsUnheard(old, p, true)
	w.checkEpochs("2")
}

// A leader that is stopped inside of a transaction holds the fence: the successor must get through, and the commit must
// fail whenever the old leader goes on.
func TestLeaderStoppedInATransaction(t *testing.T) {
	for name, tt := range map[string]struct {
		fault string
		ended bool // it goes on when the run has ended, else while the successor works on it
	}{
		"open, version":              {"transaction-open:1@dag-claimed", false},
		"commit, version":            {"transaction-commit:1@dag-claimed", true},
		"open, start":                {"transaction-open:1@run-claimed", true},
		"commit, start":              {"transaction-commit:1@run-claimed", false},
		"open, transition":           {"transaction-open:4@run-claimed", false},
		"commit, transition":         {"transaction-commit:3@run-claimed", true},
		"commit, another transition": {"transaction-commit:5@run-claimed", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.newTap()
			old, hit := w.launchFaulty("stop:"+tt.fault, leased, over(p)) // the last flag wins
			old.waitLeads()
			standby := w.controller(leased)
			scene := diamondScene()
			scene.tasks = append(scene.tasks, marked("last", until("go"), after("d")))
			scene.outcomes["last"], scene.effects = "Succeeded", append(scene.effects, "last")
			w.prepare(scene)
			point, _, _ := strings.Cut(tt.fault, ":")
			w.eventually("the leader to stop in a transaction", patience, func(context.Context) (bool, string) { return hit() == point, hit() })
			stopped := time.Now()
			standby.waitLeads()
			if took := w.takenAt(); took.Sub(stopped) > 2*leaseDuration {
				t.Errorf("the standby took the epoch after %s, want within %s", took.Sub(stopped), 2*leaseDuration)
			}
			w.checkEpochs("2")
			if tt.ended {
				w.open("go")
				w.checkScene(scene)
			}
			w.checkExitsUnheard(old, p, tt.ended)
			w.open("go")
			w.checkScene(scene)
			w.checkEpochs("2")
		})
	}
}

// takenAt is when the last epoch was taken.
func (d *database) takenAt() time.Time {
	d.t.Helper()
	var at time.Time
	if err := d.db.QueryRowContext(d.t.Context(), `SELECT taken_at FROM kontroler.epochs`).Scan(&at); err != nil {
		d.t.Fatal(err)
	}
	return at
}

// A leader that is told to stop hands over at once, in the middle of a run.
func TestLeaderHandsOver(t *testing.T) {
	w := newWorld(t)
	old := w.controller(flags("--lease-duration=15s"))
	old.waitLeads()
	standby := w.controller(flags("--lease-duration=15s"))
	w.applyDAG("dag", marked("a", until("a")), marked("b", "", after("a")))
	w.start("run", "dag")
	w.waitAttempt("run", "a", 1, "Running")
	old.stop()
	w.open("a")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b"))
	w.checkOnce("a", "b")
	w.checkStarts("run")
	w.checkEpochs("2")
	if !standby.leads() {
		t.Error("the standby does not say that it leads")
	}
}

// A database that was restored from a backup has forgotten epochs that its Lease remembers.
func TestRestoredDatabase(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		c := w.controller()
		c.waitLeads()
		c.stop()
	}
	w.checkEpochs("2")
	w.exec(`UPDATE kontroler.epochs SET epoch = 1`)
	refused := w.launch()
	if code := refused.waitExit(); code != 1 {
		t.Errorf("the controller exited with %d, want 1", code)
	}
	refused.waitLog("--accept-restored-database")
	w.controller(flags("--accept-restored-database")).waitLeads()
	w.checkEpochs("3")
	w.applyDAG("dag", marked("a", ""))
	w.start("run", "dag")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a"))
	w.checkOnce("a")
	leases, err := w.kube.CoordinationV1().Leases(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelController})
	if err != nil {
		t.Fatal(err)
	}
	if len(leases.Items) != 1 || leases.Items[0].Annotations[v1alpha1.AnnotationEpoch] != "3" {
		t.Errorf("the Leases are %v, want one with epoch 3", leases.Items)
	}
}
