package install_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/e2e/readme"
)

// lockedOut removes the first password by the line of manifests/README.md. A new Pod of the server starts without it,
// and the line of httpapi/README.md lets an administrator in who has no password any more.
func (s *site) lockedOut(t *testing.T) {
	at := s.forwarded(t)
	before := s.loginAsAdmin(t, at)
	remove, err := readme.Commands(filepath.Join(root, "manifests", "README.md"), "The first password")
	if err != nil {
		t.Fatal(err)
	}
	s.shell(t, remove)
	old := s.shell(t, "kubectl get pods -n "+namespace+" -l app.kubernetes.io/component=server --output=name")
	s.shell(t, "kubectl rollout restart deployment/kontroler-server -n "+namespace)
	s.shell(t, waitsReady("server"))
	s.shell(t, "kubectl wait --for=delete --timeout=1m -n "+namespace+" "+strings.TrimSpace(old))
	set, err := readme.Commands(filepath.Join(root, "httpapi", "README.md"), "Locked out")
	if err != nil {
		t.Fatal(err)
	}
	const shown = "tee /dev/stderr"
	if strings.Count(set, shown) != 1 {
		t.Fatalf("section Locked out of httpapi/README.md does not show the password by %s:\n%s", shown, set)
	}
	file := filepath.Join(s.dir, "new-password")
	t.Log(s.shell(t, strings.Replace(set, shown, "tee '"+file+"'", 1)))
	at = s.forwarded(t) // to the new Pod, because the port was that of the old one
	at.login(t, "admin", strings.TrimSpace(s.shell(t, "cat '"+file+"'")))
	before.api = at
	before.do(t, http.StatusUnauthorized, http.MethodGet, "/auth/me", "")
}
