package pod

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// fullTemplate sets every field of a podTemplate.
func fullTemplate() *v1alpha1.PodTemplate {
	return &v1alpha1.PodTemplate{
		Labels: map[string]string{
			"team":                        "data",
			v1alpha1.LabelRun:             "forged",
			v1alpha1.GroupName + "/other": "x",
		},
		Annotations: map[string]string{"note": "x", v1alpha1.AnnotationRun: "forged"},
		Volumes: []corev1.Volume{
			{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
		Env:          []corev1.EnvVar{{Name: "URL", Value: "http://$(HOST)/$$(x)"}},
		EnvFrom: []corev1.EnvFromSource{
			{Prefix: "P_", SecretRef: &corev1.SecretEnvSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "s"},
			}},
		},
		ImagePullSecrets:         []corev1.LocalObjectReference{{Name: "pull"}},
		ImagePullPolicy:          corev1.PullAlways,
		SecurityContext:          &corev1.PodSecurityContext{RunAsUser: new(int64(1000))},
		ContainerSecurityContext: &corev1.SecurityContext{RunAsNonRoot: new(true)},
		InitContainers: []corev1.Container{
			{Name: "proxy", Image: "proxy", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)},
		},
		NodeSelector: map[string]string{"disk": "ssd"},
		Tolerations: []corev1.Toleration{
			{Key: "spot", Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(5))},
		},
		Affinity:                      &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}},
		ServiceAccountName:            "runner",
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		ActiveDeadlineSeconds:         new(int64(900)),
		TerminationGracePeriodSeconds: new(int64(45)),
		PriorityClassName:             "low",
		RuntimeClassName:              new("gvisor"),
		Resources: &corev1.ResourceRequirements{
			Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		},
	}
}

func fullInput() Input {
	return Input{
		ControllerID: "c1",
		Run:          Run{Namespace: "etl", Name: "nightly-1", UID: runA, DAGName: "nightly"},
		Task: &v1alpha1.Task{Name: "extract", RunAfter: []string{"a"}, TaskTemplate: v1alpha1.TaskTemplate{
			Image: "busybox", Command: []string{"echo"}, Args: []string{"$(HOST)"},
			Parameters: []string{"TOKEN", "HOST"}, TimeoutSeconds: new(int64(60)), PodTemplate: fullTemplate(),
		}},
		Values: []dag.Value{
			{
				Name:  "HOST",
				Value: new("db.$(x)"),
			}, {Name: "TOKEN", Secret: "creds", Key: "token"}, {Name: "UNUSED", Value: new("")},
		},
		Attempt: 3, PodName: "nightly-1-extract-abcdefghij",
	}
}

// TestBuildPod builds the Pod of a task that sets every field.
func TestBuildPod(t *testing.T) {
	in := fullInput()
	for i, field := range reflect.ValueOf(in.Task.PodTemplate).Elem().Fields() {
		if field.IsZero() {
			t.Fatalf("the test leaves out podTemplate.%s", i.Name)
		}
	}
	p := fullTemplate()
	want := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "etl", Name: "nightly-1-extract-abcdefghij",
			Labels: map[string]string{
				"team": "data", v1alpha1.LabelController: "c1", v1alpha1.LabelRun: runA, v1alpha1.LabelTask: "extract",
				v1alpha1.LabelAttempt: "3", v1alpha1.LabelDAG: "nightly",
			},
			Annotations: map[string]string{
				"note": "x", v1alpha1.AnnotationDAG: "nightly", v1alpha1.AnnotationRun: "nightly-1",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "kontroler.greedykomodo/v1alpha1", Kind: "DagRun", Name: "nightly-1", UID: types.UID(runA),
				Controller: new(true),
			}},
			Finalizers: []string{v1alpha1.Finalizer},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:  corev1.RestartPolicyNever,
			InitContainers: p.InitContainers,
			Containers: []corev1.Container{{
				Name: "task", Image: "busybox", Command: []string{"echo"}, Args: []string{"$(HOST)"},
				Env: []corev1.EnvVar{
					{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
						LocalObjectReference: corev1.LocalObjectReference{Name: "creds"}, Key: "token",
					}}},
					{Name: "HOST", Value: "db.$$(x)"},
					{Name: "URL", Value: "http://$(HOST)/$$(x)"},
				},
				EnvFrom: p.EnvFrom, VolumeMounts: p.VolumeMounts, ImagePullPolicy: corev1.PullAlways,
				SecurityContext: p.ContainerSecurityContext, Resources: *p.Resources,
			}},
			Volumes: p.Volumes, ImagePullSecrets: p.ImagePullSecrets, SecurityContext: p.SecurityContext,
			NodeSelector: p.NodeSelector, Tolerations: p.Tolerations, Affinity: p.Affinity,
			ServiceAccountName: "runner", AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
			ActiveDeadlineSeconds: new(int64(900)), TerminationGracePeriodSeconds: new(int64(45)),
			PriorityClassName: "low", RuntimeClassName: new("gvisor"),
		},
	}
	if diff := cmp.Diff(want, Build(in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fullInput(), in, cmp.AllowUnexported(Input{})); diff != "" {
		t.Errorf("the input was changed (-before +after):\n%s", diff)
	}
}

