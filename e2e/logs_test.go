package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// logRow is the row of the log of an attempt, with its content.
type logRow struct {
	State, Message            string
	Bytes, OmittedAt, Omitted int64
	Rotated, Incomplete       bool
	content                   string
}

func (l logRow) String() string {
	return fmt.Sprintf("%s, %q, %d bytes, %d omitted at %d, rotated %t, incomplete %t: %q",
		l.State, l.Message, l.Bytes, l.Omitted, l.OmittedAt, l.Rotated, l.Incomplete, cut(l.content))
}

// tryLog returns the log of an attempt, or false if there is none yet. A second log fails the test.
func (w *world) tryLog(run, task string, number int) (logRow, bool) {
	w.T.Helper()
	var row logRow
	var attempt int64
	var packed bytes.Buffer
	rows := 0
	err := w.Query(func(r *sql.Rows) error {
		rows++
		return r.Scan(
			&attempt,
			&row.State,
			&row.Message,
			&row.Bytes,
			&row.OmittedAt,
			&row.Omitted,
			&row.Rotated,
			&row.Incomplete,
		)
	}, `SELECT a.id, l.state, l.message, l.bytes, l.omitted_at, l.omitted, l.rotated, l.incomplete
		FROM kontroler_v1.runs r JOIN kontroler_v1.tasks t ON t.run_id = r.id
		JOIN kontroler_v1.attempts a ON a.task_id = t.id JOIN kontroler_v1.logs l ON l.attempt_id = a.id
		WHERE r.name = $1 AND t.name = $2 AND a.number = $3`, run, task, number)
	if err != nil || rows > 1 {
		w.T.Fatalf("%d logs of attempt %d of %s: %v", rows, number, task, err)
	}
	if rows == 0 {
		return row, false
	}
	err = w.Query(func(r *sql.Rows) error {
		var data []byte
		defer func() { packed.Write(data) }()
		return r.Scan(&data)
	}, `SELECT data FROM kontroler_v1.log_chunks WHERE attempt_id = $1 ORDER BY seq`, attempt)
	if err != nil {
		w.T.Fatal(err)
	}
	if packed.Len() > 0 {
		unpacked, err := gzip.NewReader(&packed)
		if err != nil {
			w.T.Fatal(err)
		}
		content, err := io.ReadAll(unpacked)
		if err != nil {
			w.T.Fatal(err)
		}
		row.content = string(content)
	}
	if kept := int64(len(row.content)); kept+row.Omitted != row.Bytes {
		w.T.Errorf("%d bytes of the log of %s are kept and %d omitted, of %d", kept, task, row.Omitted, row.Bytes)
	}
	return row, true
}

// log waits for the log of an attempt.
func (w *world) log(run, task string, number int) logRow {
	w.T.Helper()
	var row logRow
	w.Eventually(
		fmt.Sprintf("the log of attempt %d of %s", number, task),
		patience,
		func(context.Context) (ok bool, is string) {
			row, ok = w.tryLog(run, task, number)
			return ok, "missing"
		},
	)
	return row
}

// checkLog waits for a log and checks that it is complete.
func (w *world) checkLog(run, task string, number int, want string) {
	w.T.Helper()
	row := w.log(run, task, number)
	if row.State != "Captured" || row.Omitted != 0 || row.content != want {
		w.T.Errorf("the log of attempt %d of %s is %v; want %q", number, task, row, cut(want))
	}
}

// checkFollowed waits for a log that is followed. If the node has rotated it meanwhile, or removed it before its end
// was read, the row must say so, and lines may be missing or repeated in the middle.
func (w *world) checkFollowed(run, task, whole string) {
	w.T.Helper()
	row := w.log(run, task, 1)
	if !row.Incomplete || row.content == whole {
		w.checkLog(run, task, 1, whole)
		return
	}
	first, last := whole[:strings.IndexByte(whole, '\n')], whole[strings.LastIndexByte(whole[:len(whole)-1], '\n'):]
	if row.State != "Captured" || !strings.Contains(row.Message, "rotated the log while it was followed") ||
		!strings.HasPrefix(row.content, first) ||
		!strings.HasSuffix(row.content, last) ||
		!near(row.Bytes, len(whole)) {
		w.T.Errorf("the followed log of %s: %v; of %d bytes", task, row, len(whole))
	}
}

// near reports whether a followed log is almost as large as what was written. A kubelet skips or repeats a few lines
// when it rotates.
func near(bytes int64, written int) bool {
	return bytes >= int64(written)*9/10 && bytes <= int64(written)+64<<10
}

func cut(s string) string {
	if len(s) > 100 {
		return s[:50] + "…" + s[len(s)-50:]
	}
	return s
}

