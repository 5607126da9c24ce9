package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Controller is a process of the controller. Its methods end the test when something goes wrong.
type Controller struct {
	w       *World
	Name    string
	address string // of health and metrics
	logFile string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// ProcessOption changes the command of a controller.
type ProcessOption func(*exec.Cmd)

// Flags gives a controller flags; the last of a kind wins.
func Flags(args ...string) ProcessOption {
	return func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, args...) }
}

// Environment gives a controller variables, as NAME=value.
func Environment(variables ...string) ProcessOption {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, variables...) }
}

// On gives a controller another database than the world's first.
func On(d *Database) ProcessOption { return Environment("DATABASE_URL=" + d.URL) }

var processes atomic.Int32

// Controller starts a controller that works in the world's namespace alone and waits until it is ready.
func (w *World) Controller(options ...ProcessOption) *Controller {
	w.T.Helper()
	c := w.Launch(options...)
	w.T.Logf("%s started", c.Name)
	c.WaitReady()
	return c
}

// Launch starts a controller and waits for nothing.
func (w *World) Launch(options ...ProcessOption) *Controller {
	w.T.Helper()
	n := int(processes.Add(1))
	c := &Controller{w: w, Name: fmt.Sprintf("controller-%d", n), exited: make(chan struct{})}
	// All of 127/8 is this machine: an address of its own makes fixed ports free.
	pid := os.Getpid()
	c.address = fmt.Sprintf("127.%d.%d.%d:%d", 1+pid>>8%250, pid%250, 1+n%250, 18080+n/250)
	c.logFile = filepath.Join(w.Suite.Dir, c.Name+".log")
	log, err := os.Create(c.logFile)
	if err != nil {
		w.T.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(w.Binary, "--namespaces="+w.Namespace, "--lease-namespace="+w.Namespace, "--lease-duration=15s",
		"--health-address="+c.address, "--metrics-address="+c.address, "--log-format=text")
	c.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig, "DATABASE_URL="+w.URL, "GORACE=halt_on_error=0 exitcode=0")
	if w.completer != nil { // there is no container, hence no log
		c.cmd.Args = append(c.cmd.Args, "--log-archive=off")
	}
	for _, option := range options {
		option(c.cmd)
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	EndWithParent(c.cmd)
	if err := c.cmd.Start(); err != nil {
		w.T.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	w.processes = append(w.processes, c)
	w.T.Cleanup(c.cleanup)
	return c
}

// cleanup ends the process, and fails the test for what no controller may do.
func (c *Controller) cleanup() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	_ = c.cmd.Process.Kill()
	<-c.exited
	for _, never := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(c.Log(), never) {
			c.w.T.Errorf("the log of %s has %q", c.Name, never)
		}
	}
}

// Log is what the process has logged.
func (c *Controller) Log() string {
	log, err := os.ReadFile(c.logFile)
	if err != nil {
		c.w.T.Error(err)
	}
	return string(log)
}

// Get is an HTTP request to the process.
func (c *Controller) Get(path string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + c.address + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), err
}

// WaitReady waits until the process is ready; one that exits fails the test.
func (c *Controller) WaitReady() {
	c.w.T.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(50 * time.Millisecond) {
		status, body, err := c.Get("/readyz")
		if status == http.StatusOK {
			return
		}
		select {
		case <-c.exited:
			c.w.T.Fatalf("%s exited: %s", c.Name, c.cmd.ProcessState)
		default:
		}
		if time.Now().After(deadline) {
			c.w.T.Fatalf("%s is not ready: %d %s %v", c.Name, status, body, err)
		}
	}
}

// WaitLog waits until the process has logged a text.
func (c *Controller) WaitLog(text string) {
	c.w.T.Helper()
	for deadline := time.Now().Add(Patience); !strings.Contains(c.Log(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.w.T.Fatalf("%s has not logged %q", c.Name, text)
		}
	}
}

// Leads reports whether the process has the Lease, by its metrics.
func (c *Controller) Leads() bool {
	_, body, err := c.Get("/metrics")
	return err == nil && strings.Contains(body, "\nkontroler_leader 1")
}

func (c *Controller) signal(s syscall.Signal) {
	c.w.T.Helper()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.w.T.Fatalf("%s: %v", c.Name, err)
	}
}

