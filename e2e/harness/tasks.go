package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/completer"
)

// TaskOption changes a task.
type TaskOption func(*v1alpha1.Task)

// TaskMaker makes a task from a name and a script. Sh, Marked and Play are TaskMakers.
type TaskMaker func(name, script string, options ...TaskOption) v1alpha1.Task

// After adds parents to a task.
func After(parents ...string) TaskOption {
	return func(t *v1alpha1.Task) { t.RunAfter = append(t.RunAfter, parents...) }
}

// Retries gives a task retries with a short delay.
func Retries(limit int64) TaskOption {
	return func(t *v1alpha1.Task) {
		t.Backoff = &v1alpha1.Backoff{Limit: new(limit), Duration: &metav1.Duration{Duration: 100 * time.Millisecond}}
	}
}

// OnCodes limits the retries of a task to exit codes.
func OnCodes(codes ...int64) TaskOption {
	return func(t *v1alpha1.Task) { t.Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: codes} }
}

// Timeout limits each attempt of a task.
func Timeout(seconds int64) TaskOption {
	return func(t *v1alpha1.Task) { t.TimeoutSeconds = &seconds }
}

// Env adds a variable to a task.
func Env(name, value string) TaskOption {
	return func(t *v1alpha1.Task) {
		if t.PodTemplate == nil {
			t.PodTemplate = &v1alpha1.PodTemplate{}
		}
		t.PodTemplate.Env = append(t.PodTemplate.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// Forever is a script that does not end in time.
const Forever = "sleep 1000"

// Until returns a step of a script that waits until the test opens a gate.
func Until(gate string) string { return "await " + gate }

// Once returns a step that does another step when it is first reached, and later does nothing.
func Once(word, step string) string { return "once " + word + " " + step }

// words are shell functions for Until and Once. The completer implements the same words.
const words = `set -e
await() { while [ ! -e "/dir/$1" ]; do sleep 0.1; done; }
once() { if [ -e "/dir/first.$1" ]; then return 0; fi; : > "/dir/first.$1"; shift; "$@"; }
`

// Sh makes a task for a node. It runs a shell script with set -e, and $DIR mounted at /dir. If the script succeeds, it
// leaves a side effect, which Effects counts: the name of its Pod, as a line of the file effect.NAME.
func Sh(name, script string, options ...TaskOption) v1alpha1.Task {
	directory := corev1.HostPathDirectory
	if script == "" {
		script = ":"
	}
	t := task(name)
	t.Command = []string{"/bin/sh", "-c", words + script + "\necho $HOSTNAME >> /dir/effect." + name}
	t.PodTemplate.VolumeMounts = []corev1.VolumeMount{{Name: "dir", MountPath: "/dir"}}
	t.PodTemplate.Volumes = []corev1.Volume{{Name: "dir", VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: "$DIR", Type: &directory},
	}}}
	return with(t, options)
}

// Marked is Sh, but at each start it also writes the name of its Pod to the file "started".
func Marked(name, script string, options ...TaskOption) v1alpha1.Task {
	return Sh(name, "echo $HOSTNAME >> /dir/started\n"+script, options...)
}

// Play makes a task for the completer. completer.Command documents its scripts.
func Play(name, script string, options ...TaskOption) v1alpha1.Task {
	if err := completer.Check(script); err != nil {
		panic(err)
	}
	t := task(name)
	t.Command = completer.Command(script)
	return with(t, options)
}

func task(name string) v1alpha1.Task {
	grace := int64(1)
	return v1alpha1.Task{Name: name, TaskTemplate: v1alpha1.TaskTemplate{
		Image: "busybox:1.36", PodTemplate: &v1alpha1.PodTemplate{TerminationGracePeriodSeconds: &grace},
	}}
}

func with(t v1alpha1.Task, options []TaskOption) v1alpha1.Task {
	for _, option := range options {
		option(&t)
	}
	return t
}

// Open opens a gate for the tasks that wait for it.
func (w *World) Open(gate string) {
	w.T.Helper()
	if w.completer != nil {
		w.completer.Open(w.Namespace, gate)
		return
	}
	if err := os.WriteFile(filepath.Join(w.Dir, gate), nil, 0o666); err != nil {
		w.T.Fatal(err)
	}
}

// Close closes a gate. It needs the completer.
func (w *World) Close(gate string) { w.completer.Close(w.Namespace, gate) }

// Effects returns how often each task has left its side effect. Without a node, these are the Pods with a script that
// succeeded.
func (w *World) Effects() map[string]int {
	w.T.Helper()
	count := map[string]int{}
	if w.completer != nil {
		for _, pod := range w.created() {
			if pod.hasScript && pod.succeeded {
				count[pod.task]++
			}
		}
		return count
	}
	files, err := filepath.Glob(filepath.Join(w.Dir, "effect.*"))
	if err != nil {
		w.T.Fatal(err)
	}
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			w.T.Fatal(err)
		}
		count[strings.TrimPrefix(filepath.Base(file), "effect.")] = strings.Count(string(lines), "\n")
	}
	return count
}

// CheckOnce checks that the tasks have left their side effects once, and no other task has left one.
func (w *World) CheckOnce(tasks ...string) {
	w.T.Helper()
	want := map[string]int{}
	for _, task := range tasks {
		want[task] = 1
	}
	if diff := gocmp.Diff(want, w.Effects()); diff != "" {
		w.T.Errorf("side effects (-want +got):\n%s", diff)
	}
}

// Started returns the Pods of tasks that have started, in their order. On a node it sees only Marked tasks.
func (w *World) Started() []string {
	w.T.Helper()
	if w.completer != nil {
		names := []string{}
		for _, pod := range w.watch.ran(w.Namespace) {
			names = append(names, pod.name)
		}
		return names
	}
	lines, err := os.ReadFile(filepath.Join(w.Dir, "started"))
	if err != nil && !os.IsNotExist(err) {
		w.T.Fatal(err)
	}
	return strings.Fields(string(lines))
}

// WaitStarted waits until n Pods have started.
func (w *World) WaitStarted(n int) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%d starts", n), Patience, func(context.Context) (bool, string) {
		is := w.Started()
		return len(is) >= n, strings.Join(is, ", ")
	})
}

// CheckStarts checks that each attempt that has started did so once, and nothing else has started. runs are all runs of
// the world. On a node their tasks must be Marked.
func (w *World) CheckStarts(runs ...string) {
	w.T.Helper()
	want := map[string]int{}
	for _, run := range runs {
		for _, a := range w.Attempts(run) {
			if a.StartedAt.Unix() != 0 {
				want[a.PodName] = 1
			}
		}
	}
	w.catchUp()
	is := map[string]int{}
	for _, pod := range w.Started() {
		is[pod]++
	}
	if diff := gocmp.Diff(want, is); diff != "" {
		w.T.Errorf("starts, by Pod (-want +got):\n%s", diff)
	}
}

// WaitFile waits for a file of $DIR.
func (w *World) WaitFile(name string) {
	w.T.Helper()
	w.Eventually("file "+name, Patience, func(context.Context) (bool, string) {
		_, err := os.Stat(filepath.Join(w.Dir, name))
		return err == nil, fmt.Sprint(err)
	})
}

// File returns the content of a file of $DIR.
func (w *World) File(name string) string {
	w.T.Helper()
	content, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		w.T.Fatal(err)
	}
	return string(content)
}
