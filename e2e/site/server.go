package site

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// Password is that of the user admin of each server.
const Password = "correct horse battery staple"

// StartServer starts the real server on a database, and waits until it is ready. The API has port 8443 of the address;
// probes and metrics have 8081. Flags are added to those that every server needs. All servers have the same keys, so
// that a session outlives its server.
func StartServer(t testing.TB, database, address string, flags ...string) *Process {
	t.Helper()
	binary := required(t, "TEST_SERVER", "the binary of the server")
	p := Launch(t, exec.Command(binary, append([]string{
		"--listen-address=" + address + ":8443", "--health-address=" + address + ":8081", "--database-url=" + database,
		"--jwt-key-file=" + write(t, "keys", strings.Repeat("k", 48)),
		"--admin-password-file=" + write(t, "password", Password),
	}, flags...)...))
	Until(t, "the server is ready", func() bool { return statusOf("http://"+address+":8081/readyz") == http.StatusOK })
	return p
}