// The logs of tasks are stored, however they end.
func TestLogs(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	late := sh("late", "trap '' TERM; echo deaf; sleep 1000", timeout(4))
	oom := sh("oom", "echo eats; exec tail /dev/zero") // exec, because a shell would report the end of its child
	oom.PodTemplate.Resources = &corev1.ResourceRequirements{
		Limits: corev1.ResourceList{"memory": resource.MustParse("32Mi")},
	}
	w.ApplyDAG("dag",
		sh("good", `echo out; echo err >&2; printf 'bytes \000\001\377\376\303\050\n\n'; printf end`),
		sh("bad", "echo fails as $HOSTNAME; exit 3", retries(1)),
		sh("silent", ""),
		late, oom,
		// containerd loses up to 128 KiB of what a container writes right before it ends.
		sh("large", `echo head; yes 'one line of many, all of them the same' | head -c 67108864; sleep 5; printf tail`),
		sh("wide", `head -c 2000000 /dev/zero | tr '\0' x; sleep 5`),
	)
	w.Start("run", "dag")
	w.Apply(harness.Example(t, "logs.yaml"))
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	out := w.log("run", "good", 1).content // the order of two streams is undefined
	if want := "bytes \x00\x01\xff\xfe\xc3\x28\n\nend"; strings.Replace(out, "err\n", "", 1) != "out\n"+want ||
		!strings.Contains(out, "err\n") {
		t.Errorf("the log of good is %q", out)
	}
	for _, a := range w.AttemptsOf("run", "bad") {
		w.checkLog("run", "bad", a.Number, "fails as "+a.PodName+"\n")
	}
	var numbers strings.Builder
	for n := range 300_000 {
		fmt.Fprintln(&numbers, n+1)
	}
	w.checkFollowed("chatty-1", "talk", "the first line\n"+numbers.String()+"the last line\n")
	w.checkLog("run", "silent", 1, "")
	w.checkLog("run", "late", 1, "deaf\n")
	w.checkLog("run", "oom", 1, "eats\n")
	w.checkLog("run", "wide", 1, strings.Repeat("x", 2_000_000))
	large := w.log("run", "large", 1)
	switch all := int64(64<<20 + len("head\ntail")); {
	case large.Bytes == 0: // the kubelet rotated it at the end
		if !strings.Contains(large.Message, "rotated it after the last line") {
			t.Errorf("the large log, empty: %v", large)
		}
	case large.Rotated: // the kubelet rotated it before the end, on a slow machine
		if large.Bytes >= all || !strings.Contains(large.Message, "rotated away") ||
			!strings.HasSuffix(large.content, "tail") {
			t.Errorf("the large log, rotated: %v", large)
		}
	case large.Bytes != all,
		large.OmittedAt != 4<<20,
		len(large.content) > 8<<20,
		len(large.content) < 7<<20,
		!strings.Contains(large.Message, "omitted"),
		!strings.HasPrefix(large.content, "head\n"),
		!strings.HasSuffix(large.content, "tail"):
		t.Errorf("the large log: %v", large)
	}
	w.CheckPodsGone(w.Run("run").UID)
	w.CheckPodsGone(w.Run("chatty-1").UID)
	if _, metrics, err := c.Get("/metrics"); err != nil ||
		!strings.Contains(metrics, `kontroler_logs_total{state="Captured"} 9`) ||
		!strings.Contains(metrics, "kontroler_log_streams 0") {
		t.Errorf("the metrics do not count nine logs and no stream: %v", err)
	}
}

// If the controller, a user or an eviction deletes a running Pod, its log contains what the container writes while it
// stops.
func TestLogsOfStoppedTasks(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	const says = "trap 'echo stops; exit 1' TERM; echo runs; > /dir/ready.$HOSTNAME; while :; do sleep 0.1; done"
	w.ApplyDAG("one", sh("task", says))
	w.ApplyDAG("deaf", sh("task", "trap '' TERM; echo runs; > /dir/ready.$HOSTNAME; while :; do sleep 0.1; done"))
	stops := map[string]func(pod string){
		"cancelled": func(string) { w.Cancel("cancelled") },
		"ordered":   func(string) { w.Kubectl("delete", "dagrun", "ordered", "--wait=false") },
		"deleted":   func(pod string) { w.Kubectl("delete", "pod", pod, "--wait=false") },
		"evicted": func(pod string) {
			err := w.Kube.PolicyV1().
				Evictions(w.Namespace).
				Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: w.Namespace}})
			if err != nil {
				t.Fatal(err)
			}
		},
		"deaf": func(string) { w.Cancel("deaf") },
	}
	for run := range stops {
		dag := "one"
		if run == "deaf" {
			dag = "deaf"
		}
		w.Start(run, dag)
	}
	for run, stop := range stops {
		pod := w.WaitPod(run, "task", running)
		w.WaitAttempt(run, "task", 1, "Running")
		w.WaitFile("ready." + pod.Name)
		stop(pod.Name)
	}
	for run := range stops {
		want := "runs\nstops\n"
		if run == "deaf" {
			want = "runs\n"
		}
		w.checkLog(run, "task", 1, want)
	}
	for _, run := range []string{"deleted", "evicted"} { // which run again
		w.WaitPod(run, "task", func(p *corev1.Pod) bool { return running(p) && p.Labels[v1alpha1.LabelAttempt] == "2" })
		w.Cancel(run)
		w.WaitRun(run, v1alpha1.RunCancelled, patience)
	}
}

