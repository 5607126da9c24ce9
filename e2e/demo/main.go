package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

// Exit codes.
const (
	exitFailed      = 1
	exitInterrupted = 130
)

const (
	crdDir       = "manifests/crd"
	demoManifest = "manifests/examples/demo.yaml"
	demoRun      = "manifests/examples/demo-run.yaml"
	namespace    = "demo"
	dagName      = "orders"
)

// errRunFailed: the run ended, and not well. Everything was said.
var errRunFailed = errors.New("the run did not succeed")

func main() { os.Exit(run()) }

func run() int {
	// SIGPIPE: nobody reads any more.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	d := &demo{
		once:    os.Getenv("ONCE") != "" && os.Getenv("ONCE") != "0",
		current: os.Getenv("CLUSTER") == "current",
		out:     newTerminal(os.Stdout, os.Getenv),
	}
	err := d.play(ctx)
	interrupted := ctx.Err() != nil
	d.takeDown()
	switch {
	case err == nil:
		return 0
	case interrupted:
		return exitInterrupted
	default:
		return exitFailed
	}
}

// A demo is one showing, with all that it started.
type demo struct {
	once, current bool
	out           *terminal
	undo          []undo

	dir        string // temporary, and its own
	node       *node
	database   *database
	controller *process
}

// play shows the demo and says itself what goes wrong.
func (d *demo) play(ctx context.Context) error {
	d.out.heading("Kontroler: a DAG of containers on a real Kubernetes")
	err := d.prepare(ctx)
	if err == nil {
		err = d.show(ctx)
	}
	if err == nil || errors.Is(err, errRunFailed) {
		return d.stay(ctx, err)
	}
	if ctx.Err() == nil {
		d.out.failure(err)
	}
	return err
}

// prepare starts everything, a step each.
func (d *demo) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kontroler-demo-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	d.dir = dir
	d.atEnd("", func(context.Context) error { return os.RemoveAll(dir) })
	// PostgreSQL runs as another user where this is root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	steps := []struct {
		doing string
		do    func(ctx context.Context, say func(string)) (string, error)
	}{
		{d.nodeStep(), d.startNode},
		{"starting a throwaway PostgreSQL", d.startDatabase},
		{"installing the custom resources", d.installCRDs},
		{"applying " + demoManifest, d.applyDemo},
		{"starting the controller", d.startController},
	}
	for _, step := range steps {
		if err := d.step(ctx, step.doing, step.do); err != nil {
			return err
		}
	}
	return nil
}

// show makes a run, follows it and tells what came of it.
func (d *demo) show(ctx context.Context) error {
	graph, run, err := d.createRun(ctx)
	if err != nil {
		return err
	}
	logs := followLogs(ctx, d.node.kube, run)
	final, err := d.follow(ctx, graph, run)
	if err != nil {
		return err
	}
	phase, err := d.projected(ctx, run)
	if err != nil {
		return err
	}
	d.tell(ctx, graph, final, logs.wait(3*time.Second))
	if phase != v1alpha1.RunSucceeded {
		return errRunFailed
	}
	return nil
}

// stay keeps everything up until Ctrl-C. It returns the error it was given.
func (d *demo) stay(ctx context.Context, err error) error {
	if d.once {
		return err
	}
	d.tellNext()
	select {
	case <-ctx.Done():
		return err
	case <-d.controller.done:
		err = d.controller.failure("the controller ended")
		d.out.failure(err)
		return err
	}
}

// inRepository says whether this is the top of the repository: every path here is relative to it.
func inRepository() error {
	if _, err := os.Stat(filepath.FromSlash(demoManifest)); err != nil {
		return fmt.Errorf("run `make demo` at the top of the repository: %w", err)
	}
	return nil
}