// WaitExit waits until the process has ended and returns its exit code, -1 after a signal.
func (c *Controller) WaitExit() int {
	c.w.T.Helper()
	select {
	case <-c.exited:
	case <-time.After(Patience):
		c.w.T.Fatalf("%s does not exit", c.Name)
	}
	return c.cmd.ProcessState.ExitCode()
}

// Stop ends the process as Kubernetes does. It must exit by itself, without an error.
func (c *Controller) Stop() {
	c.w.T.Helper()
	c.signal(syscall.SIGTERM)
	if code := c.WaitExit(); code != 0 {
		c.w.T.Fatalf("%s exited with %d after SIGTERM", c.Name, code)
	}
}

// Kill9 ends the process at once.
func (c *Controller) Kill9() {
	c.w.T.Helper()
	c.signal(syscall.SIGKILL)
	c.WaitExit()
}

// Freeze stops the process where it is; thaw lets it go on.
func (c *Controller) Freeze() { c.w.T.Helper(); c.signal(syscall.SIGSTOP) }

// Thaw lets a stopped process go on.
func (c *Controller) Thaw() { c.w.T.Helper(); c.signal(syscall.SIGCONT) }

// Counters are the controller's metrics that are whole numbers, by name and labels.
func (c *Controller) Counters() map[string]int {
	c.w.T.Helper()
	_, metrics, err := c.Get("/metrics")
	if err != nil {
		c.w.T.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(metrics) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(value); err == nil {
			counts[series] = n
		}
	}
	return counts
}

// AtOnce is for a controller that takes the Lease of one that is dead; its own does not run out when the machine is busy.
var AtOnce = Flags("--leader-elect=false", "--lease-duration=120s")

// DieAt starts a controller that is killed at a point, "[scene ]point[:time]", and waits until it was.
func (w *World) DieAt(fault string, during func()) {
	w.T.Helper()
	point, times, _ := strings.Cut(fault[strings.LastIndex(fault, " ")+1:], ":")
	if times == "" {
		times = "1"
	}
	c, hit := w.LaunchFaulty("kill:" + point + ":" + times)
	if during != nil {
		during()
	}
	c.WaitExit()
	if is := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !is.Signaled() || is.Signal() != syscall.SIGKILL {
		w.T.Fatalf("%s ended by itself, it was to be killed at %s: %s", c.Name, point, c.cmd.ProcessState)
	}
	if is := hit(); is != point {
		w.T.Fatalf("%s was killed at %q, want %q", c.Name, is, point)
	}
}

// LaunchFaulty starts a controller with a fault, ready or not. hit returns the point once it was reached.
func (w *World) LaunchFaulty(fault string, options ...ProcessOption) (c *Controller, hit func() string) {
	w.T.Helper()
	file := filepath.Join(w.T.TempDir(), "hit")
	c = w.Launch(append([]ProcessOption{AtOnce, Environment("KONTROLER_FAULT="+fault, "KONTROLER_FAULT_FILE="+file)}, options...)...)
	return c, func() string {
		point, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			w.T.Fatal(err)
		}
		return string(point)
	}
}

// LeaseDuration of the controllers of these tests; a standby has to work on within two of them.
const LeaseDuration = 8 * time.Second

// Leased gives a controller a Lease that a standby takes over soon.
var Leased = Flags("--lease-duration=" + LeaseDuration.String())

// WaitLeads waits until a process has the Lease.
func (c *Controller) WaitLeads() {
	c.w.T.Helper()
	c.w.Eventually(c.Name+" to lead", Patience, func(context.Context) (bool, string) { return c.Leads(), "none that does" })
}

// PatientLease gives a controller a Lease that a test may freeze it under.
var PatientLease = Flags("--lease-duration=120s")

// WaitUnready waits until a controller says that it is not ready for want of its database.
func (c *Controller) WaitUnready() {
	c.w.T.Helper()
	c.w.Eventually(c.Name+" to be unready", Patience, func(context.Context) (bool, string) {
		status, body, err := c.Get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "database: no answer since 2"), fmt.Sprint(status, " ", body, err)
	})
	if status, body, err := c.Get("/healthz"); status != http.StatusOK {
		c.w.T.Errorf("/healthz says %d %s %v: a restart would not help", status, body, err)
	}
}
