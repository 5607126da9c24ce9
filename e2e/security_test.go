package e2e_test

import (
	"strings"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// A DAG whose podTemplate satisfies the Pod Security Standard `restricted` runs in a namespace that enforces it:
// scripts, a workspace, logs and retries. The controller adds nothing to a Pod that the standard forbids. A DAG that
// does not satisfy it waits and says which fields it must set.
func TestPodSecurityRestricted(t *testing.T) {
	w := newWorld(t)
	w.Kubectl("label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce=restricted")
	w.Controller()
	w.Apply(harness.Example(t, "restricted.yaml"))
	w.Apply(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: files}
spec:
  workspace:
    enable: true
    pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
  task:
  - name: writes
    image: busybox:1.36
    script: |
      echo "written by $(id -u)" >/workspace/file
    podTemplate: &restricted
      securityContext:
        runAsNonRoot: true
        runAsUser: 65534
        seccompProfile: {type: RuntimeDefault}
      containerSecurityContext:
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
  - name: reads
    image: busybox:1.36
    runAfter: [writes]
    command: [sh, -c, "cat /workspace/file; [ -e /workspace/again ] || { touch /workspace/again; exit 1; }"]
    backoff: {limit: 1, duration: 100ms}
    podTemplate: *restricted
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: run}
spec: {dagName: files}
`)
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", map[string]string{"writes": "Succeeded", "reads": "Succeeded 2"})
	w.checkLog("run", "reads", 2, "written by 65534\n")

	w.WaitRun("restricted-1", v1alpha1.RunSucceeded, patience)
	if log := w.log("restricted-1", "work", 1); !strings.HasPrefix(log.content, "uid=65534") {
		t.Errorf("the log of the example is %v, want uid=65534", log)
	}

	w.ApplyDAG("root", sh("root", ""))
	w.Start("refused", "root")
	task := w.WaitTask("refused", "root", "Active", "CreateRefused")
	for _, says := range []string{
		`violates PodSecurity "restricted:latest"`, "must set securityContext.allowPrivilegeEscalation=false",
		`must set securityContext.capabilities.drop=["ALL"]`, `"dir" uses restricted volume type`,
	} {
		if !strings.Contains(task.Message, says) {
			t.Errorf("the task says %q, want %q", task.Message, says)
		}
	}
}
