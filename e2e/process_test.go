package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// controller is a process of the controller. Its methods end the test when something goes wrong.
type controller struct {
	w       *world
	name    string
	address string // of health and metrics
	logFile string
	cmd     *exec.Cmd
	exited  chan struct{}
}

type processOption func(*exec.Cmd)

// flags gives a controller flags; the last of a kind wins.
func flags(args ...string) processOption {
	return func(cmd *exec.Cmd) { cmd.Args = append(cmd.Args, args...) }
}

// environment gives a controller variables, as NAME=value.
func environment(variables ...string) processOption {
	return func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, variables...) }
}

// on gives a controller another database than the world's first.
func on(d *database) processOption { return environment("DATABASE_URL=" + d.url) }

var processes atomic.Int32

// controller starts a controller that works in the world's namespace alone and waits until it is ready.
func (w *world) controller(options ...processOption) *controller {
	w.t.Helper()
	c := w.launch(options...)
	w.t.Logf("%s started", c.name)
	c.waitReady()
	return c
}

// launch starts a controller and waits for nothing.
func (w *world) launch(options ...processOption) *controller {
	w.t.Helper()
	n := int(processes.Add(1))
	c := &controller{w: w, name: fmt.Sprintf("controller-%d", n), exited: make(chan struct{})}
	// All of 127/8 is this machine: an address of its own makes fixed ports free.
	pid := os.Getpid()
	c.address = fmt.Sprintf("127.%d.%d.%d:%d", 1+pid>>8%250, pid%250, 1+n%250, 18080+n/250)
	c.logFile = filepath.Join(w.suite.dir, c.name+".log")
	log, err := os.Create(c.logFile)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(w.suite.controller, "--namespaces="+w.namespace, "--lease-namespace="+w.namespace, "--lease-duration=15s",
		"--health-address="+c.address, "--metrics-address="+c.address, "--log-format=text")
	c.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig, "DATABASE_URL="+w.url, "GORACE=halt_on_error=0 exitcode=0")
	for _, option := range options {
		option(c.cmd)
	}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	endWithParent(c.cmd)
	if err := c.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	w.processes = append(w.processes, c)
	w.t.Cleanup(c.cleanup)
	return c
}

// cleanup ends the process, and fails the test for what no controller may do.
func (c *controller) cleanup() {
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
	_ = c.cmd.Process.Kill()
	<-c.exited
	for _, never := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(c.log(), never) {
			c.w.t.Errorf("the log of %s has %q", c.name, never)
		}
	}
}

// log is what the process has logged.
func (c *controller) log() string {
	log, err := os.ReadFile(c.logFile)
	if err != nil {
		c.w.t.Error(err)
	}
	return string(log)
}

// get is an HTTP request to the process.
func (c *controller) get(path string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + c.address + path)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(content), err
}

// waitReady waits until the process is ready; one that exits fails the test.
func (c *controller) waitReady() {
	c.w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		status, body, err := c.get("/readyz")
		if status == http.StatusOK {
			return
		}
		select {
		case <-c.exited:
			c.w.t.Fatalf("%s exited: %s", c.name, c.cmd.ProcessState)
		default:
		}
		if time.Now().After(deadline) {
			c.w.t.Fatalf("%s is not ready: %d %s %v", c.name, status, body, err)
		}
	}
}

// waitLog waits until the process has logged a text.
func (c *controller) waitLog(text string) {
	c.w.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(c.log(), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.w.t.Fatalf("%s has not logged %q", c.name, text)
		}
	}
}

// leads reports whether the process has the Lease, by its metrics.
func (c *controller) leads() bool {
	_, body, err := c.get("/metrics")
	return err == nil && strings.Contains(body, "\nkontroler_leader 1")
}

func (c *controller) signal(s syscall.Signal) {
	c.w.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.w.t.Fatalf("%s: %v", c.name, err)
	}
}

// waitExit waits until the process has ended and returns its exit code, -1 after a signal.
func (c *controller) waitExit() int {
	c.w.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.w.t.Fatalf("%s does not exit", c.name)
	}
	return c.cmd.ProcessState.ExitCode()
}

// stop ends the process as Kubernetes does. It must exit by itself, without an error.
func (c *controller) stop() {
	c.w.t.Helper()
	c.signal(syscall.SIGTERM)
	if code := c.waitExit(); code != 0 {
		c.w.t.Fatalf("%s exited with %d after SIGTERM", c.name, code)
	}
}

// kill9 ends the process at once.
func (c *controller) kill9() {
	c.w.t.Helper()
	c.signal(syscall.SIGKILL)
	c.waitExit()
}

// freeze stops the process where it is; thaw lets it go on.
func (c *controller) freeze() { c.w.t.Helper(); c.signal(syscall.SIGSTOP) }
func (c *controller) thaw()   { c.w.t.Helper(); c.signal(syscall.SIGCONT) }
