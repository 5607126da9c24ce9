package dag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// template decodes the template of a task from YAML and rejects unknown fields.
func template(t *testing.T, text string) v1alpha1.TaskTemplate {
	t.Helper()
	var decoded v1alpha1.TaskTemplate
	if err := yaml.UnmarshalStrict([]byte(text), &decoded); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return decoded
}

// version returns a DagTask to which a taskRef resolves.
func version(t *testing.T, number int64, text string) dag.DagTask {
	t.Helper()
	encoded, err := dag.EncodeTask(&v1alpha1.DagTaskSpec{TaskTemplate: template(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return dag.DagTask{Version: number, Newest: number, Template: encoded}
}

func ref(name string, number int32) *v1alpha1.TaskRef {
	return &v1alpha1.TaskRef{Name: name, Version: int64(number)}
}

type resolved = map[v1alpha1.TaskRef]dag.DagTask

// TestMerge merges the own fields of a task over those of its DagTask.
func TestMerge(t *testing.T) {
	for name, c := range map[string]struct{ base, over, want string }{
		"a task without own fields takes everything": {
			`{image: i, args: [a], backoff: {limit: 3}}`, `{}`, `{image: i, args: [a], backoff: {limit: 3}}`,
		},
		"empty fields count as absent": {
			`{image: i, args: [a], script: ""}`, `{image: "", args: [], command: [], parameters: []}`,
			`{image: i, args: [a]}`,
		},
		"image, timeout": {
			`{image: i, timeoutSeconds: 5}`, `{image: j, timeoutSeconds: 6}`, `{image: j, timeoutSeconds: 6}`,
		},
		"command and args replace": {
			`{image: i, command: [a, b], args: [c, d]}`, `{command: [x], args: [y]}`,
			`{image: i, command: [x], args: [y]}`,
		},
		"args alone keep the command": {
			`{image: i, command: [a], args: [c, d]}`, `{args: [y]}`, `{image: i, command: [a], args: [y]}`,
		},
		"script over command": {`{image: i, command: [a], args: [c]}`, `{script: s}`, `{image: i, script: s}`},
		"script over script":  {`{image: i, script: r}`, `{script: s}`, `{image: i, script: s}`},
		"command over script": {`{image: i, script: s}`, `{command: [a]}`, `{image: i, command: [a]}`},
		"a script wins on either side": {
			`{image: i, script: r, command: [a]}`, `{script: s, command: [b], args: [c]}`, `{image: i, script: s}`,
		},
		"args over a script that won": {`{image: i, script: r, command: [a]}`, `{args: [b]}`, `{image: i, args: [b]}`},
		"args over script":            {`{image: i, script: s}`, `{args: [a]}`, `{image: i, args: [a]}`},
		"backoff by field": {
			`{image: i, backoff: {limit: 3, factor: 4}}`, `{backoff: {limit: 5, duration: 3s}}`,
			`{image: i, backoff: {limit: 5, factor: 4, duration: 3s}}`,
		},
		"a limit of 0 counts as set": {
			`{image: i, backoff: {limit: 3, factor: 4}}`, `{backoff: {limit: 0}}`,
			`{image: i, backoff: {limit: 0, factor: 4}}`,
		},
		"enabled false counts as set": {
			`{image: i, conditional: {enabled: true, retryCodes: [1]}}`, `{conditional: {enabled: false}}`,
			`{image: i, conditional: {enabled: false, retryCodes: [1]}}`,
		},
		"retryCodes replace": {
			`{image: i, conditional: {enabled: true, retryCodes: [1, 2]}}`, `{conditional: {retryCodes: [3]}}`,
			`{image: i, conditional: {enabled: true, retryCodes: [3]}}`,
		},
		"parameters replace": {`{image: i, parameters: [a, b]}`, `{parameters: [b]}`, `{image: i, parameters: [b]}`},
		"labels, selector by key": {
			`{image: i, podTemplate: {labels: {a: "1", b: "2"}, nodeSelector: {x: y}}}`,
			`{podTemplate: {labels: {b: "3"}, nodeSelector: {z: w}}}`,
			`{image: i, podTemplate: {labels: {a: "1", b: "3"}, nodeSelector: {x: y, z: w}}}`,
		},
		"a podTemplate over none": {
			`{image: i}`, `{podTemplate: {env: [{name: A, value: "1"}], volumes: [{name: v, emptyDir: {}}]}}`,
			`{image: i, podTemplate: {env: [{name: A, value: "1"}], volumes: [{name: v, emptyDir: {}}]}}`,
		},
		"env by name, in the order of the DagTask": {
			`{image: i, podTemplate: {env: [{name: A, value: "1"}, {name: B, value: $(A)}]}}`,
			`{podTemplate: {env: [{name: A, value: "2"}, {name: C, value: "3"}]}}`,
			`{image: i, podTemplate: {env: [{name: A, value: "2"}, {name: B, value: $(A)}, {name: C, value: "3"}]}}`,
		},
		"env takes another source": {
			`{image: i, podTemplate: {env: [
				{name: A, value: "1"}, {name: B, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
				{name: C, valueFrom: {secretKeyRef: {name: s, key: k}}}]}}`,
			`{podTemplate: {env: [
				{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: B, value: ""},
				{name: C, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}}`,
			`{image: i, podTemplate: {env: [
				{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: B},
				{name: C, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}}`,
		},
		"envFrom replaces": {
			`{image: i, podTemplate: {envFrom: [{configMapRef: {name: a}}]}}`,
			`{podTemplate: {envFrom: [{secretRef: {name: b}}]}}`,
			`{image: i, podTemplate: {envFrom: [{secretRef: {name: b}}]}}`,
		},
		"volumes by name": {
			`{image: i, podTemplate: {
				volumes: [{name: a, emptyDir: {}}, {name: b, persistentVolumeClaim: {claimName: x, readOnly: true}}],
				volumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]}}`,
			`{podTemplate: {
				volumes: [{name: a, configMap: {name: c}}, {name: b, persistentVolumeClaim: {claimName: "y"}}],
				volumeMounts: [{name: b, mountPath: /a, subPath: s}]}}`,
			`{image: i, podTemplate: {
				volumes: [
					{name: a, configMap: {name: c}},
					{name: b, persistentVolumeClaim: {claimName: "y", readOnly: true}}],
				volumeMounts: [{name: b, mountPath: /a, subPath: s}, {name: b, mountPath: /b}]}}`,
		},
		"pull secrets by name": {
			`{image: i, podTemplate: {imagePullSecrets: [{name: a}]}}`,
			`{podTemplate: {imagePullSecrets: [{name: b}, {name: a}]}}`,
			`{image: i, podTemplate: {imagePullSecrets: [{name: a}, {name: b}]}}`,
		},
		"a probe takes another handler": {
			`{image: i, podTemplate: {initContainers: [{
				name: a, image: i, restartPolicy: Always, startupProbe: {httpGet: {port: 80}, periodSeconds: 3},
				livenessProbe: {exec: {command: [x]}, periodSeconds: 5},
				lifecycle: {preStop: {sleep: {seconds: 1}}, postStart: {exec: {command: [x]}}}}]}}`,
			`{podTemplate: {initContainers: [{
				name: a, startupProbe: {exec: {command: [w]}}, livenessProbe: {periodSeconds: 7},
				lifecycle: {preStop: {exec: {command: [w]}}}},
				{name: b, image: i, startupProbe: {exec: {command: [z]}}}]}}`,
			`{image: i, podTemplate: {initContainers: [{
				name: a, image: i, restartPolicy: Always, startupProbe: {exec: {command: [w]}, periodSeconds: 3},
				livenessProbe: {exec: {command: [x]}, periodSeconds: 7},
				lifecycle: {preStop: {exec: {command: [w]}}, postStart: {exec: {command: [x]}}}},
				{name: b, image: i, startupProbe: {exec: {command: [z]}}}]}}`,
		},
		"init containers by name": {
			`{image: i, podTemplate: {initContainers: [
				{name: a, image: i, env: [{name: E, value: "1"}]}, {name: b, image: i}]}}`,
			`{podTemplate: {initContainers: [{name: c, image: k}, {name: a, image: j, env: [
				{name: E, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: F, value: "2"}]}]}}`,
			`{image: i, podTemplate: {initContainers: [
				{name: a, image: j, env: [
					{name: E, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: F, value: "2"}]},
				{name: b, image: i}, {name: c, image: k}]}}`,
		},
		"tolerations replace": {
			`{image: i, podTemplate: {tolerations: [{key: a, operator: Exists}]}}`,
			`{podTemplate: {tolerations: [{key: b, operator: Exists}]}}`,
			`{image: i, podTemplate: {tolerations: [{key: b, operator: Exists}]}}`,
		},
		"resources by name": {
			`{image: i, podTemplate: {resources: {requests: {cpu: 100m, memory: 64Mi}}}}`,
			`{podTemplate: {resources: {requests: {cpu: 200m}, limits: {memory: 1Gi}}}}`,
			`{image: i, podTemplate: {resources: {requests: {cpu: 200m, memory: 64Mi}, limits: {memory: 1Gi}}}}`,
		},
		"security by field": {
			`{image: i, podTemplate: {
				securityContext: {runAsUser: 1000, runAsNonRoot: true},
				containerSecurityContext: {privileged: false}}}`,
			`{podTemplate: {
				securityContext: {runAsUser: 0, runAsNonRoot: false},
				automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 0}}`,
			`{image: i, podTemplate: {
				securityContext: {runAsUser: 0, runAsNonRoot: false}, containerSecurityContext: {privileged: false},
				automountServiceAccountToken: false, enableServiceLinks: false, terminationGracePeriodSeconds: 0}}`,
		},
		"another profile": {
			`{image: i, podTemplate: {containerSecurityContext: {
				privileged: false, seccompProfile: {type: Localhost, localhostProfile: p}}}}`,
			`{podTemplate: {containerSecurityContext: {seccompProfile: {type: RuntimeDefault}}}}`,
			`{image: i, podTemplate: {containerSecurityContext: {
				privileged: false, seccompProfile: {type: RuntimeDefault}}}}`,
		},
		"large numbers stay exact": {
			`{image: i, podTemplate: {activeDeadlineSeconds: 2147483647}}`,
			`{podTemplate: {securityContext: {runAsUser: 2147483647}}}`,
			`{image: i, podTemplate: {activeDeadlineSeconds: 2147483647, securityContext: {runAsUser: 2147483647}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &v1alpha1.DAGSpec{
				Task: []v1alpha1.Task{{Name: "a", TaskRef: ref("x", 0), TaskTemplate: template(t, c.over)}},
			}
			for _, p := range []string{"a", "b"} {
				spec.Parameters = append(spec.Parameters, v1alpha1.Parameter{Name: p, DefaultValue: ptr("")})
			}
			before := spec.DeepCopy()
			graph, faults := dag.CompileWith(spec, resolved{*ref("x", 0): version(t, 4, c.base)})
			if len(faults) > 0 {
				t.Fatal(faults.ToAggregate())
			}
			if diff := cmp.Diff(template(t, c.want), graph.Task(0).TaskTemplate); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := *graph.Task(0).TaskRef; got != *ref("x", 4) {
				t.Errorf("pins %v, want version 4", got)
			}
			if diff := cmp.Diff(before, spec); diff != "" {
				t.Errorf("the given spec was changed (-before +after):\n%s", diff)
			}
			first, err := dag.Encode(graph.Spec())
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				again, _ := dag.CompileWith(spec, resolved{*ref("x", 0): version(t, 4, c.base)})
				if encoded, _ := dag.Encode(again.Spec()); string(encoded) != string(first) {
					t.Fatalf("not the same bytes again:\n%s\n%s", first, encoded)
				}
			}
			decoded, err := dag.Decode(first)
			if err != nil {
				t.Fatal(err)
			}
			if _, faults := dag.Compile(decoded); len(faults) > 0 {
				t.Errorf("what is stored does not compile: %v", faults.ToAggregate())
			}
		})
	}
}

// TestCompileWithFaults: a fault has the path of the DAG and names the DagTask that the field comes from.
func TestCompileWithFaults(t *testing.T) {
	good := version(t, 2, `{image: i, args: [a], parameters: [p], podTemplate: {
		env: [{name: A, value: "1"}], volumes: [{name: v, emptyDir: {}}],
		volumeMounts: [{name: v, mountPath: /v}]}}`)
	use := func(over string, number int32) []v1alpha1.Task {
		return []v1alpha1.Task{task("first"), {Name: "a", TaskRef: ref("x", number), TaskTemplate: template(t, over)}}
	}
	p := v1alpha1.Parameter{Name: "p", DefaultValue: ptr("")}
	for name, c := range map[string]struct {
		tasks      []v1alpha1.Task
		parameters []v1alpha1.Parameter
		to         dag.DagTask
		want       []string
	}{
		"a valid task": {use(`{}`, 0), []v1alpha1.Parameter{p}, good, nil},
		"the DagTask is missing": {
			use(`{podTemplate: {volumeMounts: [{name: v, mountPath: /w}]}}`, 0), nil, dag.DagTask{Missing: true},
			[]string{
				`spec.task[1].taskRef.name: Not found: "x": ` +
					"there is no DagTask of this name in the DAG's namespace: apply it",
			},
		},
		"the version is missing": {
			use(`{}`, 7), nil, dag.DagTask{Newest: 2},
			[]string{
				`spec.task[1].taskRef.version: Not found: "7": DagTask "x" has no such version, its newest is 2: ` +
					"apply it with this spec.version, or name another one",
			},
		},
		"the DagTask has no version": {
			use(`{}`, 7), nil, dag.DagTask{},
			[]string{
				`spec.task[1].taskRef.version: Not found: "7": DagTask "x" has no such version, it has none: ` +
					"apply it with this spec.version, or name another one",
			},
		},
		"the DagTask is invalid": {
			use(`{}`, 0), nil, dag.DagTask{Faults: field.ErrorList{
				field.Required(field.NewPath("spec", "image"), ""), field.Required(field.NewPath("spec"), ""),
			}},
			[]string{
				`spec.task[1].taskRef.name: Invalid value: "x": ` +
					"the DagTask cannot be used: spec.image: Required value, and 1 more",
			},
		},
		"a parameter that the DAG lacks": {
			use(`{}`, 0), nil, good,
			[]string{
				`spec.task[1].parameters[0]: Not found: "p": ` +
					`the DAG has no parameter of this name (from DagTask "x", version 2)`,
			},
		},
		"a parameter of the task itself that the DAG lacks": {
			use(`{parameters: [q]}`, 0), nil, good,
			[]string{`spec.task[1].parameters[0]: Not found: "q": the DAG has no parameter of this name`},
		},
		"a variable with the name of a parameter of the DagTask": {
			use(`{podTemplate: {env: [{name: p, value: x}]}}`, 0), []v1alpha1.Parameter{p}, good,
			[]string{
				`spec.task[1].podTemplate.env[1].name: Forbidden: parameter "p" of this task ` +
					`sets the same environment variable (merged with DagTask "x", version 2)`,
			},
		},
		"a mount without a volume": {
			use(`{podTemplate: {volumeMounts: [{name: w, mountPath: /w}]}}`, 0), []v1alpha1.Parameter{p}, good,
			[]string{
				`spec.task[1].podTemplate.volumeMounts[1].name: Not found: "w": ` +
					`podTemplate.volumes has no volume of this name (merged with DagTask "x", version 2)`,
			},
		},
		"a stored version that is no longer valid": {
			use(`{backoff: {limit: 1}}`, 0), nil,
			version(t, 3, `{image: i, backoff: {factor: 1000}, timeoutSeconds: 0}`),
			[]string{
				`spec.task[1].timeoutSeconds: Invalid value: 0: ` +
					`must be between 1 and 31536000 (from DagTask "x", version 3)`,
				`spec.task[1].backoff.factor: Invalid value: 1000: ` +
					`must be between 1 and 100 (from DagTask "x", version 3)`,
			},
		},
		"two mounts at one path": {
			use(`{podTemplate: {volumeMounts: [{name: v, mountPath: /w}, {name: v, mountPath: /w}]}}`, 0),
			[]v1alpha1.Parameter{p}, good,
			[]string{
				`spec.task[1].taskRef: Invalid value: "x": cannot be merged: ` +
					`podTemplate.volumeMounts: two entries have the mountPath "/w"`,
			},
		},
		"a directive of strategic merge": {
			use(`{podTemplate: {nodeSelector: {$patch: delete}}}`, 0), []v1alpha1.Parameter{p}, good,
			[]string{
				`spec.task[1].taskRef: Invalid value: "x": cannot be merged: a key must not begin with $: "$patch"`,
			},
		},
		"faults of name and runAfter do not name the DagTask": {
			append(use(`{}`, 0), v1alpha1.Task{Name: "a", TaskRef: ref("x", 0), RunAfter: []string{"nobody"}}),
			[]v1alpha1.Parameter{p}, good,
			[]string{
				`spec.task[2].name: Duplicate value: "a": must be given once`,
				`spec.task[2].runAfter[0]: Not found: "nobody": no task has this name`,
			},
		},
		"an invalid taskRef": {[]v1alpha1.Task{{Name: "a", TaskRef: ref("../x", -1)}}, nil, good,
			[]string{
				`spec.task[0].taskRef.name: Invalid value: "../x": a lowercase RFC 1123`,
				`spec.task[0].taskRef.version: Invalid value: -1: must be between`,
			}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &v1alpha1.DAGSpec{Task: c.tasks, Parameters: c.parameters}
			to := resolved{}
			for _, ref := range dag.TaskRefs(spec) {
				to[ref] = c.to
			}
			graph, faults := dag.CompileWith(spec, to)
			if (graph == nil) != (len(c.want) > 0) || len(faults) != len(c.want) {
				t.Fatalf("graph %v, faults %v; want %v", graph != nil, faults, c.want)
			}
			for i, want := range c.want {
				if got := faults[i].Error(); !strings.HasPrefix(got, want) {
					t.Errorf("fault %d\n got %s\nwant %s", i, got, want)
				}
			}
		})
	}
}

// TestCompileWithBounds: the number and the size of the DagTasks of a DAG are limited.
func TestCompileWithBounds(t *testing.T) {
	many := &v1alpha1.DAGSpec{}
	for i := range 10000 {
		many.Task = append(many.Task,
			v1alpha1.Task{Name: fmt.Sprintf("t%d", i), TaskRef: ref(fmt.Sprintf("x%d", i), 0)})
	}
	refs, to := dag.TaskRefs(many), resolved{}
	for _, ref := range refs {
		to[ref] = version(t, 1, `{image: i}`)
	}
	_, faults := dag.CompileWith(many, to)
	if len(refs) != 256 || len(faults) != 1 ||
		!strings.HasPrefix(faults[0].Error(), "spec.task[256].taskRef: Forbidden: a DAG names at most 256 DagTasks") {
		t.Errorf("%d refs; %v", len(refs), faults)
	}
	// What they cannot name cannot be missed in them.
	mounts := &v1alpha1.PodTemplate{VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}}
	for i, ref := range refs {
		to[ref] = version(t, 1, `{image: i, podTemplate: {volumes: [{name: v, emptyDir: {}}]}}`)
		many.Task[i].PodTemplate = mounts
	}
	many.Task[len(refs)].PodTemplate = mounts
	if _, faults := dag.CompileWith(many, to); len(faults) != 1 {
		t.Errorf("mounts of volumes of DagTasks, also beyond the limit: %v", faults)
	}
	for i := range many.Task {
		many.Task[i].TaskRef = ref("x", 0)
		many.Task[i].PodTemplate = &v1alpha1.PodTemplate{Env: []corev1.EnvVar{{Name: "A", Value: "2"}}}
	}
	to = resolved{
		*ref("x", 0): version(t, 1, `{image: i, podTemplate: {
			env: [{name: A, value: "1"}, {name: B, value: "2"}],
			resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 1Gi}}}}`),
	}
	if graph, faults := dag.CompileWith(many, to); graph == nil {
		t.Errorf("10,000 tasks of a usual size: %v", faults)
	}
	to = resolved{*ref("x", 0): version(t, 1, `{image: i, podTemplate: {volumes: [{name: v, emptyDir: {}}]},
		script: `+strings.Repeat("x", 128<<10)+`}`)}
	for _, pod := range []*v1alpha1.PodTemplate{nil, {ServiceAccountName: "s"}, mounts} {
		for i := range many.Task {
			many.Task[i].PodTemplate = pod
		}
		_, faults = dag.CompileWith(many, to)
		if len(faults) != 1 ||
			!strings.HasPrefix(
				faults[0].Error(),
				"spec.task[31].taskRef: Too long: with this task, the DagTasks of the DAG exceed 4 MiB",
			) {
			t.Errorf("10,000 scripts of 128 KiB: %v", faults)
		}
	}
}

// TestCheckTask: the faults of a DagTask have paths of the DagTask.
func TestCheckTask(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1alpha1.DagTaskSpec
		want []string
	}{
		"a valid DagTask": {
			v1alpha1.DagTaskSpec{
				Version: new(int32(1)), RunAfter: []string{"!"},
				TaskTemplate: template(t, `{image: i, parameters: [p, q], script: s}`),
			},
			nil,
		},
		"no image": {v1alpha1.DagTaskSpec{}, []string{"spec.image: FieldValueRequired"}},
		"many faults": {
			v1alpha1.DagTaskSpec{
				Version: new(int32(0)),
				TaskTemplate: template(t, `{
					image: " i", script: s, args: [a], backoff: {limit: -1}, parameters: [p, p, "1=2"],
					podTemplate: {env: [{name: p}], volumeMounts: [
						{name: v, mountPath: /v}, {name: workspace, mountPath: /w}]}}`),
			},
			[]string{
				"spec.version: FieldValueInvalid", "spec.parameters[1]: FieldValueDuplicate",
				"spec.parameters[2]: FieldValueInvalid", "spec.image: FieldValueInvalid",
				"spec.podTemplate.env[0].name: FieldValueForbidden",
				"spec.podTemplate.volumeMounts[0].name: FieldValueNotFound",
			},
		},
	} {
		if diff := cmp.Diff(c.want, brief(dag.CheckTask(&c.spec))); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
	one, err := dag.EncodeTask(
		&v1alpha1.DagTaskSpec{Version: new(int32(1)), RunAfter: []string{"x"}, TaskTemplate: template(t, `{image: i}`)},
	)
	if err != nil || string(one) != `{"image":"i"}` {
		t.Errorf("%s, %v: version and runAfter are no part of what is pinned", one, err)
	}
	if _, err := dag.EncodeTask(&v1alpha1.DagTaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Image: "\x00"}}); err == nil {
		t.Error("a NUL was encoded")
	}
}

// FuzzMerge checks that a merge always gives the same result, and that merging the result over the DagTask again
// changes nothing.
func FuzzMerge(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"image":"i","command":["a"]}`, `{"script":"s","backoff":{"limit":0}}`},
		{
			`{"image":"i","podTemplate":{"env":[{"name":"A","value":"1"},{"name":"B"}],` +
				`"volumes":[{"name":"v","emptyDir":{}}],` +
				`"initContainers":[{"name":"c","image":"i","ports":[{"containerPort":1},{"containerPort":1}]}]}}`,
			`{"podTemplate":{"env":[{"name":"C"},{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"x"}}}],` +
				`"volumes":[{"name":"v","configMap":{"name":"c"}}],` +
				`"initContainers":[{"name":"d","image":"i"},` +
				`{"name":"c","ports":[{"containerPort":1,"protocol":"UDP"}]}]}}`,
		},
		{`{}`, `{"podTemplate":{"volumeMounts":[{"mountPath":"/a"},{"mountPath":"/a"}]}}`},
		{`[]`, `{"args":[""]}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, base, over []byte) {
		spec := &v1alpha1.DAGSpec{Task: []v1alpha1.Task{{Name: "a", TaskRef: ref("x", 1)}}}
		if json.Unmarshal(over, &spec.Task[0].TaskTemplate) != nil {
			return
		}
		to := resolved{*ref("x", 1): {Version: 1, Newest: 1, Template: base}}
		graph, faults := dag.CompileWith(spec, to)
		_, again := dag.CompileWith(spec, to)
		if diff := cmp.Diff(brief(faults), brief(again)); diff != "" {
			t.Fatalf("not deterministic:\n%s", diff)
		}
		if graph == nil {
			return
		}
		twice, faults := dag.CompileWith(graph.Spec(), to)
		if len(faults) > 0 {
			t.Fatalf("what was merged cannot be merged: %v", faults.ToAggregate())
		}
		first, _ := dag.Encode(graph.Spec())
		second, _ := dag.Encode(twice.Spec())
		if diff := cmp.Diff(string(first), string(second)); diff != "" {
			t.Fatalf("merged twice (-once +twice):\n%s", diff)
		}
	})
}
