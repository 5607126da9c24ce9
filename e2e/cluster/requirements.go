package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	containerdProgram = "/usr/bin/containerd"
	// runtimeProgram is crun, as a Pod takes a third less processor time with it than with runc.
	runtimeProgram = "/usr/bin/crun"
)

// checkRequirements says in one line what the host lacks.
func checkRequirements(bare bool) error {
	if os.Geteuid() != 0 {
		return errors.New("this needs root: it makes namespaces, mounts and network links; run it as root")
	}
	if bare {
		return nil
	}
	var missing []string
	for _, program := range []string{"containerd", "crun", "iptables", "conntrack"} {
		if _, err := lookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	for _, program := range []string{shimProgram, portmapProgram} {
		if _, err := os.Stat(program); err != nil {
			missing = append(missing, program)
		}
	}
	if static, err := isStatic(busyboxProgram); err != nil || !static {
		missing = append(missing, "a static "+busyboxProgram)
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s; run scripts/setup, which installs them", strings.Join(missing, ", "))
	}
	return nil
}

// lookPath finds a program where the machines will look for it.
func lookPath(program string) (string, error) {
	for dir := range strings.SplitSeq(searchPath, ":") {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("finding %s: %w", program, exec.ErrNotFound)
}

// exeDir is the directory of this binary, where pause and the images are too.
func exeDir() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	return filepath.Dir(exe), nil
}

// tail returns the last lines of a file, for an error message.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
