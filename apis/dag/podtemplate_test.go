package dag_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kontroler/apis/kontroler/v1alpha1"
)

const inTemplate = "spec.task[0].podTemplate."

func TestCompileMetadataFaults(t *testing.T) {
	testFaults(t, map[string]faultCase{
		"empty": {inPod(v1alpha1.PodTemplate{}), nil},
		"labels": {
			inPod(v1alpha1.PodTemplate{Labels: map[string]string{
				"kontroler.greedykomodo/x": "y", "a b": "x", "c": "d e", "ok": "",
			}}),
			[]string{
				inTemplate + "labels[a b]: FieldValueInvalid", inTemplate + "labels[c]: FieldValueInvalid",
				inTemplate + "labels[kontroler.greedykomodo/x]: FieldValueForbidden",
			},
		},
		"annotations": {
			inPod(v1alpha1.PodTemplate{Annotations: map[string]string{
				"kontroler.greedykomodo/script": "y", "a b": "x", "c": "d e\n", "n": "\x00",
			}}),
			[]string{
				inTemplate + "annotations[a b]: FieldValueInvalid", inTemplate + "annotations[n]: FieldValueInvalid",
				inTemplate + "annotations[kontroler.greedykomodo/script]: FieldValueForbidden",
			},
		},
		"annotations and script too large together": {
			tasks(with(task("a"), func(t *v1alpha1.Task) {
				t.Script = strings.Repeat("x", 131072)
				t.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]string{"x": strings.Repeat("y", 131072)}}
			})),
			[]string{inTemplate + "annotations: FieldValueTooLong"},
		},
	})
}

func TestCompileVolumeFaults(t *testing.T) {
	two := corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{}, HostPath: &corev1.HostPathVolumeSource{Path: "/"},
	}
	data := []corev1.Volume{{Name: "data"}}
	testFaults(t, map[string]faultCase{
		"volumes": {
			inPod(v1alpha1.PodTemplate{Volumes: []corev1.Volume{
				{Name: "data"}, {Name: "data"}, {Name: ""}, {Name: "A"}, {Name: "kontroler-script"},
				{Name: "two", VolumeSource: two},
			}}),
			[]string{
				inTemplate + "volumes[1].name: FieldValueDuplicate", inTemplate + "volumes[2].name: FieldValueRequired",
				inTemplate + "volumes[3].name: FieldValueInvalid", inTemplate + "volumes[4].name: FieldValueForbidden",
				inTemplate + "volumes[5]: FieldValueForbidden",
			},
		},
		"mounts": {
			inPod(v1alpha1.PodTemplate{Volumes: data, VolumeMounts: []corev1.VolumeMount{
				{Name: "data", MountPath: "/a"}, {Name: "data", MountPath: "/a"}, {Name: "other", MountPath: "/b"},
				{Name: "", MountPath: ""}, {Name: "data", MountPath: "/kontroler/"},
				{Name: "data", MountPath: "/x/../kontroler/y"},
				{
					Name:        "data",
					MountPath:   "/kontrolers",
					SubPath:     "a/../b",
					SubPathExpr: "/c",
				}, {Name: "data", MountPath: "/workspace"},
			}}),
			[]string{
				inTemplate + "volumeMounts[1].mountPath: FieldValueDuplicate",
				inTemplate + "volumeMounts[2].name: FieldValueNotFound",
				inTemplate + "volumeMounts[3].name: FieldValueRequired",
				inTemplate + "volumeMounts[3].mountPath: FieldValueRequired",
				inTemplate + "volumeMounts[4].mountPath: FieldValueForbidden",
				inTemplate + "volumeMounts[5].mountPath: FieldValueForbidden",
				inTemplate + "volumeMounts[6].subPath: FieldValueInvalid",
				inTemplate + "volumeMounts[6].subPathExpr: FieldValueInvalid",
				inTemplate + "volumeMounts[6].subPathExpr: FieldValueForbidden",
			},
		},
		"beside the workspace": {
			func() *v1alpha1.DAGSpec {
				s := inPod(v1alpha1.PodTemplate{
					Volumes: []corev1.Volume{{Name: "data"}, {Name: "kontroler-workspace"}},
					VolumeMounts: []corev1.VolumeMount{
						{Name: "data", MountPath: "/workspace/"}, {Name: "data", MountPath: "/workspace/cache"},
					},
					InitContainers: []corev1.Container{{
						Name: "first", Image: "x",
						VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/workspace"}},
					}},
				})
				s.Workspace = claimed("1Gi")
				return s
			}(),
			[]string{
				inTemplate + "volumes[1].name: FieldValueForbidden",
				inTemplate + "volumeMounts[0].mountPath: FieldValueForbidden",
				inTemplate + "initContainers[0].volumeMounts[0].mountPath: FieldValueForbidden",
			},
		},
		"the workspace elsewhere": {
			func() *v1alpha1.DAGSpec {
				s := inPod(v1alpha1.PodTemplate{VolumeMounts: []corev1.VolumeMount{
					{Name: "workspace", MountPath: "/data", SubPath: "d"},
				}})
				s.Workspace = claimed("1Gi")
				return s
			}(), nil,
		},
		"no workspace to have elsewhere, no script of old": {
			inPod(
				v1alpha1.PodTemplate{
					VolumeMounts: []corev1.VolumeMount{
						{Name: "workspace", MountPath: "/data"},
						{Name: "shared-scripts", MountPath: "/s"},
					},
				},
			),
			[]string{
				inTemplate + "volumeMounts[0].name: FieldValueNotFound",
				inTemplate + "volumeMounts[1].name: FieldValueNotFound",
			},
		},
		"without a workspace": {
			inPod(v1alpha1.PodTemplate{Volumes: []corev1.Volume{{Name: "kontroler-workspace"}}}), nil,
		},
	})
}

