package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store/storetest"
)

const outage = 20 * time.Second

// ownServer gives the world a database on a server of its own, which the test may stop.
func (w *world) ownServer() *storetest.Server {
	w.t.Helper()
	server := storetest.NewServer(w.t)
	w.database = w.openDatabase(server.URL())
	w.t.Cleanup(func() {
		if w.t.Failed() { // The server is gone when explain looks.
			w.t.Logf("database\n%s", tail(w.dump(), 300))
		}
	})
	return server
}

// waitUnready waits until a controller says that it is not ready for want of its database.
func (c *controller) waitUnready() {
	c.w.t.Helper()
	c.w.eventually(c.name+" to be unready", patience, func(context.Context) (bool, string) {
		status, body, err := c.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "database: no answer since 2"), fmt.Sprint(status, " ", body, err)
	})
	if status, body, err := c.get("/healthz"); status != http.StatusOK {
		c.w.t.Errorf("/healthz says %d %s %v: a restart would not help", status, body, err)
	}
}

// waitReason waits until a DagRun has a phase and a reason.
func (w *world) waitReason(run string, phase v1alpha1.RunPhase, reason string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("DagRun %s to be %s %q", run, phase, reason), patience, func(context.Context) (bool, string) {
		s := w.dagRun(run).Status
		return s.Phase == phase && s.Reason == reason, fmt.Sprintf("%s %q: %s", s.Phase, s.Reason, s.Message)
	})
}

// outageRuns are runs that live through an outage: one whose task a ends in it, one of which nothing happens in it; another
// one begins in it.
func (w *world) outageRuns() {
	w.t.Helper()
	w.applyDAG("dag", marked("a", until("a")), marked("b", "", after("a")), marked("long", until("end")))
	w.applyDAG("later", marked("first", ""), marked("second", "", after("first")))
	w.applyDAG("quiet", marked("hum", until("end")))
	w.start("run", "dag")
	w.start("quiet", "quiet")
	w.waitAttempt("run", "a", 1, "Running")
	w.waitAttempt("run", "long", 1, "Running")
	w.waitAttempt("quiet", "hum", 1, "Running")
	w.waitReason("run", v1alpha1.RunRunning, "")
	w.waitReason("quiet", v1alpha1.RunRunning, "")
}

func (w *world) checkOutageRuns() {
	w.t.Helper()
	w.waitTask("run", "b", "Succeeded", "*")
	// What was said of the outage is taken back, also where nothing happens.
	w.waitReason("run", v1alpha1.RunRunning, "")
	w.waitReason("quiet", v1alpha1.RunRunning, "")
	w.open("end")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b", "long"))
	w.checkFinal("later", "Succeeded", all("Succeeded", "first", "second"))
	w.checkFinal("quiet", "Succeeded", all("Succeeded", "hum"))
	w.checkOnce("a", "b", "long", "first", "second", "hum")
	w.checkStarts("run", "later", "quiet")
	for _, run := range []string{"run", "later", "quiet"} {
		for _, task := range w.tasks(run) {
			if task.Attempts != 1 {
				w.t.Errorf("task %s took %d attempts", task.Name, task.Attempts)
			}
		}
	}
}

func TestDatabaseStopped(t *testing.T) {
	w := newWorld(t)
	server := w.ownServer()
	c := w.controller(patientLease)
	w.outageRuns()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	back := time.After(outage)
	c.waitUnready()
	w.waitReason("run", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.waitReason("quiet", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.start("later", "later")
	w.waitReason("later", v1alpha1.RunPending, "DatabaseUnavailable")
	w.open("a")
	w.waitPod("run", "a", terminated)
	<-back
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.waitReady()
	w.checkOutageRuns()
	w.checkEpochs("1")
}

// Away for longer than a lease duration: the leader gives the Lease up, and takes it again.
func TestDatabaseAwayLongerThanTheLease(t *testing.T) {
	w := newWorld(t)
	server := w.ownServer()
	c := w.controller(flags("--lease-duration=10s"))
	w.outageRuns()
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	back := time.After(outage)
	c.waitUnready()
	w.waitReason("run", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.waitReason("quiet", v1alpha1.RunRunning, "DatabaseUnavailable")
	w.open("a")
	c.waitLog("released the Lease")
	w.start("later", "later")
	w.waitReason("later", v1alpha1.RunPending, "DatabaseUnavailable") // although nobody leads
	if c.leads() {
		t.Error("the controller says that it leads")
	}
	<-back
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.waitReady()
	c.waitLeads()
	w.checkOutageRuns()
	w.checkEpochs("2")
}

// A database that crashes in the middle of commits leaves the controller in doubt of what it has written.
func TestDatabaseCrashesAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	server := w.ownServer()
	w.controller(patientLease)
	var tasks []v1alpha1.Task
	var names []string
	for i := range 15 {
		names = append(names, fmt.Sprintf("t%02d", i))
		task := marked(names[i], once(names[i], "exit 1"), retries(1))
		if i >= 3 {
			task.RunAfter = []string{names[i-3]}
		}
		tasks = append(tasks, task)
	}
	w.applyDAG("dag", tasks...)
	w.start("run", "dag")
	for n := 3; n <= 24; n += 3 {
		w.waitStarted(n)
		if err := server.Crash(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w.checkFinal("run", "Succeeded", all("Succeeded 2", names...))
	w.checkOnce(names...)
	w.checkStarts("run")
}

// A controller that is started while its database is away waits for it, and says so.
func TestStartWithoutDatabase(t *testing.T) {
	w := newWorld(t)
	server := w.ownServer()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	c := w.launch()
	w.eventually("the controller to be unready", patience, func(context.Context) (bool, string) {
		status, body, err := c.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "database: "), fmt.Sprint(status, " ", body, err)
	})
	c.waitLog("waiting for the database")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.waitReady()
	w.applyDAG("dag", marked("a", ""))
	w.start("run", "dag")
	w.checkFinal("run", "Succeeded", all("Succeeded", "a"))
	w.checkOnce("a")
}
