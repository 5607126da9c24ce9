package compat_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	dagcompiler "kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// old returns a task with the fields of old manifests and more, in YAML flow style.
func old(fields string) string {
	return `{name: a, image: "busybox:1.36", backoff: {limit: 0}, conditional: {enabled: false, retryCodes: []}, ` +
		fields + `}`
}

// scheduled returns a DAG with a schedule and more fields.
func scheduled(schedule, more string) string {
	return dag(`{schedule: "` + schedule + `", task: [` + old(`command: ["true"]`) + `]` + more + `}`)
}

// existingForms are manifests that the existing Kontroler accepts, and their result here.
var existingForms = map[string]struct {
	manifest string
	refused  string   // by the API server, with this in the message
	invalid  string   // by the compiler, with this in the message
	warnings []string // in an Event
}{
	"a script beside a command": {manifest: task(old(`script: "echo hi", command: [sh, -c]`)),
		warnings: []string{"spec.task[0].script: replaces command and args, which have no effect: remove them"}},
	"a script beside args": {manifest: task(old(`script: "echo hi", command: [], args: [one]`)),
		warnings: []string{"spec.task[0].script: replaces command and args, which have no effect: remove them"}},
	"a zone before the schedule": {manifest: scheduled("CRON_TZ=Europe/Berlin 0 9 * * 1-5", ""),
		warnings: []string{
			`spec.schedule: CRON_TZ=Europe/Berlin counts as timeZone: ` +
				`write timeZone: "Europe/Berlin" and schedule: "0 9 * * 1-5"`,
		}},
	"TZ, the same as timeZone": {manifest: scheduled("TZ=Europe/Berlin 0 9 * * *", ", timeZone: Europe/Berlin"),
		warnings: []string{
			`spec.schedule: TZ=Europe/Berlin counts as timeZone: ` +
				`write timeZone: "Europe/Berlin" and schedule: "0 9 * * *"`,
		}},
	"TZ, another than timeZone": {manifest: scheduled("TZ=Europe/Berlin 0 9 * * *", ", timeZone: UTC"),
		invalid: `spec.schedule: Invalid value: "TZ=Europe/Berlin 0 9 * * *": ` +
			`TZ= names a different zone than timeZone "UTC": remove one of them`},
	"a schedule that is never due": {manifest: scheduled("0 0 31 2 *", ""),
		warnings: []string{"spec.schedule: is never due, because no date matches it: correct it or remove it"}},
	"a parameter that begins with a digit": {
		manifest: dag(
			`{parameters: [{name: 1st, defaultValue: "1"}], task: [` +
				old(`command: ["true"], parameters: [1st]`) + `]}`,
		),
		warnings: []string{
			`spec.parameters[0].name: "1st" is rejected in Pods before Kubernetes 1.34: ` +
				`begin it with a letter, and use letters, digits and _ only`,
		}},
	"a value of 100,000 characters": {
		manifest: dag(
			`{parameters: [{name: p, defaultValue: "` + strings.Repeat(
				"v",
				100_000,
			) + `"}], task: [` + old(
				`command: ["true"]`,
			) + `]}`,
		)},
	"a value that no process can be started with": {
		manifest: dag(
			`{parameters: [{name: p, defaultValue: "` + strings.Repeat(
				"v",
				131_072,
			) + `"}], task: [` + old(
				`command: ["true"]`,
			) + `]}`,
		),
		invalid: "spec.parameters[0].defaultValue: Too long: must be at most 131069 bytes, " +
			"because Linux accepts no longer environment variable: put it into a ConfigMap or Secret"},
	"a negative limit": {manifest: task(`{name: a, image: i, command: ["true"], backoff: {limit: -1}}`),
		warnings: []string{"spec.task[0].backoff.limit: -1 counts as 0, no retries: write 0"}},
	"a limit for ever": {manifest: task(`{name: a, image: i, command: ["true"], backoff: {limit: 3000000000}}`),
		warnings: []string{
			"spec.task[0].backoff.limit: 3000000000 retries take days or longer before the task is Failed: " +
				"write 1000 or less",
		}},
	"retry codes out of range": {
		manifest: task(`{name: a, image: i, command: ["true"], conditional: {enabled: true, retryCodes: [-1, 256]}}`),
		warnings: []string{
			"spec.task[0].conditional.retryCodes[0]: -1 matches nothing, because exit codes are 0 to 255: remove it",
			"spec.task[0].conditional.retryCodes[1]: 256 matches nothing, because exit codes are 0 to 255: remove it"},
	},
	"claims of a workspace": {
		manifest: dag(
			`{workspace: {enable: true, pvc: {accessModes: [ReadWriteOnce], ` +
				`resources: {requests: {storage: 1Gi}, claims: [{name: c}]}}}, task: [` +
				old(`command: ["true"]`) + `]}`,
		),
		warnings: []string{
			"spec.workspace.pvc.resources.claims: has no effect, because a PersistentVolumeClaim has none: remove it",
		}},
	"the workspace elsewhere too": {
		manifest: dag(
			`{workspace: {enable: true, pvc: {accessModes: [ReadWriteOnce], ` +
				`resources: {requests: {storage: 1Gi}}}}, task: [` +
				old(`command: ["true"], podTemplate: {`+
					`volumeMounts: [{name: workspace, mountPath: /data, subPath: d}]}`) + `]}`,
		)},
	"a backup of a DAG": {
		manifest: strings.Replace(task(old(`command: ["true"]`)), "metadata: {name: x}", backupMetadata, 1) +
			"status: {phase: Successful, message: DAG reconciled successfully}\n"},
	"a backup of a DagRun": {
		manifest: strings.Replace(
			manifest("DagRun", `{dagName: x, parameters: []}`),
			"metadata: {name: x}",
			backupMetadata,
			1,
		) + "status: {dagRunId: 5}\n"},
	"a backup of a DagTask": {
		manifest: strings.Replace(
			manifest(
				"DagTask",
				`{image: i, command: ["true"], backoff: {limit: 0}, conditional: {enabled: false, retryCodes: []}}`,
			),
			"metadata: {name: x}",
			backupMetadata,
			1,
		) + "status: {}\n"},

	"a parameter named twice": {
		manifest: dag(
			`{parameters: [{name: A, defaultValue: "1"}, {name: A, defaultValue: "2"}], task: [` + old(
				`command: ["true"]`,
			) + `]}`,
		),
		refused: `spec.parameters[1]: Duplicate value: {"name":"A"}`},
	"an override named twice": {
		manifest: manifest("DagRun", `{dagName: x, parameters: [{name: A, value: "1"}, {name: A, value: "2"}]}`),
		refused:  `spec.parameters[1]: Duplicate value: {"name":"A"}`,
	},
	"a parameter named twice by a task": {
		manifest: dag(
			`{parameters: [{name: A, defaultValue: "1"}], task: [` +
				old(`command: ["true"], parameters: [A, A]`) + `]}`,
		),
		invalid: `spec.task[0].parameters[1]: Duplicate value: "A": must be given once`},
	"a task name that is no DNS label": {manifest: task(`{name: Build_App, image: i, command: ["true"]}`),
		refused: `spec.task[0].name: Invalid value: "Build_App": must be a DNS label, such as build-app`},
	"a mount at /kontroler": {
		manifest: pod(`{volumes: [{name: v, emptyDir: {}}], volumeMounts: [{name: v, mountPath: /kontroler}]}`),
		invalid: "spec.task[0].podTemplate.volumeMounts[0].mountPath: Forbidden: " +
			"/kontroler is reserved for the controller: mount the volume elsewhere"},
	"a mount of the script's volume": {
		manifest: pod(`{volumeMounts: [{name: shared-scripts, mountPath: /scripts-again}]}`),
		invalid: `spec.task[0].podTemplate.volumeMounts[0].name: Not found: "shared-scripts": ` +
			`podTemplate.volumes has no volume of this name; the script is /kontroler/script`,
	},
	"a webhook without a scheme": {
		manifest: dag(
			`{webhook: {url: "hooks.tools.svc:8080/kontroler", verifySSL: false}, task: [` +
				old(`command: ["true"]`) + `]}`,
		),
		invalid: "spec.webhook.url: Invalid value: must be an http or https URL, scheme and host included",
	},
	"a block volume": {
		manifest: dag(
			`{workspace: {enable: true, pvc: {volumeMode: Block, resources: {requests: {storage: 1Gi}}}}, task: [` +
				old(`command: ["true"]`) + `]}`,
		),
		invalid: `spec.workspace.pvc.volumeMode: Invalid value: "Block": must be Filesystem, or left out`},
	"whitespace in an image": {manifest: task(`{name: a, image: "busybox:1.36 ", command: ["true"]}`),
		invalid: `spec.task[0].image: Invalid value: "busybox:1.36 ": ` +
			`must not have leading or trailing whitespace: remove it`},
	"tolerationSeconds without NoExecute": {
		manifest: pod(`{tolerations: [{key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]}`),
		invalid: `spec.task[0].podTemplate.tolerations[0].effect: Invalid value: "NoSchedule": ` +
			`must be NoExecute where tolerationSeconds is set: leave tolerationSeconds out`},
}

