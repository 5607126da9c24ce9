package control_test

import (
	"bufio"
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
)

// columns splits a line of kubectl at two or more spaces.
func columns(line string) []string {
	return regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
}

// kubectl shows DAGs and runs as users expect.
func TestKubectl(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	watch := w.watchRuns()
	w.ApplyDAG("pipeline", play("a", until("go")), play("b", "", after("a")))
	w.Start("good", "pipeline")
	w.WaitAttempt("good", "a", 1, "Running")

	lines := strings.Split(strings.TrimSpace(w.Kubectl("get", "dr")), "\n")
	if want := []string{"NAME", "DAG", "PHASE", "TASKS", "DURATION", "REASON", "AGE"}; !slices.Equal(
		columns(lines[0]),
		want,
	) {
		t.Errorf("kubectl get dagruns has columns %q, want %q", columns(lines[0]), want)
	}
	if is := columns(lines[1]); !slices.Equal(is[:3], []string{"good", "pipeline", "Running"}) {
		t.Errorf("kubectl get dagruns prints %q", is)
	}
	watch.until("Running")
	w.Open("go")
	// As a script would: it ends when the run does.
	w.Kubectl("wait", "--for=condition=Succeeded", "--timeout=180s", "dagrun/good")
	w.CheckFinal("good", "Succeeded", all("Succeeded", "a", "b"))
	if is := columns(strings.Split(w.Kubectl("get", "dagruns"), "\n")[1]); !slices.Equal(
		is[:4],
		[]string{"good", "pipeline", "Succeeded", "2/2"},
	) {
		t.Errorf("kubectl get dagruns prints %q of an ended run", is)
	}
	watch.until("Succeeded")

	lines = strings.Split(w.Kubectl("get", "dags"), "\n")
	for _, column := range []string{"SCHEDULE", "SUSPENDED", "VALID", "LAST RUN", "NEXT SCHEDULE"} {
		if !strings.Contains(lines[0], column) {
			t.Errorf("kubectl get dags has no column %s: %s", column, lines[0])
		}
	}
	if !strings.Contains(lines[1], "True") {
		t.Errorf("kubectl get dags prints of a valid DAG: %s", lines[1])
	}
	w.Eventually("kubectl describe to show the Event", patience, func(context.Context) (bool, string) {
		is := w.Kubectl("describe", "dagrun", "good")
		_, events, _ := strings.Cut(is, "\nEvents:")
		return strings.Contains(events, "Normal") && strings.Contains(events, "Succeeded") &&
			strings.Contains(events, "2/2 tasks done"), is
	})
	if is := w.Kubectl("get", "kontroler",
		"-o", "name"); !strings.Contains(is, "dag.kontroler.greedykomodo/pipeline") ||
		!strings.Contains(is, "dagrun.kontroler.greedykomodo/good") {
		t.Errorf("the category kontroler has %q", is)
	}
}

// kubectl shows that a run has failed.
func TestKubectlOfAFailedRun(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("bad", play("a", "exit 9"), play("b", "", after("a")))
	w.Start("run", "bad")
	w.Kubectl("wait", "--for=condition=Failed", "--timeout=180s", "dagrun/run")
	w.CheckFinal("run", "Failed", map[string]string{"a": "Failed", "b": "Skipped"})
	if is := columns(strings.Split(w.Kubectl("get", "dagruns"), "\n")[1]); !slices.Equal(
		is[2:4],
		[]string{"Failed", "2/2"},
	) ||
		!slices.Contains(is, "TaskFailed") {
		t.Errorf("kubectl get dagruns prints %q of a failed run", is)
	}
	w.Eventually("kubectl describe to show the Event", patience, func(context.Context) (bool, string) {
		is := w.Kubectl("describe", "dagrun", "run")
		_, events, _ := strings.Cut(is, "\nEvents:")
		return strings.Contains(events, "Warning") && strings.Contains(events, "TaskFailed") &&
			strings.Contains(events, "1 task failed"), is
	})
}

func TestKubectlExplain(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"dag.spec.task":                     "runAfter",
		"dag.spec.task.timeoutSeconds":      "sees the container run",
		"dag.spec.task.podTemplate.volumes": "Volumes of the Pod",
		"dagrun.spec.cancel":                "keeps the object",
		"dagrun.status.conditions":          "Admitted",
		"dagtask.spec":                      "image",
	} {
		// The API server publishes the schema of a new CRD with a delay.
		w.Eventually("kubectl explain "+path, patience, func(context.Context) (bool, string) {
			is, err := w.RunKubectl("", "explain", path, "--api-version="+v1alpha1.SchemeGroupVersion.String())
			return err == nil && strings.Contains(strings.Join(strings.Fields(is), " "), want), is
		})
	}
}

// watching is a `kubectl get dagruns -w`.
type watching struct {
	w     *world
	lines chan string
	seen  []string
}

func (w *world) watchRuns() *watching {
	w.T.Helper()
	cmd := exec.CommandContext(
		w.T.Context(),
		w.KubectlPath,
		"--kubeconfig",
		w.Kubeconfig,
		"--namespace",
		w.Namespace,
		"get",
		"dagruns",
		"-w",
	)
	endWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.T.Fatal(err)
	}
	watch := &watching{w: w, lines: make(chan string, 1000)}
	go func() {
		defer close(watch.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			watch.lines <- scanner.Text()
		}
		_ = cmd.Wait()
	}()
	return watch
}

// until reads lines until one has a text.
func (watch *watching) until(text string) {
	watch.w.T.Helper()
	watch.w.Eventually("kubectl get dagruns -w to print "+text, patience, func(context.Context) (bool, string) {
		for {
			select {
			case line := <-watch.lines:
				watch.seen = append(watch.seen, line)
				if strings.Contains(line, text) {
					return true, ""
				}
			default:
				return false, watch.text()
			}
		}
	})
}

func (watch *watching) text() string { return strings.Join(watch.seen, "\n") }
