package dag_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// faultCase is a spec and its faults.
type faultCase struct {
	spec *v1alpha1.DAGSpec
	want []string
}

func testFaults(t *testing.T, cases map[string]faultCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g, faults := dag.Compile(c.spec)
			if diff := cmp.Diff(c.want, brief(faults)); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%v", diff, faults)
			}
			if (g == nil) != (len(faults) > 0) {
				t.Errorf("graph %v with %d faults", g, len(faults))
			}
		})
	}
}

func TestCompileTaskFaults(t *testing.T) {
	a := task("a")
	testFaults(t, map[string]faultCase{
		"no spec":        {nil, []string{"spec: FieldValueRequired"}},
		"no task":        {&v1alpha1.DAGSpec{}, []string{"spec.task: FieldValueRequired"}},
		"too many tasks": {layered(10001, 0), []string{"spec.task: FieldValueTooMany"}},
		"empty name":     {tasks(task("")), []string{"spec.task[0].name: FieldValueRequired"}},
		"invalid name":   {tasks(a, task("A_b")), []string{"spec.task[1].name: FieldValueInvalid"}},
		"long name":      {tasks(task(strings.Repeat("a", 64))), []string{"spec.task[0].name: FieldValueInvalid"}},
		"duplicate name": {tasks(a, task("b"), a), []string{"spec.task[2].name: FieldValueDuplicate"}},
		"no image":       {tasks(v1alpha1.Task{Name: "a"}), []string{"spec.task[0].image: FieldValueRequired"}},
		"taskRef without an image": {
			tasks(v1alpha1.Task{Name: "a", TaskRef: &v1alpha1.TaskRef{Name: "x"}}), nil,
		},
		"taskRef without a name": {
			tasks(v1alpha1.Task{Name: "a", TaskRef: &v1alpha1.TaskRef{Version: -1}}),
			[]string{
				"spec.task[0].taskRef.name: FieldValueRequired", "spec.task[0].taskRef.version: FieldValueInvalid",
			},
		},
		"image with a space": {
			tasks(with(a, func(t *v1alpha1.Task) { t.Image = "x " })),
			[]string{"spec.task[0].image: FieldValueInvalid"},
		},
		"unknown parent": {tasks(a, task("b", "a", "x")), []string{"spec.task[1].runAfter[1]: FieldValueNotFound"}},
		"self parent":    {tasks(task("a", "a")), []string{"spec.task[0].runAfter[0]: FieldValueInvalid"}},
		"parent twice":   {tasks(a, task("b", "a", "a")), nil},
		"cycle":          {tasks(task("a", "b"), task("b", "a")), []string{"spec.task[0].runAfter: FieldValueInvalid"}},
	})
}

func TestCompileContainerFaults(t *testing.T) {
	a := task("a")
	testFaults(t, map[string]faultCase{
		"a script beside command and args is valid": {
			tasks(with(a, func(t *v1alpha1.Task) {
				t.Script, t.Command, t.Args = "x", []string{"sh", "-c"}, []string{"y"}
			})), nil,
		},
		"longest script": {
			tasks(with(a, func(t *v1alpha1.Task) { t.Script = strings.Repeat("x", 131072) })), nil,
		},
		"script too long in bytes": {
			tasks(with(a, func(t *v1alpha1.Task) { t.Script = strings.Repeat("ä", 65537) })),
			[]string{"spec.task[0].script: FieldValueTooLong"},
		},
		"NUL": {
			tasks(with(a, func(t *v1alpha1.Task) { t.Command, t.Args = []string{"x\x00"}, []string{"y", "\x00"} })),
			[]string{"spec.task[0].command[0]: FieldValueInvalid", "spec.task[0].args[1]: FieldValueInvalid"},
		},
		"NUL in a script": {
			tasks(with(a, func(t *v1alpha1.Task) { t.Script = "x\x00" })),
			[]string{"spec.task[0].script: FieldValueInvalid"},
		},
		"timeout": {
			tasks(with(a, func(t *v1alpha1.Task) { t.TimeoutSeconds = ptr[int64](0) })),
			[]string{"spec.task[0].timeoutSeconds: FieldValueInvalid"},
		},
		"retries": {
			tasks(with(a, func(t *v1alpha1.Task) {
				t.Backoff = &v1alpha1.Backoff{
					Limit: new(int64(-1)), Factor: ptr[int32](0),
					Duration: &metav1.Duration{Duration: -1}, MaxDuration: &metav1.Duration{Duration: -time.Second},
				}
				t.Conditional = &v1alpha1.Conditional{RetryCodes: []int64{0, 255, 256, -1}}
			})),
			[]string{
				"spec.task[0].backoff.factor: FieldValueInvalid", "spec.task[0].backoff.duration: FieldValueInvalid",
				"spec.task[0].backoff.maxDuration: FieldValueInvalid",
			},
		},
	})
}

