package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor is a machine's first process. It prepares the machine's mounts,
// starts the components, and ends, and all of the machine with it, when one of
// them does.
type supervisor struct {
	cluster *Cluster
	machine string
	exe     string
	env     map[string][]string // what a component's environment has beside componentEnv, by the component's name

	mu       sync.Mutex // also held while a child starts, so that it is known before it is reaped
	children map[int]string
	waiters  map[int]chan<- syscall.WaitStatus // of the programs that run waits for
}

// searchPath is where components look for programs of the distribution.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// superviseCommand runs a machine: its arguments are the cluster's directory
// and the machine's name.
func superviseCommand(ctx context.Context, args []string) error {
	dir, rest, err := dirArgs(args, 1)
	if err != nil {
		return err
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	s := &supervisor{
		cluster: c, machine: rest[0],
		children: map[int]string{}, waiters: map[int]chan<- syscall.WaitStatus{},
	}
	// Until the machine has a /proc of its own, the old one tells the pid that
	// the host knows this process by.
	if err := c.record(s.machine); err != nil {
		return err
	}
	if s.exe, err = os.Executable(); err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	work := runControl
	if s.machine != controlMachine {
		work = runNode
	}
	ended := make(chan error, 1)
	go func() {
		if err := work(ctx, s); err != nil {
			s.fail(s.machine)
			ended <- err
		}
	}()
	go func() { ended <- s.reap() }()
	go func() { ended <- s.watchDir() }()
	return <-ended
}

// start starts a component, which is a program of this binary or, given by its
// path, of the distribution.
func (s *supervisor) start(program string, args ...string) error {
	name := filepath.Base(program)
	logName := name
	if s.machine != controlMachine {
		logName = s.machine + "-" + name
	}
	log, err := os.Create(s.cluster.logFile(logName))
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()
	cmd := &exec.Cmd{Path: program, Args: append([]string{name}, args...), Dir: "/", Stdout: log, Stderr: log}
	if components[name] != nil {
		cmd.Path = s.exe
	}
	cmd.Env = append(componentEnv(), s.env[name]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	s.children[cmd.Process.Pid] = logName
	if s.machine != controlMachine {
		// A hundred containers that start at once must not starve the API server. It fails only for what has ended.
		_ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, nodeNice)
	}
	return nil
}

// componentEnv is a component's environment. GOGC: by default a sixth of an API server's processor time goes into
// collecting garbage.
func componentEnv() []string {
	return []string{"PATH=" + searchPath, "HOME=/root", "GOGC=400"}
}

// run runs a program to its end and returns its output, with what it says to standard error.
func (s *supervisor) run(program string, args, environ []string, dir string, input []byte) ([]byte, error) {
	name := filepath.Base(program)
	in, err := memoryFile(name, input)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, err := memoryFile(name, nil)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := &exec.Cmd{Path: program, Args: append([]string{program}, args...), Env: environ, Dir: dir}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	ended := make(chan syscall.WaitStatus, 1)
	s.mu.Lock()
	if err = cmd.Start(); err == nil {
		s.waiters[cmd.Process.Pid] = ended
	}
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	status := <-ended
	if err := cmd.Process.Release(); err != nil {
		return nil, fmt.Errorf("running %s: %w", name, err)
	}
	output, err := io.ReadAll(io.NewSectionReader(out, 0, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the output of %s: %w", name, err)
	}
	if status != 0 {
		return output, fmt.Errorf("%s ended: exit status %d, signal %d", name, status.ExitStatus(), status.Signal())
	}
	return output, nil
}

// memoryFile returns a file without a name that holds data, read from its beginning.
func memoryFile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("filling a file in memory: %w", err)
	}
	return f, nil
}

// nodeNice is the nice value of a node's components and containers; the control plane's is 0.
const nodeNice = 5

// reap collects ended processes, also those that lost their parent, until a
// component is among them.
func (s *supervisor) reap() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.ECHILD) || errors.Is(err, syscall.EINTR) {
			time.Sleep(pollInterval)
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for a component to end: %w", err)
		}
		s.mu.Lock()
		program, waiter := s.children[pid], s.waiters[pid]
		delete(s.waiters, pid)
		s.mu.Unlock()
		if waiter != nil {
			waiter <- status
		}
		if program != "" {
			s.fail(program)
			return fmt.Errorf("%s ended: exit status %d, signal %d", program, status.ExitStatus(), status.Signal())
		}
	}
}

// watchDir ends the machine when the cluster's directory is gone: then nobody
// could take the cluster down any more.
func (s *supervisor) watchDir() error {
	for {
		time.Sleep(time.Second)
		if _, err := os.Stat(s.cluster.path("cluster.json")); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the cluster's directory is gone: %w", err)
		}
	}
}

// fail notes which program the machine ends for.
func (s *supervisor) fail(program string) {
	if err := writeAtomic(s.cluster.failureFile(s.machine), []byte(program)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
