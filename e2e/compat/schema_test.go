package compat_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
)

// dag returns a DAG with a spec, in YAML flow style.
func dag(spec string) string { return manifest("DAG", spec) }

// task returns a DAG with one task, in YAML flow style.
func task(fields string) string { return dag(`{task: [` + fields + `]}`) }

// pod returns a DAG with one task and a podTemplate.
func pod(template string) string {
	return task(`{name: a, image: i, podTemplate: ` + template + `}`)
}

// manifest returns an object of a kind with name x.
func manifest(kind, spec string) string {
	return "apiVersion: kontroler.greedykomodo/v1alpha1\nkind: " + kind + "\nmetadata: {name: x}\nspec: " + spec + "\n"
}

// Invalid objects are refused with a message that names the field and the fault.
func TestRefusals(t *testing.T) {
	many := func(n int, each string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, each+",", i)
		}
		return "[" + b.String() + "]"
	}
	tests := map[string]struct {
		manifest string
		want     []string
	}{
		"two tasks of one name": {
			task(`{name: a, image: i}, {name: a, image: j}`),
			[]string{"spec.task[1]: Duplicate value", `{"name":"a"}`},
		},
		"two parameters of one name": {
			dag(`{task: [{name: a, image: i}], parameters: [{name: p, defaultValue: a}, {name: p, defaultValue: b}]}`),
			[]string{"spec.parameters[1]: Duplicate value", `{"name":"p"}`},
		},
		"no task": {dag(`{schedule: "@daily"}`), []string{"spec", "task is required: a DAG has at least one task"}},
		"dsl": {
			dag(`{dsl: "task a { image \"i\" }"}`),
			[]string{"spec", "dsl is not supported: write the tasks in spec.task"},
		},
		"no spec": {
			"apiVersion: kontroler.greedykomodo/v1alpha1\nkind: DAG\nmetadata: {name: x}\n",
			[]string{"spec: Required value"},
		},
		"no image": {
			task(`{name: a, command: ["true"]}`),
			[]string{"spec.task[0]", "image is required, unless taskRef names a DagTask"},
		},
		"an empty image":   {task(`{name: a, image: ""}`), []string{"spec.task[0]", "image is required"}},
		"DagTask no image": {manifest("DagTask", `{command: ["true"]}`), []string{"spec", "image is required"}},
		"DagTask in DagTask": {
			manifest("DagTask", `{image: i, taskRef: {name: other}}`),
			[]string{`unknown field "spec.taskRef"`},
		},
		"a name in capitals": {
			task(`{name: Build, image: i}`),
			[]string{"spec.task[0].name", "must be a DNS label, such as build-app"},
		},
		"no name": {task(`{image: i}`), []string{"spec.task[0].name: Required value"}},
		"a name of 64": {
			task(`{name: ` + strings.Repeat("a", 64) + `, image: i}`),
			[]string{"spec.task[0].name", "63"},
		},
		"a parameter's name": {
			dag(`{task: [{name: a, image: i}], parameters: [{name: "a=b", defaultValue: c}]}`),
			[]string{"spec.parameters[0].name", "should match"},
		},
		"a taskRef's no name": {
			task(`{name: a, taskRef: {version: 1}}`),
			[]string{"spec.task[0].taskRef.name: Required value"},
		},
		"an old spelling wrong": {
			task(`{name: a, image: i, runafter: [b]}`),
			[]string{`unknown field "spec.task[0].runafter"`},
		},
		"a core field unknown": {
			pod(`{volumes: [{name: v, emptydir: {}}]}`),
			[]string{`unknown field "spec.task[0].podTemplate.volumes[0].emptydir"`},
		},
		"10,001 tasks": {
			dag(`{task: ` + many(10001, "{name: t%d, image: i}") + `}`),
			[]string{"spec.task: Too many: 10001: must have at most 10000 items"},
		},
		"a script of 300 KB": {
			task(`{name: a, image: i, script: "` + strings.Repeat("x", 300<<10) + `"}`),
			[]string{"spec.task[0].script: Too long: may not be more than 131072"},
		},
		"a parameter without a value": {
			dag(`{task: [{name: a, image: i}], parameters: [{name: p}]}`),
			[]string{
				"spec.parameters[0]",
				"exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required",
			},
		},
		"a parameter with two values": {
			dag(`{task: [{name: a, image: i}], parameters: [{name: p, defaultValue: v, defaultFromSecret: s}]}`),
			[]string{
				"spec.parameters[0]",
				"exactly one of defaultValue, defaultFromSecret and defaultSecretKeyRef is required",
			},
		},
		"an override without a value": {
			manifest("DagRun", `{dagName: d, parameters: [{name: p}]}`),
			[]string{"spec.parameters[0]", "exactly one of value, fromSecret and secretKeyRef is required"},
		},
		"an override with two values": {
			manifest("DagRun", `{dagName: d, parameters: [{name: p, value: v, secretKeyRef: {name: s, key: k}}]}`),
			[]string{"spec.parameters[0]", "exactly one of value, fromSecret and secretKeyRef is required"},
		},
		"two overrides of one name": {
			manifest("DagRun", `{dagName: d, parameters: [{name: p, value: v}, {name: p, value: w}]}`),
			[]string{"spec.parameters[1]: Duplicate value", `{"name":"p"}`},
		},
		"a run of nothing": {manifest("DagRun", `{}`), []string{"spec.dagName: Required value"}},
		"a policy unknown": {
			dag(`{task: [{name: a, image: i}], concurrencyPolicy: Skip}`),
			[]string{"spec.concurrencyPolicy: Unsupported value", `"Allow", "Forbid", "Replace"`},
		},
		"text for a number": {
			task(`{name: a, image: i, backoff: {limit: "3"}}`),
			[]string{"spec.task[0].backoff.limit", "must be of type integer"},
		},
		"a word for a duration": {
			task(`{name: a, image: i, backoff: {duration: soon}}`),
			[]string{"spec.task[0].backoff.duration", "should match"},
		},
		"an access mode": {
			dag(`{task: [{name: a, image: i}], workspace: {pvc: {accessModes: [ReadOnce]}}}`),
			[]string{"spec.workspace.pvc.accessModes[0]: Unsupported value"},
		},
	}
	c := connect(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := c.apply(t.Context(), []byte(tt.manifest)); err == nil {
				t.Error("accepted by server-side apply")
			}
			object, err := parse([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.create(t.Context(), object); err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message does not say %q: %.1000s", want, err)
				}
			}
		})
	}
}

