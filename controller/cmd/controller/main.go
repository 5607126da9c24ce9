// Command controller runs Kontroler's controller. It watches DAGs and DagRuns and runs their tasks as Pods. See --help.
//
// The process starts in this order: configuration, preflight (package install), health and metrics, database, watches,
// election. A fault ends it with one line that says what to do. If the database does not answer, the process waits.
package main

import (
	"fmt"
	"os"

	_ "time/tzdata" // for the time zones of schedules, which the image may lack

	"kontroler/apis/process"
	"kontroler/store"
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
		fmt.Fprintln(os.Stderr, process.FaultLines("controller", err))
		return exitConfig
	case cfg.help:
		fmt.Print(usage())
		return 0
	case cfg.version:
		return printVersion()
	}
	log := process.NewLogger(os.Stderr, cfg.logFormat, cfg.logLevel)
	ctx := process.UntilSignal(log)
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

// printVersion prints the version, the commit, and the version of the database schema. The error about a schema that is
// too new quotes the latter.
func printVersion() int {
	schema, err := store.SchemaVersion()
	if err != nil {
		fmt.Fprintf(os.Stderr, "controller: %v\n", err)
		return exitFailed
	}
	fmt.Printf("%s, schema %d\n", version.Line("controller"), schema)
	return 0
}
