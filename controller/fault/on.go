//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	passed atomic.Int64
	begun  atomic.Bool
)

// ahead is how far this process's clock is ahead of the machine's.
var ahead, _ = time.ParseDuration(os.Getenv("KONTROLER_FAULT_CLOCK"))

// Now is the time of this process's clock.
func Now() time.Time { return time.Now().Add(ahead) }

// Point marks an instant: the process ends or stops here when KONTROLER_FAULT names it.
func Point(name string) {
	action, rest, _ := strings.Cut(os.Getenv("KONTROLER_FAULT"), ":")
	point, times, _ := strings.Cut(rest, ":")
	times, after, _ := strings.Cut(times, "@")
	if name == after {
		begun.Store(true)
	}
	if after != "" && !begun.Load() {
		return
	}
	nth, err := strconv.ParseInt(times, 10, 64)
	if point != name || err != nil || passed.Add(1) != nth {
		return
	}
	if file := os.Getenv("KONTROLER_FAULT_FILE"); file != "" {
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "fault:", err)
		}
	}
	if action == "stop" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// The signal may reach another thread first: this one must not go on before all of them have stopped.
		time.Sleep(time.Second)
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