// TestBuildPodMinimal: a Pod has no fields that the task does not need.
func TestBuildPodMinimal(t *testing.T) {
	in := fullInput()
	in.Task = &v1alpha1.Task{Name: "extract", TaskTemplate: v1alpha1.TaskTemplate{Image: "busybox"}}
	in.Values = nil
	want := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: "task", Image: "busybox"}},
	}
	pod := Build(in)
	if diff := cmp.Diff(want, pod.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !IsOurs(pod, "c1", runA) {
		t.Error("the Pod is not ours")
	}
	if uid, ok := RunUID(pod); !ok || uid != runA {
		t.Errorf("podRunUID = %q, %v", uid, ok)
	}
}

// TestBuildPodDeadline: the Pod of a task with a timeout has a deadline from its creation. Lowering it later does not
// change the scope in which quotas count the Pod.
func TestBuildPodDeadline(t *testing.T) {
	minute, day, longest := int64(60), int64(86400), int64(math.MaxInt32)
	for name, test := range map[string]struct{ timeout, template, want *int64 }{
		"neither a timeout nor a deadline":          {},
		"a deadline of the podTemplate":             {template: &day, want: &day},
		"a timeout":                                 {timeout: &minute, want: &longest},
		"a timeout, and a deadline that is earlier": {timeout: &day, template: &minute, want: &minute},
		"a timeout, and a deadline that is later":   {timeout: &minute, template: &day, want: &day},
	} {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			in.Task.TimeoutSeconds, in.Task.PodTemplate.ActiveDeadlineSeconds = test.timeout, test.template
			if diff := cmp.Diff(test.want, Build(in).Spec.ActiveDeadlineSeconds); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestBuildPodWorkspace: every container mounts the workspace. Unless several nodes may write to it, the Pods of the
// run share a node.
func TestBuildPodWorkspace(t *testing.T) {
	own := corev1.PodAffinityTerm{
		TopologyKey:   "kubernetes.io/hostname",
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelWorkspace: runA}},
	}
	users := corev1.PodAffinityTerm{
		TopologyKey:   "zone",
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "cache"}},
	}
	required := func(terms ...corev1.PodAffinityTerm) *corev1.Affinity {
		return &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	}
	nodes := &corev1.NodeAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Weight: 1}},
	}
	both := required(users, own)
	both.NodeAffinity = nodes
	for name, c := range map[string]struct {
		modes []corev1.PersistentVolumeAccessMode
		users *corev1.Affinity
		want  *corev1.Affinity
	}{
		"a workspace for one node needs an affinity": {want: required(own)},
		"a workspace that one node can write to needs an affinity": {
			modes: []corev1.PersistentVolumeAccessMode{"ReadWriteOnce", "ReadOnlyMany"}, want: required(own),
		},
		"a workspace for one Pod needs an affinity": {
			modes: []corev1.PersistentVolumeAccessMode{"ReadWriteOncePod"}, want: required(own),
		},
		"a workspace for many nodes needs no affinity": {modes: []corev1.PersistentVolumeAccessMode{"ReadWriteMany"}},
		"ReadWriteMany among the modes is enough": {
			modes: []corev1.PersistentVolumeAccessMode{"ReadWriteOnce", "ReadWriteMany"}, users: required(users),
			want: required(users),
		},
		"the affinity is added to that of the user": {users: required(users), want: required(users, own)},
		"the node affinity of the user stays": {
			users: &corev1.Affinity{NodeAffinity: nodes, PodAffinity: required(users).PodAffinity}, want: both,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			in.Workspace, in.Claim = &v1alpha1.Workspace{
				Enable: true,
				PVC:    v1alpha1.WorkspaceClaim{AccessModes: c.modes},
			}, "nightly-1-klmnopqrst"
			in.Task.PodTemplate.Affinity = c.users
			before := in.Task.DeepCopy()
			spec := Build(in).Spec
			if diff := cmp.Diff(c.want, spec.Affinity); diff != "" {
				t.Errorf("affinity (-want +got):\n%s", diff)
			}
			mount := corev1.VolumeMount{Name: "kontroler-workspace", MountPath: "/workspace"}
			if diff := cmp.Diff([]corev1.VolumeMount{{Name: "v", MountPath: "/v"}, mount},
				spec.Containers[0].VolumeMounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]corev1.VolumeMount{mount}, spec.InitContainers[0].VolumeMounts); diff != "" {
				t.Errorf("mounts of the init container (-want +got):\n%s", diff)
			}
			volume := corev1.Volume{Name: "kontroler-workspace", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "nightly-1-klmnopqrst"},
			}}
			if diff := cmp.Diff(volume, spec.Volumes[len(spec.Volumes)-1]); diff != "" {
				t.Errorf("volume (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, in.Task); diff != "" {
				t.Errorf("the task was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestBuildPodWorkspaceElsewhere: a mount of the volume "workspace" mounts the workspace, unless the task has a
// volume of that name.
func TestBuildPodWorkspaceElsewhere(t *testing.T) {
	own := corev1.VolumeMount{Name: "kontroler-workspace", MountPath: "/workspace"}
	for name, c := range map[string]struct {
		volumes []corev1.Volume
		want    string
	}{
		"the workspace":        {nil, "kontroler-workspace"},
		"a volume of the task": {[]corev1.Volume{{Name: "workspace"}}, "workspace"},
	} {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			in.Workspace, in.Claim = &v1alpha1.Workspace{Enable: true}, "nightly-1-klmnopqrst"
			in.Task.PodTemplate.Volumes = c.volumes
			in.Task.PodTemplate.VolumeMounts = []corev1.VolumeMount{
				{Name: "workspace", MountPath: "/data", SubPath: "d"},
			}
			want := []corev1.VolumeMount{{Name: c.want, MountPath: "/data", SubPath: "d"}, own}
			if diff := cmp.Diff(want, Build(in).Spec.Containers[0].VolumeMounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildPodScript(t *testing.T) {
	cases := map[string]struct {
		script  string
		command []string
	}{
		"no shebang":      {"echo hello\n", []string{"/bin/sh", "-c", runScript, "/kontroler/script"}},
		"shebang":         {"#!/usr/bin/python3\nprint(1)\n", []string{"/kontroler/script"}},
		"shebang further": {"\n#!/bin/bash\n", []string{"/bin/sh", "-c", runScript, "/kontroler/script"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			in.Task.Command, in.Task.Args, in.Task.Script = nil, nil, c.script
			pod := Build(in)
			mode := int32(0o755)
			want := corev1.Volume{
				Name: "kontroler-script",
				VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
					DefaultMode: &mode,
					Items: []corev1.DownwardAPIVolumeFile{{Path: "script", FieldRef: &corev1.ObjectFieldSelector{
						FieldPath: "metadata.annotations['kontroler.greedykomodo/script']",
					}}},
				}},
			}
			if diff := cmp.Diff(append(fullTemplate().Volumes, want), pod.Spec.Volumes); diff != "" {
				t.Errorf("volumes (-want +got):\n%s", diff)
			}
			container := pod.Spec.Containers[0]
			mounts := append(
				fullTemplate().VolumeMounts,
				corev1.VolumeMount{Name: "kontroler-script", MountPath: "/kontroler", ReadOnly: true},
			)
			if diff := cmp.Diff(mounts, container.VolumeMounts); diff != "" {
				t.Errorf("mounts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.command, container.Command); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			if got := pod.Annotations[v1alpha1.AnnotationScript]; got != c.script {
				t.Errorf("annotation = %q", got)
			}
		})
	}
}

// TestRunScript runs a script without a shebang on this machine as its container does. The shell must exec the
// script, so that it gets the signals and its exit code counts.
func TestRunScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("this test needs a bash")
	}
	with, without := t.TempDir(), t.TempDir()
	if err := os.Symlink(bash, filepath.Join(with, "bash")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "script")
	script := "trap 'echo stopped; exit 7' TERM\necho ${BASH_VERSION:+bash} \"$0\" $#\nwhile :; do :; done\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"an image with bash runs the script in bash":  {with, "bash " + file + " 0"},
		"an image without bash runs the script in sh": {without, file + " 0"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", runScript, file)
			cmd.Env = []string{"PATH=" + c.path}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if lines.Scan(); lines.Text() != c.want {
				t.Errorf("the script printed %q, want %q", lines.Text(), c.want)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			lines.Scan()
			_ = cmd.Wait()
			if lines.Text() != "stopped" || cmd.ProcessState.ExitCode() != 7 {
				t.Errorf(
					"after SIGTERM it printed %q and exited with %d, want stopped and 7",
					lines.Text(),
					cmd.ProcessState.ExitCode(),
				)
			}
		})
	}
}

func TestBuildPodDAGLabel(t *testing.T) {
	cases := map[string]struct {
		name  string
		label bool
	}{
		"fits":           {strings.Repeat("d", 63), true},
		"with dots":      {"nightly.v1", true},
		"one too long":   {strings.Repeat("d", 64), false},
		"not a label":    {"nightly/v1", false},
		"ends in a dash": {"nightly-", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := fullInput()
			in.Run.DAGName = c.name
			pod := Build(in)
			if got, ok := pod.Labels[v1alpha1.LabelDAG]; ok != c.label || ok && got != c.name {
				t.Errorf("label = %q, %v", got, ok)
			}
			if got := pod.Annotations[v1alpha1.AnnotationDAG]; got != c.name {
				t.Errorf("annotation = %q", got)
			}
		})
	}
}

// TestBuildPodSharesNothing: the Pod contains no pointer, map or slice of the input.
func TestBuildPodSharesNothing(t *testing.T) {
	for _, script := range []string{"", "echo"} {
		in := fullInput()
		in.Task.Script = script
		inputs := map[uintptr]string{}
		references(reflect.ValueOf(in), "input", inputs)
		outputs := map[uintptr]string{}
		references(reflect.ValueOf(Build(in)), "pod", outputs)
		if len(inputs) < 30 || len(outputs) < 30 {
			t.Fatalf("only %d and %d references", len(inputs), len(outputs))
		}
		for address, path := range outputs {
			if from, shared := inputs[address]; shared {
				t.Errorf("%s is %s", path, from)
			}
		}
	}
}

// references collects the addresses of everything that a value refers to.
func references(v reflect.Value, path string, into map[uintptr]string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Type().Size() > 0 {
			into[v.Pointer()] = path
			references(v.Elem(), path, into)
		}
	case reflect.Map:
		if !v.IsNil() {
			into[v.Pointer()] = path
		}
		for _, key := range v.MapKeys() {
			references(v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key), into)
		}
	case reflect.Slice:
		if v.Cap() > 0 {
			into[v.Pointer()] = path
		}
		for i := range v.Len() {
			references(v.Index(i), fmt.Sprintf("%s[%d]", path, i), into)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[resource.Quantity]() {
			return
		}
		for field, value := range v.Fields() {
			references(value, path+"."+field.Name, into)
		}
	}
}

