package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchCommand is the command, for the orchestrator's own use, that takes the
// cluster down when its owner ends.
const watchCommand = "watch-owner"

// startWatch starts the watch over the cluster's owner. The watch gets a
// descriptor of the owner, so that a later process of that pid cannot be taken
// for it.
func startWatch(c *Cluster, ownerPID int) error {
	fd, err := unix.PidfdOpen(ownerPID, 0)
	if err != nil {
		return fmt.Errorf("watching process %d: %w", ownerPID, err)
	}
	owner := os.NewFile(uintptr(fd), "owner")
	defer owner.Close()
	log, err := os.Create(c.logFile("watch"))
	if err != nil {
		return fmt.Errorf("starting the watch: %w", err)
	}
	defer log.Close()
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(exe, watchCommand, c.Dir, strconv.Itoa(ownerPID))
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.ExtraFiles = []*os.File{owner}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the watch: %w", err)
	}
	return nil
}

// watchOwnerCommand waits for the end of the owner, whose descriptor is the
// first one after standard error.
func watchOwnerCommand(ctx context.Context, args []string) error {
	dir, rest, err := dirArgs(args, 1)
	if err != nil {
		return err
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	if err := c.record("watch"); err != nil {
		return err
	}
	const ownerFD = 3
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: ownerFD, Events: unix.POLLIN}}, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watching process %s: %w", rest[0], err)
		}
		if n > 0 {
			fmt.Printf("process %s ended: taking the cluster down\n", rest[0])
			return down(ctx, dir)
		}
	}
}