func TestCompileEnvAndInitContainerFaults(t *testing.T) {
	data := []corev1.Volume{{Name: "data"}}
	testFaults(t, map[string]faultCase{
		"env": {
			inPod(v1alpha1.PodTemplate{Env: []corev1.EnvVar{
				{Name: ""}, {Name: "a=b"}, {Name: "1 fine"}, {Name: "x"}, {Name: "x"}, {Name: "n", Value: "\x00"},
				{Name: "none", ValueFrom: &corev1.EnvVarSource{}},
				{
					Name:      "both",
					Value:     "v",
					ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}},
				},
			}}),
			[]string{
				inTemplate + "env[0].name: FieldValueRequired", inTemplate + "env[1].name: FieldValueInvalid",
				inTemplate + "env[4].name: FieldValueDuplicate", inTemplate + "env[5].value: FieldValueInvalid",
				inTemplate + "env[6].valueFrom: FieldValueForbidden",
				inTemplate + "env[7].valueFrom: FieldValueForbidden",
			},
		},
		"envFrom": {
			inPod(v1alpha1.PodTemplate{EnvFrom: []corev1.EnvFromSource{
				{}, {Prefix: "=", SecretRef: &corev1.SecretEnvSource{}},
				{ConfigMapRef: &corev1.ConfigMapEnvSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "A"},
				}},
			}}),
			[]string{
				inTemplate + "envFrom[0]: FieldValueForbidden", inTemplate + "envFrom[1].prefix: FieldValueInvalid",
				inTemplate + "envFrom[1].secretRef.name: FieldValueRequired",
				inTemplate + "envFrom[2].configMapRef.name: FieldValueInvalid",
			},
		},
		"init containers": {
			inPod(v1alpha1.PodTemplate{Volumes: data, InitContainers: []corev1.Container{
				{Name: "task", Image: "x"}, {Name: "", Image: " x"}, {Name: "A"}, {Name: "b", Image: "x"},
				{
					Name: "b", Image: "x", VolumeMounts: []corev1.VolumeMount{{Name: "q", MountPath: "/q"}},
					Env: []corev1.EnvVar{{}}, EnvFrom: []corev1.EnvFromSource{{}}, ImagePullPolicy: "x",
					Resources: corev1.ResourceRequirements{
						Limits: corev1.ResourceList{"cpu": resource.MustParse("-1")},
					},
				},
			}}),
			[]string{
				inTemplate + "initContainers[0].name: FieldValueForbidden",
				inTemplate + "initContainers[1].name: FieldValueRequired",
				inTemplate + "initContainers[1].image: FieldValueInvalid",
				inTemplate + "initContainers[2].name: FieldValueInvalid",
				inTemplate + "initContainers[2].image: FieldValueRequired",
				inTemplate + "initContainers[4].name: FieldValueDuplicate",
				inTemplate + "initContainers[4].volumeMounts[0].name: FieldValueNotFound",
				inTemplate + "initContainers[4].env[0].name: FieldValueRequired",
				inTemplate + "initContainers[4].envFrom[0]: FieldValueForbidden",
				inTemplate + "initContainers[4].imagePullPolicy: FieldValueNotSupported",
				inTemplate + "initContainers[4].resources.limits[cpu]: FieldValueInvalid",
			},
		},
	})
}

