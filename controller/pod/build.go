package pod

import (
	"maps"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// Where the script of a task is mounted.
const (
	scriptVolume = "kontroler-script"
	scriptMount  = "/kontroler"
	scriptFile   = "script"

	reservedPrefix = v1alpha1.GroupName + "/"
)

// Input has everything that a Pod is built from. Build does not change it.
type Input struct {
	ControllerID string
	Run          Run
	Task         *v1alpha1.Task
	// Values are the resolved parameters of the run.
	Values  []dag.Value
	Attempt int
	PodName string
	// Workspace is the workspace of the run, or nil. Claim is the name of its PersistentVolumeClaim.
	Workspace *v1alpha1.Workspace
	Claim     string
}

// Run identifies a run by its DagRun.
type Run struct {
	Namespace, Name, UID string
	DAGName              string
}

// Build returns the Pod of an attempt: the task's container and the podTemplate around it. The same input gives the
// same Pod. The Pod shares no memory with the input.
func Build(in Input) *corev1.Pod {
	t := &v1alpha1.PodTemplate{}
	if in.Task.PodTemplate != nil {
		t = in.Task.PodTemplate.DeepCopy()
	}
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       in.Run.Namespace,
			Name:            in.PodName,
			Labels:          podLabels(in, t.Labels),
			Annotations:     podAnnotations(in, t.Annotations),
			OwnerReferences: []metav1.OwnerReference{ownerOf(in.Run)},
			Finalizers:      []string{v1alpha1.Finalizer},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			InitContainers:                t.InitContainers,
			Containers:                    []corev1.Container{taskContainer(in, t)},
			Volumes:                       t.Volumes,
			ImagePullSecrets:              t.ImagePullSecrets,
			SecurityContext:               t.SecurityContext,
			NodeSelector:                  t.NodeSelector,
			Tolerations:                   t.Tolerations,
			Affinity:                      t.Affinity,
			ServiceAccountName:            t.ServiceAccountName,
			AutomountServiceAccountToken:  t.AutomountServiceAccountToken,
			EnableServiceLinks:            t.EnableServiceLinks,
			ActiveDeadlineSeconds:         deadline(in.Task, t),
			TerminationGracePeriodSeconds: t.TerminationGracePeriodSeconds,
			PriorityClassName:             t.PriorityClassName,
			RuntimeClassName:              t.RuntimeClassName,
		},
	}
	if in.Workspace != nil {
		addWorkspace(pod, in.Run, in.Workspace, in.Claim)
	}
	if in.Task.Script != "" {
		addScript(pod, in.Task.Script)
	}
	return pod
}

// podLabels returns the labels of the podTemplate and those of the controller. Labels with the controller's prefix
// cannot be set by users, because the controller finds its Pods by them.
func podLabels(in Input, given map[string]string) map[string]string {
	labels := withoutReserved(given)
	labels[v1alpha1.LabelController] = in.ControllerID
	labels[v1alpha1.LabelRun] = in.Run.UID
	labels[v1alpha1.LabelTask] = in.Task.Name
	labels[v1alpha1.LabelAttempt] = strconv.Itoa(in.Attempt)
	if len(validation.IsValidLabelValue(in.Run.DAGName)) == 0 {
		labels[v1alpha1.LabelDAG] = in.Run.DAGName
	}
	return labels
}

func podAnnotations(in Input, given map[string]string) map[string]string {
	annotations := withoutReserved(given)
	annotations[v1alpha1.AnnotationDAG] = in.Run.DAGName
	annotations[v1alpha1.AnnotationRun] = in.Run.Name
	return annotations
}

// withoutReserved copies the entries without the controller's prefix.
func withoutReserved(given map[string]string) map[string]string {
	kept := make(map[string]string, len(given)+5)
	maps.Copy(kept, given)
	maps.DeleteFunc(kept, func(key, _ string) bool { return strings.HasPrefix(key, reservedPrefix) })
	return kept
}