// kubeletExpand reimplements the kubelet's expansion of an environment variable, after the documentation of
// EnvVar.value and the sources. "$$" becomes "$". "$(name)" becomes the variable, or stays if it does not exist. An
// opening without an end, and "$" before anything else, stay.
func kubeletExpand(value string, variables map[string]string) string {
	var out bytes.Buffer
	for i := 0; i < len(value); i++ {
		rest := value[i+1:]
		switch {
		case value[i] != '$' || rest == "":
			out.WriteByte(value[i])
		case rest[0] == '$':
			out.WriteByte('$')
			i++
		case rest[0] == '(' && strings.Contains(rest, ")"):
			name := rest[1:strings.IndexByte(rest, ')')]
			if v, ok := variables[name]; ok {
				out.WriteString(v)
			} else {
				out.WriteString("$(" + name + ")")
			}
			i += len(name) + 2
		default:
			out.WriteByte('$')
		}
	}
	return out.String()
}

func TestEscapeEnv(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"nothing to expand":   {"plain", "plain"},
		"empty":               {"", ""},
		"a price":             {"5$ or $6", "5$ or $6"},
		"shell variable":      {"$HOME/${X}", "$HOME/${X}"},
		"a reference":         {"$(A)", "$$(A)"},
		"an escaped one":      {"$$(A)", "$$$$(A)"},
		"two":                 {"a$$b", "a$$$$b"},
		"an opening":          {"x$(", "x$$("},
		"others with it":      {"$1 $(A) $", "$$1 $$(A) $$"},
		"a reference, nested": {"$($(A))", "$$($$(A))"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := escapeEnv(c.in)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if back := kubeletExpand(got, map[string]string{"A": "expanded", "": "empty"}); back != c.in {
				t.Errorf("a container sees %q instead of %q", back, c.in)
			}
		})
	}
}

