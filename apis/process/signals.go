package process

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ExitAborted is the exit code after a second signal.
const ExitAborted = 130

// echo is how long after the first signal further ones are ignored. A shell or timeout(1) signals both a process and
// its group.
const echo = time.Second

// UntilSignal returns a context that ends at the first SIGTERM or SIGINT. A later signal ends the process.
func UntilSignal(log *slog.Logger) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		log.Info("shutting down when the running work has ended", "signal", (<-signals).String())
		cancel()
		for first := time.Now(); ; {
			if again := <-signals; time.Since(first) > echo {
				log.Error("exiting immediately after a second signal", "signal", again.String())
				os.Exit(ExitAborted)
			}
		}
	}()
	return ctx
}