// backupMetadata is the metadata of an old object in the output of `kubectl get -o yaml`, without fields that kubectl
// cannot apply.
const backupMetadata = `metadata:
  name: x
  generation: 1
  creationTimestamp: "2024-05-01T10:00:00Z"
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  finalizers: [example.com/kept]`

// Every form that the existing Kontroler accepts applies with the same meaning, or is refused with its field and a
// remedy.
func TestExistingForms(t *testing.T) {
	for name, tt := range existingForms {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			object, err := parse([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			unnamed := object.DeepCopy()
			unnamed.SetName(object.GetName() + "-created")
			_, createErr := c.create(t.Context(), unnamed)
			_, err = c.apply(t.Context(), []byte(tt.manifest))
			if tt.refused != "" {
				if createErr == nil || !strings.Contains(createErr.Error(), tt.refused) {
					t.Errorf("got %v, want a refusal that says %q", createErr, tt.refused)
				}
				if err == nil {
					t.Error("accepted by server-side apply")
				}
				return
			}
			if createErr != nil || err != nil {
				t.Fatalf("refused: %v; %v", createErr, err)
			}
			t.Cleanup(func() { c.dropFinalizers(t, object.GetKind(), object.GetName(), unnamed.GetName()) })
			decoded, err := c.decode(t.Context(), object.GetKind(), object.GetName())
			if err != nil {
				t.Fatal(err)
			}
			faults, warnings := judge(decoded)
			if tt.invalid == "" && faults != "" || !strings.Contains(faults, tt.invalid) {
				t.Errorf("the compiler says %.500q, want %q", faults, tt.invalid)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// judge returns the faults and warnings of the compiler.
func judge(object any) (faults string, warnings []string) {
	switch o := object.(type) {
	case *v1alpha1.DAG:
		if _, found := dagcompiler.Compile(&o.Spec); len(found) > 0 {
			faults = found.ToAggregate().Error()
		}
		return faults, dagcompiler.Warnings(&o.Spec)
	case *v1alpha1.DagTask:
		if found := dagcompiler.CheckTask(&o.Spec); len(found) > 0 {
			faults = found.ToAggregate().Error()
		}
		return faults, dagcompiler.TaskWarnings(&o.Spec)
	}
	return "", nil
}

// dropFinalizers removes finalizers, so that the namespace of the test can be deleted.
func (c cluster) dropFinalizers(t *testing.T, kind string, names ...string) {
	for _, name := range names {
		_, err := c.resource(kind).
			Patch(context.WithoutCancel(t.Context()), name, types.MergePatchType,
				[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	}
}
