package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// machineCommand is the command, for the orchestrator's own use, that runs a
// machine's first process.
const machineCommand = "machine"

const controlMachine = "control"

func (n Node) machine() string { return "node-" + n.Name }

// startMachine starts a machine's first process: in the node's network
// namespace and in new process, mount, host-name and IPC namespaces.
func startMachine(ctx context.Context, c *Cluster, machine string, index int) error {
	log, err := os.Create(c.logFile(machine))
	if err != nil {
		return fmt.Errorf("starting machine %s: %w", machine, err)
	}
	defer log.Close()
	if err := os.RemoveAll(c.failureFile(machine)); err != nil {
		return fmt.Errorf("starting machine %s: %w", machine, err)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(exe, machineCommand, c.Dir, machine)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := inNetns(c.netID(index), cmd.Start); err != nil {
		return fmt.Errorf("starting machine %s: %w", machine, err)
	}
	return waitRecorded(ctx, c, machine, cmd.Process.Pid)
}

// waitRecorded waits until a machine has noted its first process.
func waitRecorded(ctx context.Context, c *Cluster, machine string, pid int) error {
	p, err := findProcess(strconv.Itoa(pid))
	if err != nil {
		return fmt.Errorf("starting machine %s: %w", machine, err)
	}
	return poll(ctx, func() (bool, error) {
		parts, err := c.recorded()
		if err != nil || parts[machine] == p {
			return true, err
		}
		if !p.alive() {
			return true, fmt.Errorf("starting machine %s: it ended at once:\n%s", machine, tail(c.logFile(machine), 20))
		}
		return false, nil
	})
}

// stopMachine ends a machine at once: the kernel ends every process in it with
// the first one.
func stopMachine(ctx context.Context, c *Cluster, machine string) error {
	parts, err := c.recorded()
	if err != nil {
		return err
	}
	p, ok := parts[machine]
	if !ok {
		return nil
	}
	if err := p.kill(ctx); err != nil {
		return fmt.Errorf("stopping machine %s: %w", machine, err)
	}
	if err := os.Remove(c.path("run", machine+".json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stopping machine %s: %w", machine, err)
	}
	return nil
}

func (c *Cluster) failureFile(machine string) string { return c.path("run", machine+".failed") }

// failure reports a machine that ended by itself, with the end of the log of
// the component that it ended for.
func (c *Cluster) failure() error {
	parts, err := c.recorded()
	if err != nil {
		return err
	}
	for machine, p := range parts {
		if p.alive() {
			continue
		}
		program := machine
		if data, err := os.ReadFile(c.failureFile(machine)); err == nil {
			program = string(data)
		}
		return fmt.Errorf("%s ended; the end of %s:\n%s", program, c.logFile(program), tail(c.logFile(program), 20))
	}
	return nil
}