// After a rotation, a captured log says that its beginning may be missing. A followed log has its beginning.
func TestLogsRotated(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	// A small log counts as rotated if it begins more than ten seconds after its container. The kubelet may rotate
	// while the lines are written, and then keeps some of them: they come after these ten seconds, too.
	task := sh(
		"task",
		"echo the true head; "+until("write")+
			"; sleep 11; yes 'one line of many, all of them the same' | head -c 11000000; "+
			until("go")+"; echo the end",
	)
	for policy, name := range map[v1alpha1.LogPolicy]string{
		v1alpha1.LogsCapture: "capture", v1alpha1.LogsFollow: "follow",
	} {
		w.ApplySpec(name, v1alpha1.DAGSpec{Logs: policy, Task: []v1alpha1.Task{task}})
		w.Start(name, name)
	}
	pods := map[string]string{}
	for _, name := range []string{"capture", "follow"} {
		pods[name] = w.WaitPod(name, "task", running).Name
		w.WaitAttempt(name, "task", 1, "Running")
	}
	w.Open("write")
	w.Eventually("the logs to be rotated", patience, func(ctx context.Context) (bool, string) {
		for _, pod := range pods {
			bytes := int64(100)
			served, err := w.Kube.CoreV1().
				Pods(w.Namespace).
				GetLogs(pod, &corev1.PodLogOptions{Container: v1alpha1.TaskContainer, LimitBytes: &bytes}).
				DoRaw(ctx)
			if err != nil || strings.HasPrefix(string(served), "the true head") {
				return false, fmt.Sprintf("%v %q", err, served)
			}
		}
		return true, ""
	})
	w.Open("go")
	capture, follow := w.log("capture", "task", 1), w.log("follow", "task", 1)
	if !capture.Rotated || !strings.Contains(capture.Message, "rotated away") ||
		!strings.HasSuffix(capture.content, "the end\n") {
		t.Errorf("captured: %v", capture)
	}
	whole := 11_000_000 + len("the true head\nthe end\n")
	if follow.Rotated || !follow.Incomplete || !strings.Contains(follow.Message, "the node rotated the log") ||
		!near(follow.Bytes, whole) || follow.OmittedAt != 4<<20 ||
		!strings.HasPrefix(follow.content, "the true head\n") || !strings.HasSuffix(follow.content, "the end\n") {
		t.Errorf("followed: %v; of %d bytes", follow, whole)
	}
}

// Logs that are off are not read. A log that the node no longer has is Lost, with a reason.
func TestLogsNotKept(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	// A file in place of the directory keeps the kubelet from making the directory again.
	gone := sh("gone", `echo hello; cd /logs/*_${HOSTNAME}_*; rm -r task; : > task`)
	gone.PodTemplate.Volumes = append(
		gone.PodTemplate.Volumes,
		corev1.Volume{Name: "logs", VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: "/var/log/pods"},
		}},
	)
	gone.PodTemplate.VolumeMounts = append(
		gone.PodTemplate.VolumeMounts,
		corev1.VolumeMount{Name: "logs", MountPath: "/logs"},
	)
	w.ApplyDAG("lost", gone)
	w.Start("lost", "lost")
	w.ApplySpec("off", v1alpha1.DAGSpec{Logs: v1alpha1.LogsOff, Task: []v1alpha1.Task{sh("task", "echo hello")}})
	w.Start("off", "off")
	if row := w.log("lost", "gone", 1); row.State != "Lost" || row.content != "" ||
		!strings.Contains(row.Message, "not a directory") {
		t.Errorf("a log whose file was removed: %v", row)
	}
	w.CheckPodsGone(w.Run("lost").UID)
	w.WaitRun("off", v1alpha1.RunSucceeded, patience)
	w.CheckPodsGone(w.Run("off").UID)
	c.Stop()
	w.Controller(flags("--log-archive=off"))
	w.ApplyDAG("kept", sh("task", "echo hello"))
	w.Start("unread", "kept")
	w.WaitRun("unread", v1alpha1.RunSucceeded, patience)
	w.CheckPodsGone(w.Run("unread").UID)
	want := []string{"lost"}
	rows := w.Strings(`SELECT r.name FROM kontroler_v1.logs l JOIN kontroler_v1.attempts a ON a.id = l.attempt_id
JOIN kontroler_v1.runs r ON r.id = a.run_id`)
	if diff := gocmp.Diff(want, rows); diff != "" {
		t.Errorf("runs with logs (-want +got):\n%s", diff)
	}
}

// A controller is killed between outcome and capture, and between capture and release. The next one stores each log
// once.
func TestLogsKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"log-read:1", "log-read:2", "log-saved:1", "log-saved:2"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.ApplyDAG("dag", sh("a", "echo a"), sh("b", "echo b", after("a")))
			w.Start(theRun, "dag")
			w.DieAt(fault, nil)
			w.Controller(takeOver)
			w.WaitRun(theRun, v1alpha1.RunSucceeded, patience)
			w.CheckPodsGone(w.Run(theRun).UID)
			w.checkLog(theRun, "a", 1, "a\n")
			w.checkLog(theRun, "b", 1, "b\n")
			w.CheckOnce("a", "b")
		})
	}
}
