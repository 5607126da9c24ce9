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
	timesPassed atomic.Int64 // of the point that KONTROLER_FAULT names, since counting began
	isCounting  atomic.Bool  // the point after the "@" was passed
)

// ahead is how far the process's clock is ahead of the machine's.
var ahead, _ = time.ParseDuration(os.Getenv("KONTROLER_FAULT_CLOCK"))

// Now returns the time of the process's clock.
func Now() time.Time { return time.Now().Add(ahead) }

// Point marks a point. The process kills or stops itself here if KONTROLER_FAULT says so.
func Point(name string) {
	action, rest, _ := strings.Cut(os.Getenv("KONTROLER_FAULT"), ":")
	point, times, _ := strings.Cut(rest, ":")
	times, after, _ := strings.Cut(times, "@")
	if name == after {
		isCounting.Store(true)
	}
	if after != "" && !isCounting.Load() {
		return
	}
	nth, err := strconv.ParseInt(times, 10, 64)
	if point != name || err != nil || timesPassed.Add(1) != nth {
		return
	}
	if file := os.Getenv("KONTROLER_FAULT_FILE"); file != "" {
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "fault:", err)
		}
	}
	if action == "stop" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// Another thread may receive the signal first. This one must not continue before all have stopped.
		time.Sleep(time.Second)
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