// TestEscapeEnvAnyValue: a container sees exactly the value, and so does a variable of the template that refers to it.
func TestEscapeEnvAnyValue(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	letters := []rune("$$$(()AB é\n")
	variables := map[string]string{"A": "expanded", "B": "$(A)", "": "empty", "AB": "$$"}
	for range 200_000 {
		value := make([]rune, random.IntN(12))
		for i := range value {
			value[i] = letters[random.IntN(len(letters))]
		}
		want := string(value)
		got := kubeletExpand(escapeEnv(want), variables)
		if got != want {
			t.Fatalf("a container sees %q instead of %q (escaped %q)", got, want, escapeEnv(want))
		}
		if through := kubeletExpand("<$(P)>", map[string]string{"P": got}); through != "<"+want+">" {
			t.Fatalf("through a reference: %q instead of %q", through, want)
		}
	}
}

// TestExpand: the reimplementation behaves as the kubelet does. The cases come from its documentation.
func TestExpand(t *testing.T) {
	variables := map[string]string{"A": "a", "B": "$(A)", "": "empty"}
	cases := map[string]string{
		"$(A)": "a", "$$(A)": "$(A)", "$$$(A)": "$a", "$(B)": "$(A)", "$(C)": "$(C)", "$(": "$(", "$(A": "$(A",
		"$": "$", "a$": "a$", "$$": "$", "$$$": "$$", "$A": "$A", "${A}": "${A}", "$()": "empty",
		"$(A)$(A)": "aa", "$($(A))": "$($(A))", "$é$": "$é$",
	}
	for in, want := range cases {
		if got := kubeletExpand(in, variables); got != want {
			t.Errorf("kubeletExpand(%q) = %q, want %q", in, got, want)
		}
	}
}
