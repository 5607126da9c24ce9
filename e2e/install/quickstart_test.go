package install_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/readme"
)

const push = "make images PUSH=1\n"

// waitsReady returns the command that waits until a program is ready.
func waitsReady(program string) string {
	return "kubectl rollout status deployment/kontroler-" + program + " -n kontroler --timeout=2m"
}

var registryLine = regexp.MustCompile(`(?m)^export REGISTRY=\S+`)

// installCommands returns the lines of section Install of README.md.
func (s *site) installCommands(t *testing.T) string {
	t.Helper()
	script, err := readme.Commands(filepath.Join(root, "README.md"), "Install")
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// quickstartCommand returns the line that applies the overlay.
func (s *site) quickstartCommand(t *testing.T) string {
	t.Helper()
	script := s.installCommands(t)
	start := strings.Index(script, "kubectl kustomize ")
	if start < 0 {
		t.Fatalf("section Install of README.md has no line kubectl kustomize …\n%s", script)
	}
	return script[start:]
}

// quickstart executes the lines of README.md, and then runs its first DAG.
func (s *site) quickstart(t *testing.T) {
	script := s.installCommands(t)
	if len(registryLine.FindAllString(script, -1)) != 1 || strings.Count(script, push) != 1 {
		t.Fatalf("section Install of README.md does not have one line export REGISTRY=… and one line %s\n%s",
			push, script)
	}
	script = registryLine.ReplaceAllString(script, "export REGISTRY="+s.registry)
	if s.cluster != "" {
		script = strings.Replace(script, push, s.pushCommand()+"\n", 1)
		archive := filepath.Join(s.dir, "postgres.tar")
		s.shell(t, "e2e/install/postgres/build '"+archive+"'; "+s.load(archive))
	}
	t.Logf("%s\n%s", script, s.shell(t, script))
	for _, program := range programs {
		s.shell(t, waitsReady(program))
	}
	t.Log(s.shell(t, "kubectl apply -f manifests/examples/diamond.yaml -n "+dags+
		" && kubectl wait --for=condition=Succeeded dagrun/diamond-1 --timeout=2m -n "+dags))
}

// applyZonedSchedule applies a DAG whose next due time is near in Nepal, and hours away in UTC: Nepal's clocks are 5:45
// hours ahead.
func (s *site) applyZonedSchedule(t *testing.T) {
	const zone = "Asia/Kathmandu"
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	due := time.Now().Add(10 * time.Second).Truncate(time.Minute).Add(time.Minute).In(location)
	s.apply(t, dags, fmt.Sprintf(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: zoned}
spec:
  schedule: "%d %d * * *"
  timeZone: %s
  task:
  - {name: work, image: "busybox:1.36", command: [date]}`, due.Minute(), due.Hour(), zone))
	s.eventually(t, "the due time "+due.UTC().Format(time.RFC3339), func() (bool, string) {
		var dag v1alpha1.DAG
		s.get(t, "dag zoned -n "+dags, &dag)
		next := dag.Status.NextScheduleTime
		return next != nil && next.Time.Equal(due), fmt.Sprint(next)
	})
}

// waitForZonedRun waits until the run of the due time has succeeded.
func (s *site) waitForZonedRun(t *testing.T) {
	s.eventually(t, "the run of DAG zoned", func() (bool, string) {
		var runs v1alpha1.DagRunList
		s.get(t, "dagruns -n "+dags, &runs)
		for _, run := range runs.Items {
			if run.Spec.DagName == "zoned" {
				return run.Status.Phase == v1alpha1.RunSucceeded, run.Name + " " + string(run.Status.Phase)
			}
		}
		return false, "missing"
	})
}

// checkPodSecurity checks that the namespace may enforce Pod Security restricted, and makes it do so. The API server
// warns of Pods that violate it.
func (s *site) checkPodSecurity(t *testing.T) {
	out := s.shell(t, "kubectl label namespace "+namespace+" pod-security.kubernetes.io/enforce=restricted")
	if strings.Contains(out, "Warning") {
		t.Errorf("the API server warns: %s", out)
	}
}