// Raw JSON at and beyond the limits of the Go types is accepted only if it decodes. One object that does not decode
// stops every typed informer. The table lists the accepted values, so that none is refused by accident.
func TestAcceptedIsDecoded(t *testing.T) {
	port := `{"podTemplate":{"initContainers":[{"name":"c","ports":[{"containerPort":%s}]}]}}`
	probe := `{"podTemplate":{"initContainers":[{"name":"c","livenessProbe":{"tcpSocket":{"port":%s}}}]}}`
	user := `{"podTemplate":{"securityContext":{"runAsUser":%s}}}`
	memory := `{"podTemplate":{"resources":{"limits":{"memory":%s}}}}`
	size := `{"podTemplate":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":%s}}]}}`
	wait := `{"backoff":{"duration":%s}}`
	limit := `{"backoff":{"limit":%s}}`
	tests := map[string]struct{ accepted, refused []string }{
		port: {
			[]string{"65535", "2147483647", "1e3", "8080.0"},
			[]string{"2147483648", "3000000000", "-3000000000", "1e10", "80.5", `"80"`, "1e400"},
		},
		probe: {
			[]string{"80", "2147483647", `"http"`, `"3000000000"`},
			[]string{"2147483648", "3000000000", "-3000000000", "1e300", "80.5", "true"},
		},
		user: {
			[]string{"0", "65534", "9007199254740991", "1000.0", "1e3"},
			[]string{"9007199254740992", "9223372036854775807", "9223372036854775808", "1e19", "1e300", "-1e19", "0.5"},
		},
		memory: {
			[]string{
				`"64Mi"`, `"1."`, `"+.5m"`, `"1e99"`, `"1E-9"`, `"2k"`, "1000", "1e9", `"0.5Gi"`, "9007199254740991",
			},
			[]string{
				`"1e100"`,
				`"1e2147483648"`,
				`"1e-2147483649"`,
				`"1e9999999999999999999"`,
				`"1e1.5"`,
				`"1e.5"`,
				`""`,
				`"1K"`,
				`"1 Gi"`,
				"1e30",
				"0.5",
				"true",
			},
		},
		size: {[]string{`"64Mi"`, "1000"}, []string{`"1e2147483648"`, `"1e1.5"`, "1e30"}},
		wait: {
			[]string{`"10s"`, `"8760h"`, `"1.5h30m"`, `"250ms"`, `"1h1m1s1ms"`, `"0.001h"`, `"0.001m"`, `"0s"`},
			[]string{
				`"8761h"`,
				`"999999h999999h"`,
				`"99999h99999h99999h99999h"`,
				`"10"`,
				`"-5s"`,
				`""`,
				`"1d"`,
				`"0.5ms"`,
				"10",
				`"1e3s"`,
			},
		},
		limit: {
			[]string{"3", "3.0", "1e2", "-1", "9999", "3000000000", "9007199254740991"},
			[]string{"3.5", "9007199254740992", "-1e19", "9223372036854775808"},
		},
		`{"conditional":{"enabled":true,"retryCodes":[%s]}}`: {
			[]string{"0", "255", "256", "-1", "3000000000"},
			[]string{"1.5", "1e19"},
		},
		`{"podTemplate":{"volumes":[{"name":"v","configMap":{"name":"c","defaultMode":%s}}]}}`: {
			[]string{"420"},
			[]string{"4294967296"},
		},
		`{"podTemplate":{"tolerations":[{"key":"k","tolerationSeconds":%s}]}}`: {
			[]string{"-1"},
			[]string{"1e19"},
		},
		`{"podTemplate":{"nodeSelector":{"a":%s}}}`: {
			[]string{`"b"`},
			[]string{"1", "true"},
		},
		`{"runAfter":%s}`:       {[]string{`[]`, `["b"]`}, []string{`[null]`, `[1]`, `"b"`, `{}`}},
		`{"timeoutSeconds":%s}`: {[]string{"31536000"}, []string{"0", "31536001", "1e19"}},
		`{"script":%s}`:         {[]string{`"\ud83d\ude00"`, `"\ud800"`, `"\u0001"`}, []string{"1", "[]"}},
	}
	c := connect(t)
	send := func(t *testing.T, fields string) error {
		t.Helper()
		body := `{"apiVersion":"kontroler.greedykomodo/v1alpha1","kind":"DAG","metadata":{"generateName":"edge-"},` +
			`"spec":{"task":[{"name":"a","image":"i",` + strings.TrimPrefix(fields, "{") + `]}}`
		return c.typed.KontrolerV1alpha1().RESTClient().Post().Namespace(c.namespace).Resource("dags").
			SetHeader("Content-Type", "application/json").
			Param("fieldValidation", "Strict").Body([]byte(body)).Do(t.Context()).Error()
	}
	for format, tt := range tests {
		for _, value := range tt.accepted {
			if err := send(t, fmt.Sprintf(format, value)); err != nil {
				t.Errorf(format+" refused: %v", value, err)
			}
		}
		for _, value := range tt.refused {
			if err := send(t, fmt.Sprintf(format, value)); err == nil {
				t.Errorf(format+" accepted", value)
			}
		}
	}
	list, err := c.typed.KontrolerV1alpha1().DAGs(c.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatalf("an accepted object does not decode: %v", err)
	}
	for _, accepted := range list.Items {
		if _, err := c.typed.KontrolerV1alpha1().DAGs(c.namespace).Update(t.Context(), &accepted,
			metav1.UpdateOptions{}); err != nil {
			t.Errorf("an accepted object, decoded and written back, is refused: %v", err)
		}
	}
}

