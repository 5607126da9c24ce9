package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildFront builds front for a directory of the test's own, and installs its parts there.
func buildFront(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", filepath.Join(dir, "front"),
		fmt.Sprintf(`-DRUN_DIR=%q`, dir), "front/front.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building front: %v\n%s", err, out)
	}
	for _, name := range []string{loopbackPlugin, cniPlugin, runtimeFront} {
		if err := os.Symlink("front", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeScript(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// runFront runs a part of front and returns its exit status and output.
func runFront(t *testing.T, cmd *exec.Cmd) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestFrontHandsOverCNICalls(t *testing.T) {
	dir := buildFront(t)
	p := &cni{pods: netip.MustParsePrefix("10.77.128.0/22")}
	if err := serveCNI(t.Context(), p, filepath.Join(dir, "cni.sock")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		command, input string
		status         int
		output         string
	}{
		{"VERSION", `{"cniVersion":"1.0.0"}`, 0, `"supportedVersions":["0.3.0"`},
		{"STATUS", `{"cniVersion":"1.1.0","name":"` + strings.Repeat("x", 100_000) + `"}`, 0, ""},
		{"ADD", `{"cniVersion":"1.0.0"}`, 1, `"msg":"CNI_CONTAINERID is not set"`},
	} {
		cmd := exec.Command(filepath.Join(dir, cniPlugin))
		cmd.Env = []string{"OTHER=1", "CNI_COMMAND=" + test.command}
		cmd.Stdin = strings.NewReader(test.input)
		status, stdout, stderr := runFront(t, cmd)
		if status != test.status || !strings.Contains(stdout, test.output) || stderr != "" {
			t.Errorf("%s: status %d, %s%s, want %d, %s", test.command, status, stdout, stderr, test.status, test.output)
		}
	}
}

func TestFrontFailsWithoutTheNode(t *testing.T) {
	cmd := exec.Command(filepath.Join(buildFront(t), cniPlugin))
	if status, _, stderr := runFront(t, cmd); status == 0 || !strings.Contains(stderr, "reaching the node") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestFrontRuntime(t *testing.T) {
	dir := buildFront(t)
	run := func(args ...string) (int, string, string) {
		return runFront(t, exec.Command(filepath.Join(dir, runtimeFront), args...))
	}
	const gone = "error opening file `status`: No such file or directory"
	writeScript(t, filepath.Join(dir, "crun"), `echo "crun: $*"; echo '`+gone+`' >&2; exit 3`)
	status, stdout, stderr := run("create", "--bundle", "x", "one")
	if status != 3 || stdout != "crun: create --bundle x one\n" || stderr != gone+"\n" {
		t.Errorf("create: %d, %q, %q", status, stdout, stderr)
	}
	for _, command := range []string{"kill", "delete"} {
		status, _, stderr := run("--root", "x", command, "one")
		if status != 3 || !strings.Contains(stderr, gone) || !strings.Contains(stderr, "container does not exist") {
			t.Errorf("%s: %d, %q, want status 3, what crun says, and that the container does not exist", command, status, stderr)
		}
	}
	writeScript(t, filepath.Join(dir, "crun"), `head -c 1000000 /dev/zero; exit 0`)
	if status, _, stderr := run("delete", "one"); status != 0 || strings.Contains(stderr, "does not exist") {
		t.Errorf("delete that succeeds: %d", status)
	}
}
