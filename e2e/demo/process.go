package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// guardScript runs a program, and ends it when standard input closes: the demo has closed it or has ended.
const guardScript = `
exec 3<&0
"$@" </dev/null 3<&- & child=$!
{ read -r _ <&3; kill -s TERM $child; } 2>/dev/null & guard=$!
exec 3<&-
wait $child; status=$?
kill $guard 2>/dev/null
exit $status`

// stopGrace is how long a process may take to end after SIGTERM.
const stopGrace = 30 * time.Second

// process is a program that the demo has started, in a process group that the interrupts of the terminal do not reach.
// It ends with the demo, even if the demo is killed.
type process struct {
	cmd  *exec.Cmd
	hold io.Closer
	log  string
	done chan struct{} // closed when it has ended
	err  error         // of its end
}

// start starts a program that writes to a log file.
func start(log string, env []string, name string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	defer file.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", guardScript, "sh", name}, args...)...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{cmd: cmd, hold: hold, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the process gracefully, or kills it after stopGrace.
func (p *process) stop(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.hold.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("stopping a process: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	case <-time.After(stopGrace):
	}
	// The guard leads a process group of its own; the program is in it.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing a process: %w", err)
	}
	<-p.done
	return fmt.Errorf("a process did not end in %s and was killed", stopGrace)
}

// failure returns the error of a process that ended by itself.
func (p *process) failure(what string) error {
	return withLog(fmt.Errorf("%s: %w", what, p.exit()), p.log)
}

func (p *process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}
