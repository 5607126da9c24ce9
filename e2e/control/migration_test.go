package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// oldRunFinalizer is the finalizer of the existing Kontroler on DagRuns.
const oldRunFinalizer = "kontroler.greedykomodo/dagrun.finalizer"

// oldCRD returns a CustomResourceDefinition like that of the existing Kontroler's chart: its status fields, a
// conversion webhook that nothing serves any more, and a spec that accepts everything.
func oldCRD(kind, status string) string {
	plural := strings.ToLower(kind) + "s"
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.kontroler.greedykomodo}
spec:
  group: kontroler.greedykomodo
  names: {kind: %[2]s, listKind: %[2]sList, plural: %[1]s, singular: %[3]s}
  scope: Namespaced
  conversion:
    strategy: Webhook
    webhook:
      clientConfig: {service: {name: webhook-service, namespace: system, path: /convert}}
      conversionReviewVersions: [v1]
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, %[4]s}
---
`, plural, kind, strings.ToLower(kind), status)
}

func oldCRDs() string {
	return oldCRD("DAG", "properties: {phase: {type: string}, message: {type: string}}") +
		oldCRD(
			"DagRun",
			"required: [dagRunId], properties: {dagRunId: {type: integer}}",
		) + oldCRD("DagTask", "properties: {}")
}

// newMigration makes a world on a cluster of its own with the CustomResourceDefinitions of the existing Kontroler.
func newMigration(t *testing.T) *world {
	t.Helper()
	w := &world{harness.NewOnOwnCluster(t)}
	if err := os.Symlink(filepath.Join(harness.Root(), "manifests"), filepath.Join(w.Dir, "manifests")); err != nil {
		t.Fatal(err)
	}
	w.Apply(oldCRDs())
	w.waitCRDs()
	return w
}

func (w *world) waitCRDs() {
	w.T.Helper()
	for _, resource := range []string{"dags", "dagruns", "dagtasks"} {
		w.Kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/"+resource+".kontroler.greedykomodo")
	}
	w.Eventually("the resources to be served", patience, func(context.Context) (bool, string) {
		out, err := w.RunKubectl("", "get", "dags,dagruns,dagtasks", "-A")
		return err == nil, out
	})
}

// oldTask has the fields of a task in old manifests.
const oldTask = `image: "busybox:1.36", command: ["true"], backoff: {limit: 0}, ` +
	`conditional: {enabled: false, retryCodes: []}`

// oldObject returns the manifest of an object with finalizers.
func oldObject(kind, name, spec string, finalizers ...string) string {
	list, _ := json.Marshal(finalizers)
	return fmt.Sprintf(
		"apiVersion: kontroler.greedykomodo/v1alpha1\nkind: %s\nmetadata: {name: %s, finalizers: %s}\nspec: %s\n---\n",
		kind,
		name,
		list,
		spec,
	)
}

// makeOldObjects creates the objects of the existing Kontroler, and deletes some of them while its controller is
// stopped.
func (w *world) makeOldObjects() {
	w.T.Helper()
	run := `{dagName: etl, parameters: []}`
	w.Apply(oldObject("DAG", "etl", `{schedule: "CRON_TZ=UTC 0 2 * * *", task: [{name: a, `+oldTask+`}]}`) +
		oldObject("DAG", "upper", `{task: [{name: Build_App, `+oldTask+`}]}`) +
		oldObject(
			"DAG",
			"forever",
			`{task: [{name: a, image: i, command: ["true"], backoff: {limit: 3000000000}, `+
				`conditional: {enabled: true, retryCodes: [-3000000000]}}]}`,
		) +
		oldObject("DAG", "deleted", `{task: [{name: a, `+oldTask+`}]}`, "dag.finalizer.kontroler.greedykomodo") +
		oldObject("DagTask", "live", `{`+oldTask+`}`, "dagTask.finalizer.kontroler.greedykomodo") +
		oldObject("DagTask", "deleted", `{`+oldTask+`}`, "dagTask.finalizer.kontroler.greedykomodo") +
		oldObject("DagRun", "ran", run, oldRunFinalizer) +
		oldObject("DagRun", "ran-without-finalizer", run) +
		oldObject("DagRun", "taken-on", run, oldRunFinalizer) +
		oldObject("DagRun", "of-no-dag", `{dagName: gone, parameters: []}`, oldRunFinalizer) +
		oldObject("DagRun", "deleted", run, oldRunFinalizer) +
		oldObject("DagRun", "deleted-and-held", run, oldRunFinalizer, "example.com/audit") +
		oldObject("DagRun", "new", run, oldRunFinalizer))
	w.patchStatus("dag", "etl", `{"phase":"Successful","message":"DAG reconciled successfully"}`)
	for i, name := range []string{
		"ran", "ran-without-finalizer", "of-no-dag", "deleted", "deleted-and-held", "taken-on",
	} {
		w.patchStatus("dagrun", name, fmt.Sprintf(`{"dagRunId":%d}`, i+1))
	}
	w.Kubectl("delete", "--wait=false", "dag/deleted", "dagtask/deleted", "dagrun/deleted", "dagrun/deleted-and-held")
}

func (w *world) patchStatus(kind, name, status string) {
	w.T.Helper()
	w.Kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", `{"status":`+status+`}`)
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// documented runs the block of manifests/MIGRATION.md that contains a text, and returns its output.
func (w *world) documented(has string) string {
	w.T.Helper()
	page, err := os.ReadFile(filepath.Join(harness.Root(), "manifests", "MIGRATION.md"))
	if err != nil {
		w.T.Fatal(err)
	}
	var blocks []string
	for _, match := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(match[1], has) {
			blocks = append(blocks, match[1])
		}
	}
	if len(blocks) != 1 {
		w.T.Fatalf("manifests/MIGRATION.md has %d blocks with %q, want one", len(blocks), has)
	}
	cmd := exec.CommandContext(w.T.Context(), "bash", "-euo", "pipefail", "-c", blocks[0])
	cmd.Dir = w.Dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig,
		"PATH="+filepath.Dir(w.KubectlPath)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.T.Fatalf("%s%v\n%s", blocks[0], err, out)
	}
	return string(out)
}

// waitGone waits until objects are gone.
func (w *world) waitGone(objects ...string) {
	w.T.Helper()
	w.Eventually(strings.Join(objects, ", ")+" to be gone", patience, func(context.Context) (bool, string) {
		is := w.Kubectl(append([]string{"get", "--ignore-not-found", "-o", "name"}, objects...)...)
		return is == "", is
	})
}

// waitHistory waits until the status of a DagRun says that the existing Kontroler has run it.
func (w *world) waitHistory(name string) *v1alpha1.DagRun {
	w.T.Helper()
	var run *v1alpha1.DagRun
	w.Eventually("DagRun "+name+" to be history", patience, func(context.Context) (bool, string) {
		run = w.DagRun(name)
		c := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.RunConditionAdmitted)
		return c != nil && c.Status == metav1.ConditionFalse && c.Reason == "OtherKontroler",
			fmt.Sprintf("%+v", run.Status)
	})
	return run
}

// The documented steps move a cluster from the existing Kontroler. Old runs do not run again, deleted objects
// disappear, and new runs run.
func TestMigration(t *testing.T) {
	w := newMigration(t)
	w.makeOldObjects()
	checkRefusal(t, w.Launch(), 1, "the existing Kontroler's", "manifests/MIGRATION.md")

	w.documented("kontroler-backup.yaml")
	w.documented("validatingwebhookconfiguration")
	w.documented("kubectl apply --server-side")
	w.waitCRDs()
	if is := w.DagRun("ran").Status.DagRunID; is != 1 {
		t.Fatalf("dagRunId is %d under the new schema, want 1", is)
	}
	process := w.Controller()
	w.waitGone("dag/deleted", "dagtask/deleted", "dagrun/deleted")
	history := []string{"ran", "ran-without-finalizer", "taken-on", "of-no-dag"}
	before := map[string]string{}
	for _, name := range history {
		before[name] = w.waitHistory(name).ResourceVersion
	}
	w.checkOldObjects()
	w.WaitPod("new", "a", nil)
	w.Start("again", "etl")
	w.WaitPod("again", "a", nil)

	// A changed DAG, a restart and an applied backup do not run or change old DagRuns either.
	w.Kubectl("patch", "dag", "etl", "--type=merge", "-p", `{"spec":{"maxParallel":1}}`)
	w.waitVersion("etl", 2)
	process.Stop()
	out, err := w.RunKubectl(
		w.Kubectl("get", "dagruns", "ran", "taken-on", "-o", "yaml"),
		"apply",
		"--validate=strict",
		"-f",
		"-",
	)
	if err != nil {
		t.Errorf("applying a backup: %v\n%s", err, out)
	}
	for _, name := range []string{"ran", "taken-on"} {
		before[name] = w.DagRun(name).ResourceVersion // kubectl records what it applied
	}
	w.Controller()
	w.Start("third", "etl")
	w.WaitPod("third", "a", nil)
	if diff := gocmp.Diff([]string{"again", "new", "third"},
		w.Strings(`SELECT name FROM kontroler_v1.runs ORDER BY name`)); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	for _, name := range history {
		if is := w.DagRun(name).ResourceVersion; is != before[name] {
			t.Errorf("DagRun %s was written to again", name)
		}
	}
	w.Kubectl("delete", "--wait=false", "dagrun/ran")
	w.waitGone("dagrun/ran")
}

// checkOldObjects checks what the first controller does to the old objects.
func (w *world) checkOldObjects() {
	w.T.Helper()
	run := w.DagRun("ran")
	if !slices.Equal(run.Finalizers, []string{oldRunFinalizer}) || run.Status.Phase != "" || run.Status.DagRunID != 1 ||
		run.Status.RunID != 0 ||
		run.Status.Controller != "" {
		w.T.Errorf("the old DagRun has finalizers %q and status %+v", run.Finalizers, run.Status)
	}
	w.Eventually("a deleted DagRun to keep a foreign finalizer", patience, func(context.Context) (bool, string) {
		is := w.DagRun("deleted-and-held").Finalizers
		return slices.Equal(is, []string{"example.com/audit"}), fmt.Sprint(is)
	})
	w.Kubectl("patch", "dagrun", "deleted-and-held", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	if is := w.Kubectl("get", "dagtask", "live", "-o",
		"jsonpath={.metadata.finalizers}"); is != `["dagTask.finalizer.kontroler.greedykomodo"]` {
		w.T.Errorf("the live DagTask has finalizers %s", is)
	}
	lines := strings.Split(w.Kubectl("get", "dagruns", "ran", "--no-headers"), "\n")
	if is := columns(lines[0]); !slices.Equal(is[:3], []string{"ran", "etl", "OtherKontroler"}) {
		w.T.Errorf("kubectl get dagruns prints %q of an old DagRun", is)
	}
	for dag, want := range map[string]metav1.ConditionStatus{
		"etl": metav1.ConditionTrue, "forever": metav1.ConditionTrue, "upper": metav1.ConditionFalse,
	} {
		w.Eventually("DAG "+dag+" to be reconciled", patience, func(context.Context) (bool, string) {
			c := meta.FindStatusCondition(w.DAG(dag).Status.Conditions, v1alpha1.DAGValid)
			return c != nil && c.Status == want, fmt.Sprintf("%+v", c)
		})
	}
	if s := w.DAG("etl").Status; s.Phase != "Successful" || s.Message != "DAG reconciled successfully" {
		w.T.Errorf("the old DAG has phase %q, message %q", s.Phase, s.Message)
	}
	for dag, says := range map[string]string{"etl": "counts as timeZone", "forever": "3000000000 retries"} {
		w.Eventually("an Event about DAG "+dag, patience, func(ctx context.Context) (bool, string) {
			is := w.Kubectl(
				"get",
				"events",
				"--field-selector",
				"reason=Discouraged,involvedObject.name="+dag,
				"-o",
				"jsonpath={.items[*].message}",
			)
			return strings.Contains(is, says), is
		})
	}
	w.Eventually("the schedule to begin now", patience, func(context.Context) (bool, string) {
		s := w.DAG("etl").Status
		return s.NextScheduleTime != nil && s.LastScheduleTime == nil, fmt.Sprintf("%+v", s)
	})
}

func (w *world) waitVersion(dag string, version int64) {
	w.T.Helper()
	w.Eventually("a new version of DAG "+dag, patience, func(context.Context) (bool, string) {
		s := w.DAG(dag).Status
		return s.Version == version, fmt.Sprintf("%+v", s)
	})
}

// The documented steps for older versions, for what they leave behind, and for going back work.
func TestMigrationOfOlderVersionsAndBack(t *testing.T) {
	w := newMigration(t)
	w.Apply(
		oldObject(
			"DAG",
			"etl",
			`{schedule: "0 2 * * *", task: [{name: a, `+oldTask+`}]}`,
		) + oldObject(
			"DagRun",
			"ran",
			`{dagName: etl, parameters: []}`,
		),
	)
	left := `{apiVersion: v1, kind: Pod, metadata: {name: left, labels: {managed-by: kontroler},
  finalizers: [kontroler/logcollection]}, spec: {containers: [{name: a, image: i}]}}
