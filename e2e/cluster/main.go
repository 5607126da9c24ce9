// Command cluster runs a real Kubernetes on a bare Linux machine: no Docker,
// no virtual machine, no image registry. One binary holds etcd, the Kubernetes
// components, kubectl, the CNI plugin and this orchestrator; containerd, its
// shim and crun come from the distribution.
//
// A cluster is one or more machines. A machine is one process tree in
// namespaces of its own: its first process (see supervisor.go) sets up private
// mounts and starts the components as its children. The machine "control" runs
// etcd, the API server, the controllers, an image registry and DNS; each
// machine "node-NAME" runs containerd, the kubelet and kube-proxy.
//
// Invariants:
//   - Everything a cluster makes is named after it or lies in its directory,
//     so any number of clusters run beside each other.
//   - cluster.json is written before the first thing is made, and each machine
//     records its own process before it starts anything, so that down can
//     always find what up made.
//   - Ending a machine's first process ends every process in it, containers
//     included, and with the last process go its mounts: the kernel does the
//     cleaning, not a list that could be out of date.
//   - Processes are known by pid and start time, never by name.
//   - Nothing listens on an address of the host other than the cluster's own
//     bridge, and no setting of the host is changed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage: cluster COMMAND ...

  up DIR [--name NAME] [--nodes N] [--no-node] [--owner-pid PID] [--apiserver-arg ARG]...
                              start a cluster; DIR/kubeconfig is the administrator's, DIR/bin/kubectl is kubectl
  down DIR                    end it and remove all it made, except DIR/log
  status DIR                  print what runs; exit 0 when all of it does
  node add DIR NAME           start one more node
  node stop DIR NAME          end a node at once, containers and all: node loss
  node start DIR NAME         start a stopped node again
  images add DIR REF FILE[:PATH]...
                              put an image in the cluster's registry: busybox plus the files (PATH: /FILE);
                              the first one is the entry point
  images load DIR FILE        put the images of an OCI archive in the cluster's registry, under the names in the archive
  images list DIR             the images in the cluster's registry
  kubectl ARG...              kubectl (DIR/bin/kubectl is the same)
`

func main() {
	if name := filepath.Base(os.Args[0]); components[name] != nil {
		os.Exit(components[name]())
	}
	if len(os.Args) > 1 && components[os.Args[1]] != nil {
		os.Args = os.Args[1:]
		os.Exit(components[os.Args[0]]())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// run carries out one command of the orchestrator.
func run(ctx context.Context, args []string) error {
	if len(args) >= 2 && (args[0] == "node" || args[0] == "images") {
		args = append([]string{args[0] + " " + args[1]}, args[2:]...)
	}
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	commands := map[string]func(context.Context, []string) error{
		"up": upCommand, "down": downCommand, "status": statusCommand,
		"node add": nodeAddCommand, "node stop": nodeStopCommand, "node start": nodeStartCommand,
		"images add": imagesAddCommand, "images load": imagesLoadCommand, "images list": imagesListCommand,
		machineCommand: superviseCommand, watchCommand: watchOwnerCommand,
	}
	switch command := commands[args[0]]; {
	case command != nil:
		return command(ctx, args[1:])
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Print(usage)
		return nil
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}

// dirArgs returns the cluster's directory and the n arguments after it.
func dirArgs(args []string, n int) (dir string, rest []string, err error) {
	if len(args) != n+1 {
		return "", nil, fmt.Errorf("wrong number of arguments\n%s", usage)
	}
	dir, err = filepath.Abs(args[0])
	if err != nil {
		return "", nil, fmt.Errorf("finding %s: %w", args[0], err)
	}
	return dir, args[1:], nil
}
