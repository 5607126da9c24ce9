package main

import (
	"context"
	"errors"
	"flag"
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
	flawed       = "manifests/examples/invoices.yaml" // to be corrected in the UI
	namespace    = "demo"
	dagName      = "orders"
)

// errRunFailed says that the run did not succeed. The demo has reported it already.
var errRunFailed = errors.New("the run did not succeed")

func main() {
	bundle := flag.String("ui", "", "the directory of the UI; without it there is none")
	flag.Parse()
	os.Exit(run(*bundle))
}

func run(bundle string) int {
	// SIGPIPE means that nobody reads the output.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGPIPE)
	defer stop()
	d := &demo{
		once:    os.Getenv("ONCE") != "" && os.Getenv("ONCE") != "0",
		current: os.Getenv("CLUSTER") == "current",
		bundle:  bundle,
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

// demo is the state of the demo, with everything that it has started.
type demo struct {
	once, current bool
	bundle        string // the directory of the UI; empty means that there is none
	out           *terminal
	undo          []undo

	dir        string // temporary directory
	node       *node
	database   *database
	controller *process
	server     *server
	ui         string // the address of the UI
}

// play shows the demo and prints errors.
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

// prepare starts all parts, one step for each.
func (d *demo) prepare(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kontroler-demo-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	d.dir = dir
	d.atEnd("", func(context.Context) error { return os.RemoveAll(dir) })
	// PostgreSQL runs as another user if this is root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	type step struct {
		doing string
		do    func(ctx context.Context, say func(string)) (string, error)
	}
	steps := []step{
		{d.nodeStep(), d.startNode},
		{"starting a throwaway PostgreSQL", d.startDatabase},
		{"installing the custom resources", d.installCRDs},
		{"applying " + demoManifest, d.applyDemo},
		{"starting the controller", d.startController},
		{"starting the server", d.startServer},
	}
	if d.bundle != "" {
		steps = append(steps, step{"serving the UI", d.startUI})
	}
	for _, step := range steps {
		if err := d.step(ctx, step.doing, step.do); err != nil {
			return err
		}
	}
	return nil
}

// show creates a run, follows it and prints its result.
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
	d.printResult(ctx, graph, final, logs.wait(3*time.Second))
	if phase != v1alpha1.RunSucceeded {
		return errRunFailed
	}
	return nil
}

// stay waits for Ctrl-C and returns err.
func (d *demo) stay(ctx context.Context, err error) error {
	if d.once {
		return err
	}
	d.printNext()
	select {
	case <-ctx.Done():
		return err
	case <-d.controller.done:
		err = d.controller.failure("the controller ended")
	case <-d.server.done:
		err = d.server.failure("the server ended")
	}
	d.out.failure(err)
	return err
}

// inRepository returns an error if the working directory is not the top of the repository. All paths are relative to
// it.
func inRepository() error {
	if _, err := os.Stat(filepath.FromSlash(demoManifest)); err != nil {
		return fmt.Errorf("not at the top of the repository (run `make demo` there): %w", err)
	}
	return nil
}