---
{apiVersion: v1, kind: PersistentVolumeClaim,
  metadata: {name: ran-pvc, finalizers: [kontroler.greedykomodo/pvc.finalizer]},
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: of-others},
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`
	w.Eventually(
		"what is left to be made",
		patience,
		func(context.Context) (bool, string) { // a service account comes first
			out, err := w.TryApply(left)
			return err == nil, out
		},
	)
	w.documented("kubectl apply --server-side")
	w.waitCRDs()
	w.documented("OtherKontroler")
	process := w.Controller()
	if run := w.waitHistory("ran"); run.Status.Phase != "OtherKontroler" {
		t.Errorf("the DagRun that was marked has phase %q", run.Status.Phase)
	}
	w.Start("new", "etl")
	w.WaitPod("new", "a", nil)
	w.documented("reason=Discouraged")
	w.documented("pvc.finalizer")
	w.waitGone("pod/left", "pvc/ran-pvc")
	if is := w.Kubectl("get", "pvc", "-o", "name"); is != "persistentvolumeclaim/of-others\n" {
		t.Errorf("claims that are left: %s", is)
	}

	process.Stop()
	if out, err := w.Uninstall(); err != nil {
		t.Errorf("controller uninstall: %v %s", err, out)
	}
	w.documented("kubectl delete dagrun")
	if is := w.Kubectl("get", "dagruns", "-o", "name"); is != "dagrun.kontroler.greedykomodo/ran\n" {
		t.Errorf("DagRuns that are left: %s", is)
	}
	next := w.DAG("etl").Status.NextScheduleTime.UTC().Format("2006-01-02T15:04:05Z")
	if is, want := w.documented("SET nexttime"), fmt.Sprintf(
		"UPDATE dags SET nexttime = '%s' WHERE namespace = '%s' AND name = 'etl';\n",
		next, w.Namespace); is != want {
		t.Errorf("for the old database: %q, want %q", is, want)
	}
	w.Apply(oldCRDs())
	w.waitCRDs()
	// The old controller does this to a DagRun that it runs.
	w.Apply(oldObject("DagRun", "back", `{dagName: etl, parameters: []}`, oldRunFinalizer))
	w.patchStatus("dagrun", "back", `{"dagRunId":9}`)
}
