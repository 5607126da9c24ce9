package install_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/readme"
)

const showTries = `echo "failed tries: ` +
	`$(kubectl get job kontroler-uninstall -n kontroler -o jsonpath={.status.failed})."`

// uninstallCommands returns the commands of manifests/README.md, with other directories.
func uninstallCommands(dirs map[string]string) ([]string, error) {
	script, err := readme.Commands(filepath.Join(root, "manifests", "README.md"), "Uninstall")
	if err != nil {
		return nil, err
	}
	for from, to := range dirs {
		if !strings.Contains(script, "-k "+from+" ") && !strings.Contains(script, "-k "+from+"\n") {
			return nil, fmt.Errorf("section Uninstall of manifests/README.md does not name %s:\n%s", from, script)
		}
		script = strings.ReplaceAll(script, "-k "+from, "-k "+to)
	}
	return strings.Split(strings.TrimSpace(script), "\n"), nil
}

// uninstall executes the lines of manifests/README.md while a task runs, whose Pod has Kontroler's finalizer. Nothing
// is left.
func (s *site) uninstall(t *testing.T, overlay string) {
	s.apply(t, dags, `
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: endless}
spec:
  task:
  - {name: work, image: "busybox:1.36", command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]}
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: endless-1}
spec: {dagName: endless}`)
	const itsPods = "kubectl get pods -n " + dags + " -l " + v1alpha1.LabelRun +
		" --no-headers 2>&1 | grep ^endless-1- || true"
	s.eventually(t, "the Pod of endless-1 to run", func() (bool, string) {
		out := s.shell(t, itsPods)
		return strings.Contains(out, "Running"), out
	})
	lines, err := uninstallCommands(map[string]string{
		"manifests/overlays/quickstart": overlay, "manifests/uninstall": s.kustomization(t, "uninstall", s.version),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, line := range lines {
		fmt.Fprintln(&out, line)
		if strings.HasPrefix(line, "kubectl delete -k "+s.dir) && strings.Contains(line, "uninstall") {
			out.WriteString(s.shell(t, showTries))
		}
		out.WriteString(s.shell(t, line))
	}
	s.isGone = true
	t.Log(out.String())
	if !strings.Contains(out.String(), "failed tries: .") {
		t.Error("the Job did not succeed at its first try")
	}
	for _, kinds := range []string{
		// Those of other suites are part of kontroler-e2e.
		"clusterroles,clusterrolebindings -l app.kubernetes.io/name=kontroler,app.kubernetes.io/part-of!=kontroler-e2e",
		"pods --all-namespaces -l app.kubernetes.io/name=kontroler",
	} {
		if left := s.shell(t, "kubectl get --output=name "+kinds); left != "" {
			t.Errorf("left: %s", left)
		}
	}
	s.eventually(t, "the Pods of endless-1 to end", func() (bool, string) {
		out := s.shell(t, itsPods)
		return out == "", out
	})
	if left, err := s.try("kubectl get crds --output=name | grep kontroler"); err == nil {
		t.Errorf("left: %s", left)
	}
}
