package e2e_test

import (
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"kontroler/apis/kontroler/v1alpha1"
)

// Every task and every retry gets the parameters and the Pod template.
func TestOverridesAndPodTemplateReachEveryAttempt(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	hello, kept := "hello", "kept"
	last := sh("last", `echo "$GREETING $KEPT $FROM_TEMPLATE $(id -u)" >> /dir/seen
		if [ ! -e /dir/second ]; then `+until("first")+`; echo > /dir/second; exit 1; fi
		`+until("go"), after("middle"), retries(1))
	last.Parameters = []string{"GREETING", "KEPT"}
	user, no := int64(4711), false
	template := last.PodTemplate
	template.Labels = map[string]string{"team": "data"}
	template.Annotations = map[string]string{"example.com/note": "kept"}
	template.Env = []corev1.EnvVar{{Name: "FROM_TEMPLATE", Value: "by-template"}}
	template.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &user}
	template.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
	template.AutomountServiceAccountToken, template.EnableServiceLinks = &no, &no
	template.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("7m")}}
	w.ApplySpec("dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "GREETING", DefaultValue: &hello}, {Name: "KEPT", DefaultValue: &kept}},
		Task:       []v1alpha1.Task{sh("first", ""), sh("middle", "", after("first")), last},
	})
	salut := "salut"
	w.Start("run", "dag", v1alpha1.ParameterValue{Name: "GREETING", Value: &salut})
	first := w.WaitPod(
		"run",
		"last",
		func(p *corev1.Pod) bool { return running(p) && p.Labels[v1alpha1.LabelAttempt] == "1" },
	)
	w.Open("first")
	second := w.WaitPod(
		"run",
		"last",
		func(p *corev1.Pod) bool { return running(p) && p.Labels[v1alpha1.LabelAttempt] == "2" },
	)
	for _, pod := range []*corev1.Pod{first, second} {
		checkTemplate(t, pod)
	}
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", map[string]string{
		"first": "Succeeded", "middle": "Succeeded", "last": "Succeeded 2",
	})
	w.CheckOnce("first", "middle", "last")
	if is, want := w.File("seen"), strings.Repeat("salut kept by-template 4711\n", 2); is != want {
		t.Errorf("the attempts saw %q, want %q", is, want)
	}
}

func checkTemplate(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	attempt := pod.Labels[v1alpha1.LabelAttempt]
	if pod.Labels["team"] != "data" || pod.Annotations["example.com/note"] != "kept" {
		t.Errorf("attempt %s: labels %v, annotations %v", attempt, pod.Labels, pod.Annotations)
	}
	s, c := pod.Spec, pod.Spec.Containers[0]
	if s.SecurityContext == nil || s.SecurityContext.RunAsUser == nil || *s.SecurityContext.RunAsUser != 4711 {
		t.Errorf("attempt %s: securityContext %+v", attempt, s.SecurityContext)
	}
	if !maps.Equal(s.NodeSelector, map[string]string{"kubernetes.io/os": "linux"}) {
		t.Errorf("attempt %s: nodeSelector %v", attempt, s.NodeSelector)
	}
	if s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken {
		t.Errorf("attempt %s: automountServiceAccountToken is not false", attempt)
	}
	if s.EnableServiceLinks == nil || *s.EnableServiceLinks {
		t.Errorf("attempt %s: enableServiceLinks is not false", attempt)
	}
	if c.Resources.Requests.Cpu().String() != "7m" {
		t.Errorf("attempt %s: resources %v", attempt, c.Resources)
	}
	env := map[string]string{}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	if want := map[string]string{"GREETING": "salut", "KEPT": "kept", "FROM_TEMPLATE": "by-template"}; !maps.Equal(
		env,
		want,
	) {
		t.Errorf("attempt %s: env %v, want %v", attempt, env, want)
	}
}

