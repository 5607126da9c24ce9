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

// Controller is a process of the controller. Its methods fail the test on an error.
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

// Flags adds flags. If a flag is given twice, the last one wins.
func Flags(args ...string) ProcessOption {
	return func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, args...) }
}

// Environment adds variables, as NAME=value.
func Environment(variables ...string) ProcessOption {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, variables...) }
}

// On selects a database. The default is the first one of the world.
func On(d *Database) ProcessOption { return Environment("DATABASE_URL=" + d.URL) }

// ReadsSecrets lets a controller read the Secrets that sign webhooks, which manifests/controller does not.
func (w *World) ReadsSecrets() ProcessOption { return Environment("KUBECONFIG=" + w.Accounts.Webhooks) }

var processes atomic.Int32

// Controller starts a controller that works only in the namespace of the world, and waits until it is ready. It has the
// permissions that manifests/controller grants.
func (w *World) Controller(options ...ProcessOption) *Controller {
	w.T.Helper()
	c := w.Launch(options...)
	w.T.Logf("%s started", c.Name)
	c.WaitReady()
	return c
}

// Launch starts a controller and does not wait for it.
func (w *World) Launch(options ...ProcessOption) *Controller {
	w.T.Helper()
	n := int(processes.Add(1))
	c := &Controller{w: w, Name: fmt.Sprintf("controller-%d", n), exited: make(chan struct{})}
	// All of 127/8 is this machine. With an address of its own, a process can use fixed ports.
	pid := os.Getpid()
	c.address = fmt.Sprintf("127.%d.%d.%d:%d", 1+pid>>8%250, pid%250, 1+n%250, 18080+n/250)
	c.logFile = filepath.Join(w.Suite.Dir, c.Name+".log")
	log, err := os.Create(c.logFile)
	if err != nil {
		w.T.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(w.Binary,
		"--namespaces="+w.Namespace, "--lease-namespace="+w.Namespace, "--lease-duration=15s",
		"--health-address="+c.address, "--metrics-address="+c.address, "--log-format=text")
	c.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Accounts.Controller, "DATABASE_URL="+w.URL,
		"GORACE=halt_on_error=0 exitcode=0")
	if w.completer != nil { // without containers there are no logs
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

// Uninstall runs `controller uninstall` for the first database of the world and returns its output.
func (w *World) Uninstall(options ...ProcessOption) (string, error) {
	w.T.Helper()
	cmd := exec.CommandContext(w.T.Context(), w.Binary, "uninstall", "--namespaces="+w.Namespace, "--log-format=text")
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+w.Accounts.Uninstall, "DATABASE_URL="+w.URL)
	for _, option := range options {
		option(cmd)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cleanup kills the process, and fails the test if the log has a data race or a panic.
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

// Log returns the log of the process.
func (c *Controller) Log() string {
	log, err := os.ReadFile(c.logFile)
	if err != nil {
		c.w.T.Error(err)
	}
	return string(log)
}

// Get sends an HTTP request to the process.
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

// WaitReady waits until the process is ready. The test fails if the process exits.
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

// WaitLog waits until the log contains a text.
func (c *Controller) WaitLog(text string) {
	c.w.T.Helper()
	for deadline := time.Now().Add(Patience); !strings.Contains(c.Log(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.w.T.Fatalf("%s has not logged %q", c.Name, text)
		}
	}
}

// Leads reports whether the metrics of the process say that it leads.
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

// WaitExit waits until the process has ended and returns its exit code, which is -1 after a signal.
func (c *Controller) WaitExit() int {
	c.w.T.Helper()
	select {
	case <-c.exited:
	case <-time.After(Patience):
		c.w.T.Fatalf("%s does not exit", c.Name)
	}
	return c.cmd.ProcessState.ExitCode()
}

// Stop sends SIGTERM, as Kubernetes does. The process must exit with 0.
func (c *Controller) Stop() {
	c.w.T.Helper()
	c.signal(syscall.SIGTERM)
	if code := c.WaitExit(); code != 0 {
		c.w.T.Fatalf("%s exited with %d after SIGTERM", c.Name, code)
	}
}

// Kill9 sends SIGKILL and waits for the end.
func (c *Controller) Kill9() {
	c.w.T.Helper()
	c.signal(syscall.SIGKILL)
	c.WaitExit()
}

// Freeze stops the process with SIGSTOP. Thaw continues it.
func (c *Controller) Freeze() { c.w.T.Helper(); c.signal(syscall.SIGSTOP) }

// Thaw continues a frozen process.
func (c *Controller) Thaw() { c.w.T.Helper(); c.signal(syscall.SIGCONT) }

// Counters returns the metrics of the process that are whole numbers, by name and labels.
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

// TakeOver lets a controller take the Lease of a dead one immediately. Its own Lease does not expire on a busy machine.
var TakeOver = Flags("--leader-elect=false", "--lease-duration=120s")

// DieAt starts a controller that kills itself at a crash point, "[scene ]point[:time]", and waits until it has ended.
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
		w.T.Fatalf("%s was not killed at %s, but ended by itself: %s", c.Name, point, c.cmd.ProcessState)
	}
	if is := hit(); is != point {
		w.T.Fatalf("%s was killed at %q, want %q", c.Name, is, point)
	}
}

// LaunchFaulty starts a controller with a fault and does not wait for it. hit returns the crash point that it has
// reached.
func (w *World) LaunchFaulty(fault string, options ...ProcessOption) (c *Controller, hit func() string) {
	w.T.Helper()
	file := filepath.Join(w.T.TempDir(), "hit")
	c = w.Launch(append([]ProcessOption{TakeOver, Environment("KONTROLER_FAULT="+fault, "KONTROLER_FAULT_FILE="+file)},
		options...)...)
	return c, func() string {
		point, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			w.T.Fatal(err)
		}
		return string(point)
	}
}

// LeaseDuration is the duration of a ShortLease. A standby must continue the work within twice that time.
const LeaseDuration = 8 * time.Second

// ShortLease gives a controller a Lease that a standby takes over soon.
var ShortLease = Flags("--lease-duration=" + LeaseDuration.String())

// WaitLeads waits until the process leads.
func (c *Controller) WaitLeads() {
	c.w.T.Helper()
	c.w.Eventually(c.Name+" to lead", Patience,
		func(context.Context) (bool, string) { return c.Leads(), "not the leader" })
}

// LongLease gives a controller a Lease that does not expire while a test freezes it or the machine is busy.
var LongLease = Flags("--lease-duration=120s")

// WaitUnready waits until the process is not ready because its database does not answer.
func (c *Controller) WaitUnready() {
	c.w.T.Helper()
	c.w.Eventually(c.Name+" to be unready", Patience, func(context.Context) (bool, string) {
		status, body, err := c.Get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "database: no answer"),
			fmt.Sprint(status, " ", body, err)
	})
	if status, body, err := c.Get("/healthz"); status != http.StatusOK {
		c.w.T.Errorf("/healthz says %d %s %v, want ok: a restart would not help", status, body, err)
	}
}
