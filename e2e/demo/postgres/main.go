// Command postgres runs a temporary PostgreSQL. It prints the URL of the server, and serves until standard input closes
// or a signal arrives. Then it deletes the data.
//
//	go run ./e2e/demo/postgres DIR
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kontroler/store/storetest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: postgres DIR")
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	dir := os.Args[1]
	server, err := storetest.Start(dir)
	if err != nil {
		return err
	}
	fmt.Println(server.URL())
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end too
		close(closed)
	}()
	select {
	case <-signals:
	case <-closed:
	}
	return errors.Join(server.Crash(), os.RemoveAll(dir))
}