// spec returns a valid spec with a change.
func spec(change func(*v1alpha1.DAGSpec)) *v1alpha1.DAGSpec {
	s := tasks(task("a"))
	change(s)
	return s
}

func TestCompileSpecFaults(t *testing.T) {
	testFaults(t, map[string]faultCase{
		"schedule": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "0 0 32 2 *" }), []string{"spec.schedule: FieldValueInvalid"},
		},
		"a schedule that is never due": {spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "0 0 31 2 *" }), nil},
		"a zone before the schedule": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "CRON_TZ=Europe/Berlin 0 9 * * 1-5" }),
			nil,
		},
		"a zone before the schedule and the same timeZone": {
			spec(func(s *v1alpha1.DAGSpec) {
				s.Schedule, s.TimeZone = "TZ=Europe/Berlin 0 9 * * *", ptr("Europe/Berlin")
			}), nil,
		},
		"a zone before the schedule and another timeZone": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule, s.TimeZone = "TZ=Europe/Berlin 0 9 * * *", ptr("UTC") }),
			[]string{"spec.schedule: FieldValueInvalid"},
		},
		"an unknown zone before the schedule": {
			spec(
				func(s *v1alpha1.DAGSpec) { s.Schedule = "TZ=Mars/Olympus 0 9 * * *" },
			), []string{"spec.schedule: FieldValueInvalid"},
		},
		"a zone without a schedule": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "TZ=UTC" }),
			[]string{"spec.schedule: FieldValueInvalid"},
		},
		"time zone": {
			spec(func(s *v1alpha1.DAGSpec) { s.TimeZone = ptr("Mars/Olympus") }),
			[]string{"spec.timeZone: FieldValueInvalid"},
		},
		"dsl": {spec(func(s *v1alpha1.DAGSpec) { s.DSL = ptr("") }), []string{"spec.dsl: FieldValueForbidden"}},
		"unknown enum values": {
			spec(func(s *v1alpha1.DAGSpec) { s.ConcurrencyPolicy, s.CatchUp, s.Logs = "x", "y", "z" }),
			[]string{
				"spec.concurrencyPolicy: FieldValueNotSupported", "spec.catchUp: FieldValueNotSupported",
				"spec.logs: FieldValueNotSupported",
			},
		},
		"numbers out of range": {
			spec(func(s *v1alpha1.DAGSpec) {
				s.StartingDeadlineSeconds, s.ActiveDeadlineSeconds = ptr[int64](-1), ptr[int64](31536001)
				s.SuccessfulRunsHistoryLimit, s.FailedRunsHistoryLimit = ptr[int32](-1), ptr[int32](10001)
				s.CatchUpLimit, s.MaxParallel, s.TTLSecondsAfterFinished = ptr[int32](0), ptr[int32](0), ptr[int32](-1)
			}),
			[]string{
				"spec.startingDeadlineSeconds: FieldValueInvalid", "spec.successfulRunsHistoryLimit: FieldValueInvalid",
				"spec.failedRunsHistoryLimit: FieldValueInvalid", "spec.catchUpLimit: FieldValueInvalid",
				"spec.maxParallel: FieldValueInvalid", "spec.activeDeadlineSeconds: FieldValueInvalid",
				"spec.ttlSecondsAfterFinished: FieldValueInvalid",
			},
		},
	})
}

