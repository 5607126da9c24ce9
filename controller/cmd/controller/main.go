// Command controller runs Kontroler's controller. It watches DAGs and DagRuns and runs their tasks as Pods. See --help.
//
// The process starts in this order: configuration, preflight (package install), health and metrics, database, watches,
// election. A fault ends it with one line that says what to do. If the database does not answer, the process waits.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "time/tzdata" // for the time zones of schedules, which the image may lack
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
		fmt.Fprintf(os.Stderr, "%s\ncontroller: run controller --help for all flags\n", err)
		return exitConfig
	case cfg.help:
		fmt.Print(usage())
		return 0
	case cfg.version:
		fmt.Println(versionLine())
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

// echo is the time in which further signals count as the first one. A shell or timeout(1) signals both a process and
// its group.
const echo = time.Second

// untilSignal returns a context that ends at the first SIGTERM or SIGINT. A later signal ends the process.
func untilSignal(log *slog.Logger) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		log.Info("stopping after the work under way", "signal", (<-signals).String())
		cancel()
		for first := time.Now(); ; {
			if again := <-signals; time.Since(first) > echo {
				log.Error("exiting immediately after a second signal", "signal", again.String())
				os.Exit(exitAborted)
			}
		}
	}()
	return ctx
}
