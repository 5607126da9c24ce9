package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process names one process for good: a pid is used again, a pid with the time
// it started at is not.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot
}

// findProcess describes the process that has a pid now, as seen in /proc.
func findProcess(pid string) (process, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return process{}, fmt.Errorf("looking at process %s: %w", pid, err)
	}
	p, _, err := parseStat(stat)
	if err != nil {
		return process{}, fmt.Errorf("looking at process %s: %w", pid, err)
	}
	return p, nil
}

// parseStat reads /proc/PID/stat. The command in it may contain anything, so
// fields are counted from its closing parenthesis.
func parseStat(stat []byte) (p process, state string, err error) {
	pid, _, _ := bytes.Cut(stat, []byte(" "))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return process{}, "", errors.New("unexpected contents of its stat file")
	}
	if p.PID, err = strconv.Atoi(string(pid)); err != nil {
		return process{}, "", err
	}
	p.Start, err = strconv.ParseUint(fields[19], 10, 64)
	return p, fields[0], err
}

// alive says whether the process still runs.
func (p process) alive() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return false
	}
	now, state, err := parseStat(stat)
	return err == nil && now == p && state != "Z" && state != "X"
}

// kill ends the process, and waits until it is gone. The descriptor makes sure
// that the one checked is the one ended.
func (p process) kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", p.PID, err)
	}
	if err := poll(ctx, func() (bool, error) { return !p.alive(), nil }); err != nil {
		return fmt.Errorf("waiting for the end of process %d: %w", p.PID, err)
	}
	return nil
}

// record notes the calling process as the one that runs a part of the cluster.
func (c *Cluster) record(part string) error {
	self, err := findProcess("self")
	if err != nil {
		return err
	}
	data, err := json.Marshal(self)
	if err != nil {
		return fmt.Errorf("encoding process %d: %w", self.PID, err)
	}
	return writeAtomic(c.path("run", part+".json"), data)
}

// recorded returns the parts of the cluster that were started, running or not.
func (c *Cluster) recorded() (map[string]process, error) {
	files, err := filepath.Glob(c.path("run", "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing what runs: %w", err)
	}
	parts := map[string]process{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading what runs: %w", err)
		}
		var p process
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		parts[strings.TrimSuffix(filepath.Base(file), ".json")] = p
	}
	return parts, nil
}
