//go:build !linux

package harness

import (
	"net"
	"testing"
)

func listenApart(t *testing.T) net.Listener {
	t.Helper()
	t.Skip("a receiver that is not this machine needs a network namespace: Linux")
	return nil
}
