//go:build !linux

package harness

import (
	"net"
	"testing"
)

func listenApart(t *testing.T) net.Listener {
	t.Helper()
	t.Skip("a receiver at another address needs a network namespace, and therefore Linux")
	return nil
}