func TestCompileWebhookAndWorkspaceFaults(t *testing.T) {
	testFaults(t, map[string]faultCase{
		"webhook": {
			spec(func(s *v1alpha1.DAGSpec) {
				s.Webhook = &v1alpha1.Webhook{
					URL: "ftp://x", SecretRef: &v1alpha1.SecretKeyRef{Key: "a/b"}, Events: []v1alpha1.WebhookEvent{
						"RunFailed", "x", "",
					},
				}
			}),
			[]string{
				"spec.webhook.url: FieldValueInvalid", "spec.webhook.secretRef.name: FieldValueRequired",
				"spec.webhook.secretRef.key: FieldValueInvalid", "spec.webhook.events[1]: FieldValueNotSupported",
				"spec.webhook.events[2]: FieldValueRequired",
			},
		},
		"webhook without a URL": {spec(func(s *v1alpha1.DAGSpec) { s.Webhook = &v1alpha1.Webhook{} }), nil},
		"workspace without fields": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = &v1alpha1.Workspace{Enable: true} }),
			[]string{"spec.workspace.pvc.resources.requests[storage]: FieldValueRequired"},
		},
		"a disabled workspace is not checked": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("0", "x"); s.Workspace.Enable = false }),
			nil,
		},
		"the smallest workspace": {spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("1") }), nil},
		"a workspace for many nodes": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("1Gi", "ReadOnlyMany", "ReadWriteMany") }),
			nil,
		},
		"a workspace without a size": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("0") }),
			[]string{"spec.workspace.pvc.resources.requests[storage]: FieldValueInvalid"},
		},
		"a read-only workspace": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("1Gi", "ReadOnlyMany", "ReadOnlyMany") }),
			[]string{"spec.workspace.pvc.accessModes: FieldValueForbidden"},
		},
		"ReadWriteOncePod with another mode": {
			spec(func(s *v1alpha1.DAGSpec) { s.Workspace = claimed("1Gi", "ReadWriteOncePod", "ReadWriteOnce") }),
			[]string{"spec.workspace.pvc.accessModes: FieldValueForbidden"},
		},
		"a block device as workspace": {
			spec(func(s *v1alpha1.DAGSpec) {
				s.Workspace = claimed("1Gi", "")
				s.Workspace.PVC.VolumeMode = ptr(corev1.PersistentVolumeBlock)
			}),
			[]string{
				"spec.workspace.pvc.accessModes[0]: FieldValueRequired",
				"spec.workspace.pvc.volumeMode: FieldValueInvalid",
			},
		},
		"workspace": {
			spec(func(s *v1alpha1.DAGSpec) {
				s.Workspace = &v1alpha1.Workspace{Enable: true, PVC: v1alpha1.WorkspaceClaim{
					AccessModes: []corev1.PersistentVolumeAccessMode{"x"},
					Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"!": "x"}},
					Resources: v1alpha1.WorkspaceResources{
						Requests: corev1.ResourceList{"storage": resource.MustParse("-1Gi")},
					},
					StorageClassName: ptr("A"), VolumeMode: ptr(corev1.PersistentVolumeMode("x")),
				}}
			}),
			[]string{
				"spec.workspace.pvc.accessModes[0]: FieldValueNotSupported",
				"spec.workspace.pvc.selector.matchLabels: FieldValueInvalid",
				"spec.workspace.pvc.resources.requests[storage]: FieldValueInvalid",
				"spec.workspace.pvc.storageClassName: FieldValueInvalid",
				"spec.workspace.pvc.volumeMode: FieldValueNotSupported",
			},
		},
	})
}

func TestCompileParameterFaults(t *testing.T) {
	of := func(parameters ...v1alpha1.Parameter) *v1alpha1.DAGSpec {
		return &v1alpha1.DAGSpec{Parameters: parameters, Task: []v1alpha1.Task{task("a")}}
	}
	plain := func(name string) v1alpha1.Parameter { return v1alpha1.Parameter{Name: name, DefaultValue: ptr("")} }
	used := func(env []corev1.EnvVar, names ...string) *v1alpha1.DAGSpec {
		s := of(plain("x"), plain("y"))
		s.Task[0].Parameters = names
		s.Task[0].PodTemplate = &v1alpha1.PodTemplate{Env: env}
		return s
	}
	testFaults(t, map[string]faultCase{
		"valid parameters": {used([]corev1.EnvVar{{Name: "z"}}, "x", "y"), nil},
		"names": {
			of(plain(""), plain("1x"), plain("a=b"), plain(strings.Repeat("x", 254)),
				plain("ok"), plain("ok"), plain("..")),
			[]string{
				"spec.parameters[0].name: FieldValueRequired",
				"spec.parameters[2].name: FieldValueInvalid", "spec.parameters[3].name: FieldValueTooLong",
				"spec.parameters[5].name: FieldValueDuplicate",
			},
		},
		"no source": {of(v1alpha1.Parameter{Name: "x"}), []string{"spec.parameters[0]: FieldValueRequired"}},
		"two sources": {
			of(v1alpha1.Parameter{Name: "x", DefaultValue: ptr("1"), DefaultFromSecret: "s"}),
			[]string{"spec.parameters[0]: FieldValueForbidden"},
		},
		"values": {
			of(
				v1alpha1.Parameter{Name: "x", DefaultValue: ptr("\x00")},
				v1alpha1.Parameter{Name: "y", DefaultValue: ptr(strings.Repeat("ä", 65536))},
				v1alpha1.Parameter{Name: "z", DefaultValue: ptr(strings.Repeat("ä", 65534))},
				v1alpha1.Parameter{Name: "s", DefaultFromSecret: "A"},
				v1alpha1.Parameter{Name: "t", DefaultSecretKeyRef: &v1alpha1.SecretKeyRef{Name: "s"}},
			),
			[]string{
				"spec.parameters[0].defaultValue: FieldValueInvalid",
				"spec.parameters[1].defaultValue: FieldValueTooLong",
				"spec.parameters[3].defaultFromSecret: FieldValueInvalid",
				"spec.parameters[4].defaultSecretKeyRef.key: FieldValueRequired",
			},
		},
		"unknown in a task": {used(nil, "x", "q"), []string{"spec.task[0].parameters[1]: FieldValueNotFound"}},
		"twice in a task":   {used(nil, "x", "y", "x"), []string{"spec.task[0].parameters[2]: FieldValueDuplicate"}},
		"collides with env": {
			used([]corev1.EnvVar{{Name: "z"}, {Name: "y"}}, "x", "y"),
			[]string{"spec.task[0].podTemplate.env[1].name: FieldValueForbidden"},
		},
		"too many": {
			func() *v1alpha1.DAGSpec {
				s := of()
				for i := range 257 {
					s.Parameters = append(s.Parameters,
						plain("p"+strings.Repeat("x", i%200)+strings.Repeat("y", i/200)))
				}
				return s
			}(),
			[]string{"spec.parameters: FieldValueTooMany"},
		},
	})
}

