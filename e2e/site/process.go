package site

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kontroler/e2e/harness"
)

// Patience is how long a test waits for what must come. It is no measurement.
const Patience = time.Minute

// shownOutput is how many bytes of the output of a process are shown when its test has failed.
const shownOutput = 8000

var addresses atomic.Int32

// NewAddress returns an address of this machine that nobody else uses, without a port.
func NewAddress() string {
	n, pid := int(addresses.Add(1)), os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8%250, pid%250, 1+n%250)
}

// Process is a process under test.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// Launch starts a command whose output goes to a file. The command ends with the test.
func Launch(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, log: filepath.Join(t.TempDir(), "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Chmod(0o666); err != nil { // nginx opens /dev/stdout as another user
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	harness.EndWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			text := p.Output()
			t.Logf("%s, its last lines:\n%s", filepath.Base(cmd.Path), text[max(0, len(text)-shownOutput):])
		}
	})
	return p
}

// Stop kills the process.
func (p *Process) Stop() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Wait waits until the process has ended by itself, and returns its exit code.
func (p *Process) Wait() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// hasExited reports whether the process has ended.
func (p *Process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Output is what the process has written.
func (p *Process) Output() string {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// Until waits until a condition holds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, Patience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// statusOf returns the status of an answer, or 0 if there is none.
func statusOf(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// write writes a file that every user may read, and returns its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// required returns a variable. Without it the test is skipped, or fails where CI is true.
func required(t testing.TB, name, what string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: %s", name, what)
		}
		t.Skipf("%s is not set: %s", name, what)
	}
	return value
}
