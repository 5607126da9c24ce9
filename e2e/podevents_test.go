package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// podEvents returns the stored Events of the first attempt of a task, with their counts.
func (w *world) podEvents(run, task string) map[string]int {
	w.T.Helper()
	attempts := w.AttemptsOf(run, task)
	if len(attempts) == 0 {
		return nil
	}
	kept := map[string]int{}
	err := w.Query(func(rows *sql.Rows) error {
		var text string
		var count int
		err := rows.Scan(&text, &count)
		kept[text] += count
		return err
	}, `SELECT concat_ws(' | ', type, reason, container, message, source), count
FROM kontroler_v1.pod_events WHERE attempt_id = $1`, attempts[0].ID)
	if err != nil {
		w.T.Fatal(err)
	}
	return kept
}

// clusterEvents returns the Events of a Pod in the cluster, in the same form.
func (w *world) clusterEvents(pod string) map[string]int {
	w.T.Helper()
	list, err := w.Kube.CoreV1().
		Events(w.Namespace).
		List(w.T.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + pod})
	if err != nil {
		w.T.Fatal(err)
	}
	events := map[string]int{}
	for _, e := range list.Items {
		container := strings.TrimSuffix(strings.TrimPrefix(e.InvolvedObject.FieldPath, "spec.containers{"), "}")
		count := max(1, int(e.Count))
		if e.Series != nil {
			count = max(count, int(e.Series.Count))
		}
		source := e.Source.Component
		if source == "" {
			source = e.ReportingController
		}
		text := strings.Join([]string{e.Type, e.Reason, container, strings.TrimSpace(e.Message), source}, " | ")
		events[text] = max(events[text], count)
	}
	return events
}

// waitPodEvents waits until the first attempt of a task has stored Events that begin with these texts, with at least
// these counts.
func (w *world) waitPodEvents(run, task string, want map[string]int) {
	w.T.Helper()
	w.Eventually("the Events of "+task+" to be kept", patience, func(context.Context) (bool, string) {
		kept := w.podEvents(run, task)
		for reason, n := range want {
			if !slices.ContainsFunc(
				slices.Collect(maps.Keys(kept)),
				func(text string) bool { return strings.HasPrefix(text, reason+" | ") && kept[text] >= n },
			) {
				return false, fmt.Sprint(kept)
			}
		}
		return true, ""
	})
}

// checkPodEvents waits until the stored Events of the first Pod of a task equal those of the cluster.
func (w *world) checkPodEvents(run, task string) {
	w.T.Helper()
	pod := w.AttemptsOf(run, task)[0].PodName
	var diff string
	w.Eventually("all Events of "+task+" to be kept", patience, func(context.Context) (bool, string) {
		diff = gocmp.Diff(w.clusterEvents(pod), w.podEvents(run, task))
		return diff == "", "(-cluster +database)\n" + diff
	})
}

var startedEvents = map[string]int{
	"Normal | Scheduled":      1,
	"Normal | Pulled | task":  1,
	"Normal | Created | task": 1,
	"Normal | Started | task": 1,
}

// The Events of Pods stay when the Pods are deleted.
func TestPodEvents(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	stuck := sh("stuck", "")
	stuck.PodTemplate.NodeSelector = map[string]string{"kubernetes.io/hostname": "none"}
	missing := sh("missing", "")
	missing.Image = "example.com/no/such:image"
	full := sh("full", "dd if=/dev/zero of=/tmp/full bs=1M count=20; "+forever)
	full.PodTemplate.Resources = &corev1.ResourceRequirements{
		Limits: corev1.ResourceList{"ephemeral-storage": resource.MustParse("1Mi")},
	}
	w.ApplyDAG("dag", sh("good", ""), stuck, missing, full, sh("evicted", once("evicted", forever)))
	w.Start("run", "dag")
	pod := w.WaitAttempt("run", "evicted", 1, "Running").PodName
	err := w.Kube.PolicyV1().
		Evictions(w.Namespace).
		Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: w.Namespace}})
	if err != nil {
		t.Fatal(err)
	}
	w.WaitTask("run", "good", "Succeeded", "*")
	w.WaitAttempt("run", "evicted", 1, "Lost")
	w.waitPodEvents("run", "full", map[string]int{"Warning | Evicted": 1})
	w.waitPodEvents("run", "missing", map[string]int{"Normal | BackOff | task": 2, "Warning | Failed | task": 1})
	w.Kubectl("patch", "dagrun", "run", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	w.WaitRun("run", v1alpha1.RunCancelled, patience)
	w.CheckPodsGone(w.Run("run").UID)
	for task, want := range map[string]map[string]int{
		"good": startedEvents, "stuck": {"Warning | FailedScheduling": 1}, "missing": {"Normal | BackOff | task": 2},
		"full": {"Warning | Evicted": 1, "Normal | Started | task": 1}, "evicted": {"Normal | Killing | task": 1},
	} {
		w.waitPodEvents("run", task, want)
		w.checkPodEvents("run", task)
	}
}

