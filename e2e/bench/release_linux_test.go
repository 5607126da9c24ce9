package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

var releasedPods = flag.Int("released", 1000, "Pods that BenchmarkRelease releases in each way")

// release deletes a finished Pod and removes its finalizer.
type release func(ctx context.Context, r *rig, pod *corev1.Pod) error

// releases are the ways to release a Pod, in two requests. One of them shares the first between many Pods.
var releases = []struct {
	name    string
	release release
}{
	{"delete, strategic merge patch", deleteAndPatch(types.StrategicMergePatchType, withoutFinalizer)},
	{"delete, merge patch", deleteAndPatch(types.MergePatchType, func(pod *corev1.Pod) any {
		return map[string]any{"metadata": map[string]any{"uid": pod.UID, "finalizers": []string{}}}
	})},
	{"delete, JSON patch", deleteAndPatch(types.JSONPatchType, func(pod *corev1.Pod) any {
		return []map[string]any{
			{"op": "test", "path": "/metadata/uid", "value": pod.UID},
			{"op": "test", "path": "/metadata/finalizers/0", "value": v1alpha1.Finalizer},
			{"op": "remove", "path": "/metadata/finalizers/0"},
		}
	})},
	{"delete, PUT of its answer", func(ctx context.Context, r *rig, pod *corev1.Pod) error {
		var deleted corev1.Pod
		err := r.kube.CoreV1().RESTClient().Delete().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).
			Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}).Do(ctx).Into(&deleted)
		if err != nil {
			return err
		}
		deleted.Finalizers = nil
		_, err = r.kube.CoreV1().Pods(pod.Namespace).Update(ctx, &deleted, metav1.UpdateOptions{})
		return err
	}},
	{"delete a hundred, strategic merge patch", deleteBatchAndPatch()},
	{"strategic merge patch, delete", func(ctx context.Context, r *rig, pod *corev1.Pod) error {
		if err := patchFinalizer(ctx, r, pod); err != nil {
			return err
		}
		return r.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
			metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	}},
}

func deleteAndPatch(kind types.PatchType, patchOf func(*corev1.Pod) any) release {
	return func(ctx context.Context, r *rig, pod *corev1.Pod) error {
		pods := r.kube.CoreV1().Pods(pod.Namespace)
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		if err != nil {
			return err
		}
		patch, err := json.Marshal(patchOf(pod))
		if err != nil {
			return err
		}
		_, err = pods.Patch(ctx, pod.Name, kind, patch, metav1.PatchOptions{})
		return err
	}
}

// deleteBatchAndPatch deletes the Pods of a task in one request, and removes each finalizer by a patch.
func deleteBatchAndPatch() release {
	var mu sync.Mutex
	batches := map[string]func() error{}
	return func(ctx context.Context, r *rig, pod *corev1.Pod) error {
		selector := v1alpha1.LabelRun + "=" + pod.Labels[v1alpha1.LabelRun] + "," +
			v1alpha1.LabelTask + "=" + pod.Labels[v1alpha1.LabelTask]
		mu.Lock()
		if batches[selector] == nil {
			batches[selector] = sync.OnceValue(func() error {
				return r.kube.CoreV1().Pods(pod.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
					metav1.ListOptions{LabelSelector: selector})
			})
		}
		deleteBatch := batches[selector]
		mu.Unlock()
		if err := deleteBatch(); err != nil {
			return err
		}
		return patchFinalizer(ctx, r, pod)
	}
}

// withoutFinalizer is the strategic merge patch that removes the finalizer of a Pod.
func withoutFinalizer(pod *corev1.Pod) any {
	return map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "$deleteFromPrimitiveList/finalizers": []string{v1alpha1.Finalizer}}}
}

// patchFinalizer removes the finalizer as the controller does.
func patchFinalizer(ctx context.Context, r *rig, pod *corev1.Pod) error {
	patch, err := json.Marshal(withoutFinalizer(pod))
	if err != nil {
		return err
	}
	_, err = r.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch,
		metav1.PatchOptions{})
	return err
}

// BenchmarkRelease compares the requests that end a finished Pod: what they cost the API server and etcd.
func BenchmarkRelease(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(32)
	run, err := r.client.KontrolerV1alpha1().DagRuns(r.namespace).Create(b.Context(), &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: "run"}, Spec: v1alpha1.DagRunSpec{DagName: "raw"}}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for round := range 2 {
		for i, way := range releases {
			pods := r.finishedPods(w, run, fmt.Sprintf("way-%d-%d", round, i), *releasedPods)
			before, start := r.usage(), time.Now()
			r.each(len(pods), rawRequests, func(i int) error { return way.release(b.Context(), r, pods[i]) })
			took, used := time.Since(start), r.usage().since(before)
			r.await("the last Pod to be gone", time.Minute, func() bool { return w.count() == 0 })
			perPod := func(part string) float64 {
				return float64(used[part].Microseconds()) / 1000 / float64(len(pods))
			}
			b.Logf("%-40s %6.2f ms per Pod; CPU ms per Pod: API server %.2f, etcd %.2f, client %.2f", way.name,
				took.Seconds()*1000/float64(len(pods)), perPod("kube-apiserver"), perPod("etcd"), perPod("completer"))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// finishedPods creates Pods of a DagRun, a hundred of each task, and returns them when they have succeeded.
func (r *rig) finishedPods(w *objects, run *v1alpha1.DagRun, name string, n int) []*corev1.Pod {
	r.b.Helper()
	w.reset()
	pods := make([]*corev1.Pod, n)
	r.each(n, rawRequests, func(i int) (err error) {
		pod := fmt.Sprintf("%s-%d", name, i)
		over := w.isOver(pod)
		if pods[i], err = r.rawPod(run, pod, fmt.Sprintf("%s-task-%d", name, i/100)); err == nil {
			<-over
		}
		return err
	})
	return pods
}
