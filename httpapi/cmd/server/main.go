// Command server serves Kontroler's REST API. See --help.
//
// The process starts in this order: configuration and its files, health and metrics, the API, the databases. Until the
// databases can be used, the API answers 503 and the process is not ready. After a fault the process exits with one
// line that says what to do.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"kontroler/apis/process"
)

// Exit codes.
const (
	exitFailed = 1
	exitConfig = 2
)

func main() { os.Exit(run(os.Args[1:], os.LookupEnv)) }

func run(args []string, env func(string) (string, bool)) int {
	cfg, err := parseConfig(args, env)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, process.FaultLines("server", err))
		return exitConfig
	case cfg.help:
		fmt.Print(usage())
		return 0
	case cfg.version:
		fmt.Println(version.Line("server"))
		return 0
	}
	log := process.NewLogger(os.Stderr, cfg.logFormat, cfg.logLevel)
	command := func(ctx context.Context, cfg config, log *slog.Logger) error { return serve(ctx, cfg, os.Stderr, log) }
	if cfg.setPassword {
		command = setPassword
	}
	if err := command(process.UntilSignal(log), cfg, log); err != nil {
		log.Error("exiting: " + err.Error())
		return exitFailed
	}
	return 0
}
