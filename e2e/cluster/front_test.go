package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/api/runtime/task/v2"
	"google.golang.org/protobuf/proto"
)

// buildFront builds front for a directory of the test's own, and installs its parts there. The real shim and crun are
// scripts that print their name and what follows.
func buildFront(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	build := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", filepath.Join(dir, "front"),
		fmt.Sprintf(`-DRUN_DIR=%q`, dir), fmt.Sprintf(`-DSHIM=%q`, filepath.Join(dir, "real-shim")),
		fmt.Sprintf(`-DRUNTIME_STATE=%q`, filepath.Join(dir, "state")), "front/front.c")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building front: %v\n%s", err, out)
	}
	for _, name := range []string{loopbackPlugin, cniPlugin, runtimeFront, filepath.Base(shimProgram)} {
		if err := os.Symlink("front", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeScript(t, filepath.Join(dir, "real-shim"), `echo "real shim: $*"`)
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

// A Pod's containers get the address of the shim that its sandbox has started, as long as that shim answers.
func TestFrontShimStart(t *testing.T) {
	dir := buildFront(t)
	const sandbox, container = "0123456789abcdef", "fedcba9876543210"
	for _, id := range []string{sandbox, container} {
		writeFile(t, filepath.Join(dir, "bundles", id, "config.json"),
			`{"process":{"env":["X=\"io.kubernetes.cri.sandbox-id\":\"77\""]},`+
				`"annotations":{"io.kubernetes.cri.sandbox-id":"`+sandbox+`","io.kubernetes.cri.sandbox-name":"x"}}`)
	}
	start := func(id string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, filepath.Base(shimProgram)), "-namespace", "k8s.io", "-id", id, "start")
		cmd.Dir = filepath.Join(dir, "bundles", id)
		_, stdout, stderr := runFront(t, cmd)
		return stdout + stderr
	}
	const real = "real shim: -namespace k8s.io -id "
	if got := start(container); got != real+container+" start\n" {
		t.Errorf("start before the sandbox has a shim: %q, want the real shim", got)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "shim.sock"))
	if err != nil {
		t.Fatal(err)
	}
	address := "unix://" + listener.Addr().String()
	writeFile(t, filepath.Join(dir, "bundles", sandbox, "address"), address)
	if got := start(container); got != address {
		t.Errorf("start of a container: %q, want the address of the sandbox's shim, %q", got, address)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "bundles", container, "address")); string(got) != address {
		t.Errorf("the container's file address: %q, %v, want %q", got, err, address)
	}
	if got := start(sandbox); got != real+sandbox+" start\n" {
		t.Errorf("start of the sandbox: %q, want the real shim", got)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if got := start(container); got != real+container+" start\n" {
		t.Errorf("start after the shim has ended: %q, want the real shim", got)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFrontShimDelete(t *testing.T) {
	dir := buildFront(t)
	run := func(args ...string) (int, string, string) {
		return runFront(t, exec.Command(filepath.Join(dir, filepath.Base(shimProgram)), args...))
	}
	bundle := filepath.Join(dir, "bundle")
	remove := []string{"-namespace", "k8s.io", "-id", "one", "-bundle", bundle, "delete"}
	for _, sub := range []string{"", "rootfs"} {
		if err := os.MkdirAll(filepath.Join(bundle, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		_, stdout, stderr := run(remove...)
		var response task.DeleteResponse
		if err := proto.Unmarshal([]byte(stdout), &response); err != nil {
			t.Fatalf("%v: %q, %q", err, stdout, stderr)
		}
		ago := time.Since(response.ExitedAt.AsTime())
		if response.ExitStatus != 137 || ago < -time.Minute || ago > time.Minute {
			t.Errorf("delete of a container that is gone: %v, want exit status 137, now", &response)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "state/k8s.io/one"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := "real shim: " + strings.Join(remove, " ") + "\n"
	if _, stdout, stderr := run(remove...); stdout != want {
		t.Errorf("delete of a container that has a state: %q, %q, want %q", stdout, stderr, want)
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
			t.Errorf("%s: %d, %q, want status 3, what crun says, and that the container does not exist",
				command, status, stderr)
		}
	}
	writeScript(t, filepath.Join(dir, "crun"), `head -c 1000000 /dev/zero; exit 0`)
	if status, _, stderr := run("delete", "one"); status != 0 || strings.Contains(stderr, "does not exist") {
		t.Errorf("delete that succeeds: %d", status)
	}
}