func TestCompilePodTemplateScalarFaults(t *testing.T) {
	testFaults(t, map[string]faultCase{
		"scheduling": {
			inPod(v1alpha1.PodTemplate{
				NodeSelector: map[string]string{"a b": "x"},
				Tolerations: []corev1.Toleration{
					{Operator: "Exists"}, {Key: "a", Value: "b"}, {}, {Key: "a b", Operator: "Exists", Value: "x"},
					{Key: "a", Value: "b c"}, {Key: "a", Effect: "x", TolerationSeconds: ptr[int64](1)},
					{Key: "a", Operator: "Gt", Value: "1"},
				},
			}),
			[]string{
				inTemplate + "nodeSelector[a b]: FieldValueInvalid",
				inTemplate + "tolerations[2].operator: FieldValueInvalid",
				inTemplate + "tolerations[3].key: FieldValueInvalid",
				inTemplate + "tolerations[3].value: FieldValueInvalid",
				inTemplate + "tolerations[4].value: FieldValueInvalid",
				inTemplate + "tolerations[5].effect: FieldValueNotSupported",
				inTemplate + "tolerations[5].effect: FieldValueInvalid",
			},
		},
		"names": {
			inPod(v1alpha1.PodTemplate{
				ServiceAccountName: "A", PriorityClassName: "B", RuntimeClassName: ptr(""),
				ImagePullPolicy: "Sometimes",
			}),
			[]string{
				inTemplate + "imagePullPolicy: FieldValueNotSupported",
				inTemplate + "serviceAccountName: FieldValueInvalid",
				inTemplate + "priorityClassName: FieldValueInvalid",
				inTemplate + "runtimeClassName: FieldValueRequired",
			},
		},
		"deadlines": {
			inPod(v1alpha1.PodTemplate{
				ActiveDeadlineSeconds: ptr[int64](0), TerminationGracePeriodSeconds: ptr[int64](-1),
			}),
			[]string{
				inTemplate + "activeDeadlineSeconds: FieldValueInvalid",
				inTemplate + "terminationGracePeriodSeconds: FieldValueInvalid",
			},
		},
		"resources": {
			inPod(v1alpha1.PodTemplate{Resources: &corev1.ResourceRequirements{
				Requests: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("-1")},
				Limits:   corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("1Gi")},
				Claims:   []corev1.ResourceClaim{{Name: "gpu"}},
			}}),
			[]string{
				inTemplate + "resources.requests[cpu]: FieldValueInvalid",
				inTemplate + "resources.requests[memory]: FieldValueInvalid",
				inTemplate + "resources.claims[0]: FieldValueForbidden",
			},
		},
	})
}