func ownerOf(run Run) metav1.OwnerReference {
	controller := true
	return metav1.OwnerReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: dagRunKind, Name: run.Name, UID: types.UID(run.UID),
		Controller: &controller,
	}
}

// deadline returns activeDeadlineSeconds of a Pod. If a task has a timeout, the controller lowers the deadline when the
// container runs. Until then the Pod has the longest one. A Pod that got its first deadline later would move to quotas
// of scope Terminating, which may be full.
func deadline(task *v1alpha1.Task, t *v1alpha1.PodTemplate) *int64 {
	if t.ActiveDeadlineSeconds == nil && task.TimeoutSeconds != nil {
		return new(int64(math.MaxInt32))
	}
	return t.ActiveDeadlineSeconds
}

// taskContainer returns the container whose end decides the task. It shares the lists of t.
func taskContainer(in Input, t *v1alpha1.PodTemplate) corev1.Container {
	c := corev1.Container{
		Name:            v1alpha1.TaskContainer,
		Image:           in.Task.Image,
		Command:         append([]string(nil), in.Task.Command...),
		Args:            append([]string(nil), in.Task.Args...),
		Env:             append(parameterEnv(in.Task.Parameters, in.Values), t.Env...),
		EnvFrom:         t.EnvFrom,
		VolumeMounts:    t.VolumeMounts,
		ImagePullPolicy: t.ImagePullPolicy,
		SecurityContext: t.ContainerSecurityContext,
	}
	if t.Resources != nil {
		c.Resources = *t.Resources
	}
	return c
}

// parameterEnv returns the variables of the parameters that a task names, in the order of the task. They come before
// those of podTemplate.env, which may refer to them.
func parameterEnv(names []string, values []dag.Value) []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, name := range names {
		for i := range values {
			if values[i].Name == name {
				env = append(env, envVar(&values[i]))
				break
			}
		}
	}
	return env
}

func envVar(v *dag.Value) corev1.EnvVar {
	if v.Value != nil {
		return corev1.EnvVar{Name: v.Name, Value: escapeEnv(*v.Value)}
	}
	return corev1.EnvVar{Name: v.Name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: v.Secret}, Key: v.Key,
	}}}
}

// escapeEnv escapes the value of an environment variable, so that the kubelet expands it to value. A parameter is
// data, and "$(X)" in it is not a reference.
//
// The kubelet reads a value from left to right. "$$" becomes "$", "$(X)" becomes the value of X if that variable
// exists, and any other "$" stays. A value with neither "$$" nor "$(" therefore stays as it is. In any other value
// each "$" is doubled, which leaves only pairs.
func escapeEnv(value string) string {
	if !strings.Contains(value, "$$") && !strings.Contains(value, "$(") {
		return value
	}
	return strings.ReplaceAll(value, "$", "$$")
}

// addScript adds a script to the Pod as an annotation. A downwardAPI volume projects it into the task's container.
// The file belongs to root, and every user may read and execute it.
func addScript(pod *corev1.Pod, script string) {
	mode := int32(0o755)
	path := scriptMount + "/" + scriptFile
	pod.Annotations[v1alpha1.AnnotationScript] = script
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: scriptVolume,
		VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
			DefaultMode: &mode,
			Items: []corev1.DownwardAPIVolumeFile{{
				Path: scriptFile,
				FieldRef: &corev1.ObjectFieldSelector{
					FieldPath: "metadata.annotations['" + v1alpha1.AnnotationScript + "']",
				},
			}},
		}},
	})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts,
		corev1.VolumeMount{Name: scriptVolume, MountPath: scriptMount, ReadOnly: true})
	c.Args = nil
	c.Command = []string{path}
	if !strings.HasPrefix(script, "#!") {
		c.Command = []string{"/bin/sh", "-c", runScript, path}
	}
}

// runScript runs the file $0 in bash if the image has it, otherwise in sh. It uses exec, so that the script receives
// the signals and its exit code is that of the container.
const runScript = `if command -v bash >/dev/null 2>&1; then exec bash "$0"; fi; exec /bin/sh "$0"`
