package dag_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// sized has ordinary and extreme versions.
func sized() map[string]func(i int) v1alpha1.Task {
	return map[string]func(i int) v1alpha1.Task{
		"bare tasks": func(i int) v1alpha1.Task { return task(fmt.Sprint("t", i)) },
		"ordinary tasks": func(i int) v1alpha1.Task {
			return with(task(fmt.Sprintf("load-table-%d", i)), func(t *v1alpha1.Task) {
				t.Image = "registry.example.com/team/loader:1.2.3"
				t.Command, t.Args = []string{
					"python",
					"-m",
					"loader",
				}, []string{
					"--table",
					fmt.Sprintf("table_%d", i),
					"--mode",
					"full",
				}
				t.Parameters = []string{"day", "region"}
				t.Backoff = &v1alpha1.Backoff{Limit: ptr[int64](3)}
				t.TimeoutSeconds = ptr[int64](3600)
				t.PodTemplate = &v1alpha1.PodTemplate{
					Resources: &corev1.ResourceRequirements{
						Requests: corev1.ResourceList{
							"cpu": resource.MustParse("500m"), "memory": resource.MustParse("512Mi"),
						},
						Limits: corev1.ResourceList{"memory": resource.MustParse("1Gi")},
					},
					Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "TABLE", Value: fmt.Sprint(i)}},
				}
				if i > 0 {
					t.RunAfter = []string{fmt.Sprintf("load-table-%d", i/2)}
				}
			})
		},
		"tasks with a long script": func(i int) v1alpha1.Task {
			return with(task(fmt.Sprint("t", i)), func(t *v1alpha1.Task) {
				t.Script = strings.Repeat("echo 0123456789\n", 500)
			})
		},
		"tasks with much of a Pod": func(i int) v1alpha1.Task {
			return with(task(fmt.Sprint("t", i)), func(t *v1alpha1.Task) {
				p := &v1alpha1.PodTemplate{
					Labels:       map[string]string{"a": "1", "b": "2", "c": "3"},
					NodeSelector: map[string]string{"disk": "ssd"},
				}
				for j := range 20 {
					p.Env = append(p.Env, corev1.EnvVar{Name: fmt.Sprint("E", j), ValueFrom: &corev1.EnvVarSource{
						ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
							Key:                  fmt.Sprint("k", j),
							LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
						}}})
				}
				for j := range 5 {
					name := fmt.Sprint("v", j)
					p.Volumes = append(p.Volumes, corev1.Volume{
						Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
					})
					p.VolumeMounts = append(p.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
				}
				p.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
					RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
						NodeSelectorTerms: []corev1.NodeSelectorTerm{{
							MatchExpressions: []corev1.NodeSelectorRequirement{
								{Key: "k", Operator: "In", Values: []string{"a", "b"}},
							},
						}},
					},
				}}
				t.PodTemplate = p
			})
		},
	}
}

// encodedOf returns a version with a number of tasks.
func encodedOf(t testing.TB, n int, of func(i int) v1alpha1.Task) []byte {
	t.Helper()
	spec := &v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{
			{Name: "day", DefaultValue: ptr("x")}, {Name: "region", DefaultValue: ptr("y")},
		},
	}
	for i := range n {
		spec.Task = append(spec.Task, of(i))
	}
	encoded, err := dag.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// heap returns the bytes in use.
func heap() int64 {
	var stats runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// The estimate limits the cache of versions, so it must be close to the memory in use.
func TestBytes(t *testing.T) {
	for name, of := range sized() {
		for _, n := range []int{1, 20, 1000} {
			t.Run(fmt.Sprintf("%d %s", n, name), func(t *testing.T) {
				encoded, copies := encodedOf(t, n, of), 2000/n
				graphs, estimate, before := make([]*dag.Graph, copies), int64(0), heap()
				for i := range graphs {
					g, err := dag.Load(encoded, n)
					if err != nil {
						t.Fatal(err)
					}
					graphs[i] = g
				}
				used := heap() - before
				for _, g := range graphs {
					estimate += g.Bytes()
				}
				t.Logf("%d bytes a task, estimate %d, encoded %d",
					used/int64(copies*n), estimate/int64(copies*n), len(encoded)/n)
				if estimate > 2*used || used > 2*estimate {
					t.Errorf("the heap grew by %d, the estimate is %d: not within a factor of two", used, estimate)
				}
				runtime.KeepAlive(encoded)
			})
		}
	}
}

func BenchmarkBytes(b *testing.B) {
	encoded := encodedOf(b, 1000, sized()["ordinary tasks"])
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := dag.Load(encoded, 1000); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("estimate", func(b *testing.B) {
		g, err := dag.Load(encoded, 1000)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			g.Bytes()
		}
	})
}