// If a controller is killed before or after a write, or its rows are lost, the next one stores each Event once, even if
// the Pod no longer exists.
func TestPodEventsKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"pod-events-keep:1", "pod-events-kept:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.ApplyDAG("dag", marked("a", ""), marked("b", until("go"), after("a")))
			w.Start("run", "dag")
			w.DieAt(fault, func() {
				w.WaitStarted(1)
				w.Open("go")
			})
			c := w.Controller(takeOver)
			w.WaitRun("run", v1alpha1.RunSucceeded, patience)
			w.CheckFinal("run", "Succeeded", all("Succeeded", "a", "b"))
			for round := range 2 {
				for _, task := range []string{"a", "b"} {
					w.waitPodEvents("run", task, startedEvents)
					w.checkPodEvents("run", task)
				}
				if round == 0 {
					c.Kill9()
					w.Exec(`DELETE FROM kontroler.pod_events WHERE attempt_id = $1`, w.AttemptsOf("run", "a")[0].ID)
					w.Controller(takeOver)
				}
			}
		})
	}
}

// createEvent creates an Event of a Pod.
func (w *world) createEvent(about corev1.ObjectReference, reason, message string, at time.Time) error {
	about.Kind, about.APIVersion, about.Namespace = "Pod", "v1", w.Namespace
	_, err := w.Kube.CoreV1().Events(w.Namespace).Create(w.T.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "told-", Namespace: w.Namespace},
		InvolvedObject: about, Type: "Warning", Reason: reason, Message: message, Count: 1,
		FirstTimestamp: metav1.NewTime(at), LastTimestamp: metav1.NewTime(at),
		Source: corev1.EventSource{Component: "test"},
	}, metav1.CreateOptions{})
	return err
}

// Of 1,000 different Events of a Pod the first and the newest are stored. Events of other Pods are not: neither those
// of another controller, nor those of Pods that look like ours.
func TestPodEventsOfManyAndOfOthers(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	other := w.NewDatabase()
	w.Controller(on(other), flags("--controller-class=other"))
	w.ApplyDAG("dag", sh("a", until("go")))
	w.ApplySpec("dag-other", v1alpha1.DAGSpec{
		ControllerClass: "other", Task: []v1alpha1.Task{sh("other", until("go"))},
	})
	w.Start("run", "dag")
	w.Start("run-other", "dag-other")
	pod, theirs := w.WaitPod("run", "a", running), w.WaitPod("run-other", "other", running)
	w.waitPodEvents("run", "a", startedEvents)
	stranger := w.waitStranger("stranger-aaaaaaaaaa")

	mine := corev1.ObjectReference{Name: pod.Name, UID: pod.UID}
	for _, about := range []corev1.ObjectReference{
		{
			Name: pod.Name, UID: types.UID(w.DagRun("run").UID),
		}, {Name: pod.Name}, {Name: theirs.Name, UID: theirs.UID}, {Name: stranger.Name, UID: stranger.UID},
	} {
		if err := w.createEvent(about, "NotMine", "of "+about.Name, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().Add(-time.Hour)
	var creating sync.WaitGroup
	for first := range 10 {
		creating.Go(func() {
			for n := first; n < 1000; n += 10 {
				if err := w.createEvent(mine, "Told", fmt.Sprintf("%04d %s", n, strings.Repeat("ü", 400)),
					began.Add(time.Duration(n)*time.Second)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	creating.Wait()
	if err := w.createEvent(mine, "Last", "odd \x01 text", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.waitPodEvents("run", "a", map[string]int{"Warning | Last": 1})
	w.Eventually("the first and the newest Events to be kept", patience, func(context.Context) (bool, string) {
		numbers := w.Strings(
			`SELECT left(message, 4) FROM kontroler_v1.pod_events WHERE reason = 'Told' ORDER BY first_at`)
		return len(numbers) > 20 && numbers[9] == "0009" && numbers[len(numbers)-1] == "0999",
			strings.Join(numbers, " ")
	})
	if rows := w.podEvents("run", "a"); len(rows) != 30 {
		t.Errorf("%d rows are kept", len(rows))
	}
	if rows := w.Strings(`SELECT p.reason
FROM kontroler.pod_events p JOIN kontroler_v1.attempts a ON a.id = p.attempt_id
WHERE a.pod_name <> $1 OR p.reason = 'NotMine'`, pod.Name); len(rows) > 0 {
		t.Errorf("Events of others are kept: %v", rows)
	}
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.WaitRun("run-other", v1alpha1.RunSucceeded, patience)
	// A kubelet reports FailedMount until it has seen the ConfigMap kube-root-ca.crt of a new namespace.
	stored := other.Strings(`SELECT DISTINCT pod_name || ' ' || e.reason
FROM kontroler_v1.pod_events e JOIN kontroler_v1.attempts a ON a.id = e.attempt_id
WHERE e.reason NOT IN ('FailedMount', 'Killing', 'Pulling') ORDER BY 1`)
	var want []string
	for _, reason := range []string{"Created", "NotMine", "Pulled", "Scheduled", "Started"} {
		want = append(want, theirs.Name+" "+reason)
	}
	if diff := gocmp.Diff(want, stored); diff != "" {
		t.Errorf("Events of the other controller's Pod (-want +got):\n%s", diff)
	}
}

// waitStranger creates a Pod that no controller owns, and waits until it is scheduled.
func (w *world) waitStranger(name string) *corev1.Pod {
	w.T.Helper()
	pod, err := w.Kube.CoreV1().Pods(w.Namespace).Create(w.T.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.Namespace},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "task", Image: "busybox:1.36", Command: []string{"sleep", "1000"}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.Eventually(
		"an Event of the stranger",
		patience,
		func(context.Context) (bool, string) { return len(w.clusterEvents(name)) > 0, "missing" },
	)
	return pod
}