// The value of a secret parameter is in its Secret and in the container, nowhere else.
func TestSecretParameter(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(flags("--log-level=debug"))
	w.Apply(`
apiVersion: v1
kind: Secret
metadata: {name: first}
stringData: {secret: value-4f1c-of-first}
---
apiVersion: v1
kind: Secret
metadata: {name: second}
stringData: {token: value-77aa-of-second, secret: value-0000-unused}
---
apiVersion: v1
kind: Secret
metadata: {name: third}
stringData: {secret: value-c3c3-of-third}
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: dag}
spec:
  parameters:
  - {name: FIRST, defaultFromSecret: first}
  - {name: SECOND, defaultSecretKeyRef: {name: second, key: token}}
  - {name: THIRD, defaultFromSecret: first}
  task:
  - name: reads
    image: busybox:1.36
    command: [sh, -c, 'echo "$FIRST $SECOND $THIRD" >> /dir/seen; [ $(wc -l < /dir/seen) -ge 2 ]']
    parameters: [FIRST, SECOND, THIRD]
    backoff: {limit: 1, duration: 100ms}
    podTemplate: &dir
      volumes: [{name: dir, hostPath: {path: $DIR}}]
      volumeMounts: [{name: dir, mountPath: /dir}]
  - name: without
    image: busybox:1.36
    runAfter: [reads]
    command: [sh, -c, 'echo "without:$FIRST$SECOND$THIRD" >> /dir/seen']
    podTemplate: *dir
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: run}
spec:
  dagName: dag
  parameters: [{name: THIRD, fromSecret: third}]
`)
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", map[string]string{"reads": "Succeeded 2", "without": "Succeeded"})
	line := "value-4f1c-of-first value-77aa-of-second value-c3c3-of-third\n"
	if is, want := w.File("seen"), line+line+"without:\n"; is != want {
		t.Errorf("the tasks saw %q, want %q", is, want)
	}
	rows := w.Contents()
	if !strings.Contains(rows, "second") {
		t.Error("the database does not name the Secret: is this the whole of it?")
	}
	for where, text := range map[string]string{
		"database": rows, "log": c.Log(), "custom resources": w.Kubectl("get", "dags,dagruns", "-o",
			"yaml"), "Events": w.Kubectl("get", "events", "-o", "yaml"),
	} {
		if strings.Contains(text, "value-") {
			t.Errorf("%s contains the value of a Secret", where)
		}
	}
}

func TestScriptAsNonRoot(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.Apply(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: scripts}
spec:
  parameters: [{name: WHO, defaultValue: world}]
  task:
  - name: shebang
    image: busybox:1.36
    script: |
      #!/bin/busybox ash
      echo "shebang $WHO $(id -u)" >> /dir/seen
      cat <<'END' >> /dir/seen
      $WHO 'quoted' "both" \n ü
      END
    parameters: [WHO]
    podTemplate: &user
      securityContext: {runAsUser: 12345, runAsGroup: 12345, runAsNonRoot: true}
      containerSecurityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,
        capabilities: {drop: [ALL]}}
      volumes: [{name: dir, hostPath: {path: $DIR}}]
      volumeMounts: [{name: dir, mountPath: /dir}]
  - name: plain
    image: busybox:1.36
    runAfter: [shebang]
    script: |
      echo "plain $(id -u)" >> /dir/seen
      exit 3
    conditional: {enabled: true, retryCodes: [4]}
    podTemplate: *user
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: run}
spec: {dagName: scripts}
`)
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal("run", "Failed", map[string]string{"shebang": "Succeeded", "plain": "Failed"})
	want := "shebang world 12345\n$WHO 'quoted' \"both\" \\n ü\nplain 12345\n"
	if is := w.File("seen"); is != want {
		t.Errorf("the scripts wrote %q, want %q", is, want)
	}
	if a := w.AttemptsOf("run", "plain")[0]; a.ExitCode == nil || *a.ExitCode != 3 {
		t.Errorf("the script's exit code is %v, want 3", a.ExitCode)
	}
}
