package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

var links atomic.Int32

// listenApart listens at an address that the host reaches but does not have: in a network namespace of its own, at the
// other end of a link. The kernel removes both when this process ends.
func listenApart(t *testing.T) net.Listener {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("a receiver at another address needs a network namespace, and therefore root")
	}
	type result struct {
		listener net.Listener
		err      error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread()
		listener, err := listenInNamespace(os.Getpid()*8 + int(links.Add(1)))
		made <- result{listener, err}
		// The thread must not serve other goroutines. It must not end either: the processes that it started would end
		// with it, see EndWithParent.
		select {}
	}()
	r := <-made
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.listener
}

// listenInNamespace takes the first four addresses from the n-th on that nobody has, of 198.18.0.0/15: it is for tests
// of networks, and no cluster's.
func listenInNamespace(n int) (net.Listener, error) {
	before, err := os.Open(
		"/proc/thread-self/ns/net",
	) // not the process's: this may be its first thread, whose namespace counts as that
	if err != nil {
		return nil, err
	}
	defer before.Close()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	host := func(args ...string) (string, error) { // ip as the host sees it
		return run(exec.Command("nsenter",
			append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), before.Fd()), "ip"}, args...)...))
	}
	var address [2]string
	for ; ; n++ {
		block := n % (1 << 15)
		for i := range address {
			address[i] = fmt.Sprintf("198.%d.%d.%d", 18+block>>14, block>>6&0xff, block<<2&0xff+1+i)
		}
		taken, err := host("-o", "addr", "show", "to", address[0]+"/30")
		if err != nil {
			return nil, err
		}
		if taken == "" {
			break
		}
	}
	link := "kte2e" + strconv.Itoa(n%100_000_000)
	inside := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), syscall.Gettid())
	for _, args := range [][]string{
		{"link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", inside},
		{"addr", "add", address[0] + "/30", "dev", link},
		{"link", "set", link, "up"},
	} {
		if _, err := host(args...); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"}, {"addr", "add", address[1] + "/30", "dev", "eth0"}, {"link", "set", "eth0", "up"},
	} {
		if _, err := run(exec.Command("ip", args...)); err != nil { // a child of this thread runs in its namespace
			return nil, err
		}
	}
	return net.Listen("tcp", address[1]+":0")
}

func run(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
