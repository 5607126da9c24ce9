// Command controller runs Kontroler's controller, the core of Kontroler: it
// watches DAGs and DagRuns and runs their tasks as Pods. See --help.
//
// It starts in this order: configuration, API server (is it there, are the
// custom resources, are the permissions), health and metrics, database,
// watches, election. Whatever is wrong by then ends it with one line that says
// what to do; a database that does not answer is waited for.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "time/tzdata" // schedules name time zones, and an image may have none
)

// Exit codes.
const (
	exitFailed  = 1
	exitConfig  = 2
	exitAborted = 130
)

func main() { os.Exit(run(os.Args[1:], os.LookupEnv)) }

func run(args []string, env func(string) (string, bool)) int {
	cfg, err := parseConfig(args, env)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s\ncontroller: see controller --help\n", err)
		return exitConfig
	case cfg.help:
		fmt.Print(usage())
		return 0
	case cfg.version:
		fmt.Println("controller", version())
		return 0
	}
	log := newLogger(cfg, os.Stderr)
	ctx := untilSignal(log)
	command := runController
	if cfg.uninstall {
		command = runUninstall
	}
	if err := command(ctx, cfg, log); err != nil {
		log.Error("exiting: " + advice(err))
		return exitFailed
	}
	return 0
}

// echo is how soon after a signal another is taken for the same one: a shell, a script or timeout(1) signals a process
// and its group.
const echo = time.Second

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A second one ends the process.
func untilSignal(log *slog.Logger) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		log.Info("stopping: what is under way is finished first", "signal", (<-signals).String())
		cancel()
		for first := time.Now(); ; {
			if again := <-signals; time.Since(first) > echo {
				log.Error("exiting at once: a second signal", "signal", again.String())
				os.Exit(exitAborted)
			}
		}
	}()
	return ctx
}