// TestCompileAllAtOnce: all faults are reported together.
func TestCompileAllAtOnce(t *testing.T) {
	testFaults(t, map[string]faultCase{
		"everywhere": {
			&v1alpha1.DAGSpec{
				Schedule:   "never",
				DSL:        ptr("x"),
				Parameters: []v1alpha1.Parameter{{Name: "p"}},
				Task: []v1alpha1.Task{
					with(task("a", "c", "nobody"), func(t *v1alpha1.Task) { t.Parameters = []string{"q"} }),
					with(task("b", "b"), func(t *v1alpha1.Task) { t.Image = "" }),
					with(task("c", "a"), func(t *v1alpha1.Task) {
						t.PodTemplate = &v1alpha1.PodTemplate{
							Labels: map[string]string{"kontroler.greedykomodo/run": "x"},
						}
					}),
				},
			},
			[]string{
				"spec.schedule: FieldValueInvalid", "spec.dsl: FieldValueForbidden",
				"spec.parameters[0]: FieldValueRequired",
				"spec.task[0].parameters[0]: FieldValueNotFound", "spec.task[1].image: FieldValueRequired",
				"spec.task[2].podTemplate.labels[kontroler.greedykomodo/run]: FieldValueForbidden",
				"spec.task[0].runAfter[1]: FieldValueNotFound", "spec.task[1].runAfter[0]: FieldValueInvalid",
				"spec.task[0].runAfter: FieldValueInvalid",
			},
		},
	})
}

// TestCompileBoundsItsAnswer: the number of faults and the length of quoted values are limited.
func TestCompileBoundsItsAnswer(t *testing.T) {
	spec := &v1alpha1.DAGSpec{}
	for range 150 {
		spec.Task = append(spec.Task, task(strings.Repeat("Ä", 50000)))
	}
	_, faults := dag.Compile(spec)
	if len(faults) != 101 {
		t.Fatalf("%d faults, want 100 and the number of the rest", len(faults))
	}
	// 150 invalid names, 149 of them duplicates
	if want, got := "spec: Too many: … and 199 more", faults[100].Error(); want != got {
		t.Errorf("last fault %q, want %q", got, want)
	}
	for _, fault := range faults {
		if text := fault.Error(); len(text) > 1024 {
			t.Fatalf("fault of %d bytes: %.200s…", len(text), text)
		}
	}
}

// TestFaultsQuoteNoSecret: a message does not contain a value that may be a secret.
func TestFaultsQuoteNoSecret(t *testing.T) {
	spec := tasks(with(task("a"), func(t *v1alpha1.Task) {
		t.Script = "hunter2\x00"
		t.Command = []string{"hunter2\x00"}
		t.Args = []string{"hunter2\x00"}
		t.PodTemplate = &v1alpha1.PodTemplate{Env: []corev1.EnvVar{{Name: "x", Value: "hunter2\x00"}}}
	}))
	spec.Webhook = &v1alpha1.Webhook{URL: "htp://user:hunter2@host"}
	spec.Parameters = []v1alpha1.Parameter{{Name: "x", DefaultValue: ptr("hunter2\x00")}}
	_, faults := dag.Compile(spec)
	if len(faults) != 6 {
		t.Errorf("%d faults, want 6: %v", len(faults), faults)
	}
	if text := faults.ToAggregate().Error(); strings.Contains(text, "hunter2") {
		t.Errorf("quotes a secret: %s", text)
	}
}