// A date in a status is accepted only if Go decodes it. The format date-time alone accepts more.
func TestStatusDates(t *testing.T) {
	tests := map[string]bool{ // accepted
		"2024-02-29T23:59:59Z":                true,
		"2024-02-29T23:59:59.123456789+05:30": true,
		"2024-02-30T00:00:00Z":                false,
		"2024-02-29t23:59:59z":                false,
		"2024-02-29T23:59:60Z":                false,
		"2024-02-29T23:59:59":                 false,
		"2024-02-29 23:59:59Z":                false,
		"2024-02-29T24:00:00Z":                false,
		"2024-02-29":                          false,
		"":                                    false,
	}
	c := connect(t)
	if _, err := c.apply(t.Context(), []byte(manifest("DagRun", "{dagName: d}"))); err != nil {
		t.Fatal(err)
	}
	runs := c.typed.KontrolerV1alpha1().DagRuns(c.namespace)
	for date, accepted := range tests {
		for _, format := range []string{
			`{"status":{"startTime":%q}}`,
			`{"status":{"conditions":[{"type":"Failed","status":"True","reason":"R","message":"",` +
				`"lastTransitionTime":%q}]}}`,
		} {
			patch := fmt.Appendf(nil, format, date)
			_, err := c.resource("DagRun").Patch(t.Context(), "x", types.MergePatchType, patch,
				metav1.PatchOptions{}, "status")
			if (err == nil) != accepted {
				t.Errorf("%s: accepted %v, want %v: %v", patch, err == nil, accepted, err)
			}
			if _, err := runs.Get(t.Context(), "x", metav1.GetOptions{}); err != nil {
				t.Fatalf("%s does not decode: %v", patch, err)
			}
		}
	}
}

