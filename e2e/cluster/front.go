package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// frontDir is where a machine keeps what front asks for; front.c names the same paths.
const (
	frontDir     = "/run/cluster"
	cniSocket    = frontDir + "/cni.sock"
	cniPlugin    = "cluster"
	shimProgram  = "/usr/bin/containerd-shim-runc-v2"
	runtimeFront = "runtime"

	portmapPlugin  = "portmap"
	portmapProgram = "/usr/lib/cni/" + portmapPlugin
)

// installFront puts front, under the names of its parts, and crun in the node's directory for programs.
func installFront(dir, exeDir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	links := map[string]string{"crun": runtimeProgram}
	for _, name := range []string{loopbackPlugin, cniPlugin, runtimeFront, filepath.Base(shimProgram)} {
		links[name] = filepath.Join(exeDir, "front")
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("installing %s: %w", name, err)
		}
	}
	return nil
}

// serveCNI answers the calls of CNI plugins, in the background.
func serveCNI(ctx context.Context, p *cni, socket string) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return fmt.Errorf("serving CNI: %w", err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("serving CNI: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				fmt.Fprintln(os.Stderr, "serving CNI:", err)
				time.Sleep(pollInterval)
				continue
			}
			go func() {
				if err := answerCNI(ctx, p, conn); err != nil {
					fmt.Fprintln(os.Stderr, "serving CNI:", err)
				}
			}()
		}
	}()
	return nil
}

// answerCNI reads one call, carries it out and writes the exit status and the output.
func answerCNI(ctx context.Context, p *cni, conn net.Conn) (err error) {
	defer func() { err = errors.Join(err, conn.Close()) }()
	data, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("reading a call: %w", err)
	}
	status, output := p.answer(ctx, data)
	if status != 0 {
		fmt.Fprintf(os.Stderr, "CNI call failed: %s\n", output)
	}
	if _, err := conn.Write(append([]byte{status}, output...)); err != nil {
		return fmt.Errorf("answering a call: %w", err)
	}
	return nil
}
