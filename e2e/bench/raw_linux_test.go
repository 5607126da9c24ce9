package bench_test

import (
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// rawRequests is the number of concurrent raw writes. It equals that of the controller's workers.
const rawRequests = 32

// runRaw sends the writes of a shape without Kontroler.
func (r *rig) runRaw(w *objects, s shape) {
	slots := make(chan struct{}, rawRequests)
	request := func(send func() error) {
		slots <- struct{}{}
		defer func() { <-slots }()
		if err := send(); err != nil {
			r.b.Error(err)
		}
	}
	var runs sync.WaitGroup
	for i := range s.runs {
		runs.Go(func() { r.rawRun(w, s, fmt.Sprintf("raw-%s-%d", s.name, i), request) })
	}
	runs.Wait()
}

// rawRun writes a run: its levels one after the other, the tasks of a level concurrently.
func (r *rig) rawRun(w *objects, s shape, name string, request func(func() error)) {
	var run *v1alpha1.DagRun
	request(func() (err error) {
		// The controller, which also runs, ignores a DagRun with a phase.
		run, err = r.client.KontrolerV1alpha1().DagRuns(r.namespace).Create(r.b.Context(), &v1alpha1.DagRun{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.DagRunSpec{DagName: "raw"},
		}, metav1.CreateOptions{})
		return err
	})
	if run == nil {
		return
	}
	request(func() error { return r.rawStatus(run, v1alpha1.RunRunning) })
	var clean sync.WaitGroup
	for level, n := range s.levels {
		var tasks sync.WaitGroup
		for i := range n {
			tasks.Go(func() {
				pod := name + "-" + taskName(level, i)
				over := w.isOver(pod)
				var created *corev1.Pod
				request(func() (err error) {
					created, err = r.rawPod(run, pod, taskName(level, i))
					return err
				})
				if created == nil {
					return
				}
				<-over
				clean.Go(func() { r.rawRelease(created, request) })
			})
		}
		tasks.Wait()
	}
	request(func() error {
		_, err := r.kube.CoreV1().Events(r.namespace).Create(r.b.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Reason: "Succeeded", Type: corev1.EventTypeNormal,
			InvolvedObject: corev1.ObjectReference{
				Kind: "DagRun", Namespace: r.namespace, Name: name, UID: run.UID,
			}}, metav1.CreateOptions{})
		return err
	})
	request(func() error { return r.rawStatus(run, v1alpha1.RunSucceeded) })
	clean.Wait()
}

func (r *rig) rawStatus(run *v1alpha1.DagRun, phase v1alpha1.RunPhase) error {
	now := metav1.Now()
	status := v1alpha1.DagRunStatus{Phase: phase, Controller: "raw", RunID: 1, StartTime: &now, Progress: "0/1",
		Tasks: &v1alpha1.TaskCounts{
			Total: 1, Waiting: 1,
		}, Conditions: []metav1.Condition{{Type: v1alpha1.RunConditionAdmitted,
			Status: metav1.ConditionTrue, Reason: "Admitted", Message: "version 1", LastTransitionTime: now}}}
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": run.UID}, {"op": "add", "path": "/status", "value": status}})
	if err != nil {
		return err
	}
	_, err = r.client.KontrolerV1alpha1().DagRuns(r.namespace).Patch(r.b.Context(), run.Name, types.JSONPatchType,
		patch, metav1.PatchOptions{}, "status")
	return err
}

// rawPod creates a Pod like those of the controller: the same labels, annotations, owner and finalizer.
func (r *rig) rawPod(run *v1alpha1.DagRun, name, task string) (*corev1.Pod, error) {
	isController := true
	return r.kube.CoreV1().Pods(r.namespace).Create(r.b.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				v1alpha1.LabelController: "raw", v1alpha1.LabelDAG: "raw", v1alpha1.LabelRun: string(run.UID),
				v1alpha1.LabelTask: task, v1alpha1.LabelAttempt: "1",
			},
			Annotations: map[string]string{v1alpha1.AnnotationDAG: "raw", v1alpha1.AnnotationRun: run.Name},
			Finalizers:  []string{v1alpha1.Finalizer},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DagRun",
				Name: run.Name, UID: run.UID, Controller: &isController}},
		},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{
			{Name: v1alpha1.TaskContainer, Image: "busybox:1.36", Command: []string{"true"}}}},
	}, metav1.CreateOptions{})
}

// rawRelease deletes a Pod and removes its finalizer.
func (r *rig) rawRelease(pod *corev1.Pod, request func(func() error)) {
	pods := r.kube.CoreV1().Pods(r.namespace)
	request(func() error {
		return pods.Delete(r.b.Context(), pod.Name,
			metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	})
	request(func() error {
		_, err := pods.Patch(r.b.Context(), pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
			metav1.PatchOptions{})
		return err
	})
}