// The only change that a DagRun allows is its final cancellation.
func TestRunIsImmutable(t *testing.T) {
	const (
		plain     = `{dagName: d, parameters: [{name: p, value: v}, {name: q, fromSecret: s}]}`
		cancelled = `{dagName: d, cancel: true}`
	)
	tests := map[string]struct {
		from, patch string
		want        string // empty: accepted
	}{
		"cancel":                  {plain, `{"spec":{"cancel":true}}`, ""},
		"cancel of the cancelled": {cancelled, `{"spec":{"cancel":true}}`, ""},
		"nothing":                 {plain, `{"metadata":{"labels":{"a":"b"}}}`, ""},
		"cancel: false":           {plain, `{"spec":{"cancel":false}}`, ""},
		"another order": {
			plain,
			`{"spec":{"parameters":[{"name":"q","fromSecret":"s"},{"name":"p","value":"v"}]}}`,
			"",
		},
		"cancel taken back": {cancelled, `{"spec":{"cancel":false}}`, "a cancelled DagRun cannot be resumed"},
		"cancel removed":    {cancelled, `{"spec":{"cancel":null}}`, "a cancelled DagRun cannot be resumed"},
		"another DAG":       {plain, `{"spec":{"dagName":"e"}}`, "dagName is immutable"},
		"another value": {
			plain,
			`{"spec":{"parameters":[{"name":"p","value":"w"},{"name":"q","fromSecret":"s"}]}}`,
			"parameters are immutable",
		},
		"a parameter less": {
			plain,
			`{"spec":{"parameters":[{"name":"p","value":"v"}]}}`,
			"parameters are immutable",
		},
		"no parameters any more": {plain, `{"spec":{"parameters":null}}`, "parameters are immutable"},
		"a first parameter": {
			cancelled,
			`{"spec":{"parameters":[{"name":"p","value":"v"}]}}`,
			"parameters are immutable",
		},
		"cancel and another value": {plain, `{"spec":{"cancel":true,"parameters":[]}}`, "parameters are immutable"},
		"a plain value made secret": {
			plain,
			`{"spec":{"parameters":[{"name":"p","fromSecret":"v"},{"name":"q","fromSecret":"s"}]}}`,
			"parameters are immutable",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			if _, err := c.apply(t.Context(), []byte(manifest("DagRun", tt.from))); err != nil {
				t.Fatal(err)
			}
			_, err := c.resource("DagRun").Patch(t.Context(), "x", types.MergePatchType, []byte(tt.patch),
				metav1.PatchOptions{})
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
}

// The most expensive DagRun that the schema allows can be created and cancelled within the CEL budget.
func TestLargestRun(t *testing.T) {
	c := connect(t)
	runs := c.typed.KontrolerV1alpha1().DagRuns(c.namespace)
	run := &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Name: "large"}, Spec: v1alpha1.DagRunSpec{DagName: "d"}}
	value := strings.Repeat("v", 4000)
	for i := range 256 {
		run.Spec.Parameters = append(run.Spec.Parameters,
			v1alpha1.ParameterValue{Name: fmt.Sprintf("p%d", i), Value: &value})
	}
	run, err := runs.Create(t.Context(), run, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	run.Spec.Cancel = true
	if _, err := runs.Update(t.Context(), run, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
}
