package bench_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// BenchmarkLimit sends only the requests that every controller needs for the first Pod of a scheduled run: create the
// DagRun, claim it in its status, create the Pod. The completer ends the Pod. Without a database and without decisions,
// the time for -dags runs is that of the API server alone.
func BenchmarkLimit(b *testing.B) {
	const clients = 32
	r, m := newRig(b), newMoments()
	n := *dags
	r.podSeen = func(pod *corev1.Pod) { m.note(m.pods, pod.Labels[v1alpha1.LabelRun]) }
	r.startCompleter(16)
	began, start := r.usage(), time.Now()
	r.each(n, clients, func(i int) error { return r.startRun(fmt.Sprintf("run-%05d", i)) })
	r.await("the last Pod", time.Minute, func() bool { return m.count(m.pods) >= n })
	took, used := time.Since(start), r.usage().since(began)
	b.ReportMetric(took.Seconds(), "s-last-pods")
	for _, part := range slices.Sorted(maps.Keys(used)) {
		b.ReportMetric(float64(used[part].Microseconds())/1000/float64(n), "ms-to-pod-"+part)
	}
	b.ReportMetric(0, "ns/op")
}

// startRun creates a DagRun, claims it and creates its Pod.
func (r *rig) startRun(name string) error {
	ctx, runs := r.b.Context(), r.client.KontrolerV1alpha1().DagRuns(r.namespace)
	run, err := runs.Create(ctx,
		&v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.DagRunSpec{DagName: "dag"}},
		metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating a DagRun: %w", err)
	}
	now := metav1.Now()
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": run.UID},
		{
			"op":   "add",
			"path": "/status",
			"value": v1alpha1.DagRunStatus{
				Phase:      v1alpha1.RunRunning,
				Controller: "limit",
				RunID:      1,
				StartTime:  &now,
				Progress:   "0/1",
				Tasks: &v1alpha1.TaskCounts{
					Total: 1, Waiting: 1,
				},
				Conditions: []metav1.Condition{{Type: v1alpha1.RunConditionAdmitted, Status: metav1.ConditionTrue,
					Reason: "Admitted", Message: "version 1", LastTransitionTime: now}},
			},
		},
	})
	if err != nil {
		return err
	}
	if _, err := runs.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("patching a DagRun: %w", err)
	}
	_, err = r.kube.CoreV1().Pods(r.namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: map[string]string{v1alpha1.LabelRun: string(run.UID)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DagRun", Name: name, UID: run.UID}},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{
				{Name: v1alpha1.TaskContainer, Image: "busybox:1.36", Command: []string{"true"}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating a Pod: %w", err)
	}
	return nil
}
