package install_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/e2e/readme"
)

// mistake is a wrong installation: a Pod as the Deployment makes it, with a change.
type mistake struct {
	cause  string // of a row of the table What if of manifests/README.md
	change func(pod *corev1.PodSpec)
	status string // what `kubectl get pods` shows
}

// told is what somebody finds who looks for the mistake.
type told struct {
	status   string // of `kubectl get pods`, such as "0/1 Running"
	describe string // `kubectl describe pod`
	log      string // `kubectl logs`
}

// wrongInput makes mistakes side by side. What kubectl tells is what the table What if of manifests/README.md says.
func (s *site) wrongInput(t *testing.T) {
	table := s.symptoms(t)
	const own = "wrong" // the database of the controllers that must not share that of the installation
	s.sql(t, "kontroler", "CREATE DATABASE "+own)
	absent := mistake{
		"a namespace of `KONTROLER_NAMESPACES` is misspelt, or was deleted",
		environment("DATABASE_URL", databaseURL(own), "KONTROLER_NAMESPACES", "no-such-namespace"), "1/1 Running",
	}
	t.Run(absent.cause, func(t *testing.T) { s.make(t, absent, table) })
	// That controller has migrated the database, and has ended.
	s.sql(t, "kontroler", "CREATE DATABASE newer TEMPLATE "+own)
	s.sql(t, own, "UPDATE kontroler.identity SET cluster_uid = 'another'")
	s.sql(t, "newer", `INSERT INTO kontroler.schema_migrations (version, name, oldest_compatible, checksum)
		VALUES (9999, 'later', 9999, 'later')`)
	mistakes := []mistake{
		{"the Secret is missing", func(pod *corev1.PodSpec) {
			for i := range pod.Containers[0].Env {
				if from := pod.Containers[0].Env[i].ValueFrom; from != nil && from.SecretKeyRef != nil {
					from.SecretKeyRef.Name = "no-such-secret"
				}
			}
		}, "0/1 CreateContainerConfigError"},
		{"the image is not in the registry, or the registry wants credentials", func(pod *corev1.PodSpec) {
			pod.Containers[0].Image = s.registry + "/no-such-image:1"
		}, "0/1 ImagePullBackOff"},
		{"the database does not answer", environment(
			"DATABASE_URL", "postgres://kontroler@127.0.0.1:1/kontroler?sslmode=disable"), "0/1 Running"},
		{"the password is wrong", environment("PGPASSWORD", "wrong"), "0/1 CrashLoopBackOff"},
		{"the database is that of another cluster", environment("DATABASE_URL", databaseURL(own)),
			"0/1 CrashLoopBackOff"},
		{"a newer Kontroler has used the database", environment("DATABASE_URL", databaseURL("newer")),
			"0/1 CrashLoopBackOff"},
	}
	t.Run("side by side", func(t *testing.T) {
		for _, m := range mistakes {
			t.Run(m.cause, func(t *testing.T) {
				t.Parallel()
				s.make(t, m, table)
			})
		}
	})
	var want, got []string
	for _, m := range append(mistakes, absent, mistake{cause: roleIsMissing}, mistake{cause: roleWasRemoved}) {
		want = append(want, m.cause)
	}
	for cause := range table {
		got = append(got, cause)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("the table What if has the causes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const (
	roleIsMissing  = "a role or its binding is missing"
	roleWasRemoved = "a role or its binding was removed later"
)

// roleTakenAway removes the binding of the controller's role. The running controller stays, and says so; one that
// starts does not. Applying the overlay again is the remedy.
func (s *site) roleTakenAway(t *testing.T) {
	table := s.symptoms(t)
	s.shell(t, "kubectl delete clusterrolebinding kontroler-controller")
	s.make(t, mistake{roleIsMissing, func(*corev1.PodSpec) {}, "0/1 CrashLoopBackOff"}, table)
	s.apply(t, dags, `
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: diamond-2}
spec: {dagName: diamond}`)
	s.eventually(t, "the running controller to tell of it", func() (bool, string) {
		status := s.shell(t, "kubectl get pods --no-headers -n "+namespace+" -l app.kubernetes.io/component=controller")
		last := lastLine(s.shell(t, "kubectl logs deployment/kontroler-controller -n "+namespace))
		return hasAll(status+last, table[roleWasRemoved]), status + last
	})
	s.shell(t, s.quickstartCommand(t))
	s.shell(t, "kubectl wait --for=condition=Succeeded dagrun/diamond-2 --timeout=2m -n "+dags)
}

// symptoms returns the symptoms of the table What if of manifests/README.md by cause: literal texts, which are in
// backticks.
func (s *site) symptoms(t *testing.T) map[string][]string {
	t.Helper()
	rows, err := readme.Rows(filepath.Join(root, "manifests", "README.md"), "What if")
	if err != nil {
		t.Fatal(err)
	}
	literal := regexp.MustCompile("`([^`]+)`")
	symptoms := map[string][]string{}
	for _, row := range rows {
		for _, match := range literal.FindAllStringSubmatch(row[0], -1) {
			symptoms[row[1]] = append(symptoms[row[1]], match[1])
		}
	}
	return symptoms
}

// make creates the Pod of a mistake, waits until it has its status, and compares what kubectl tells with the table.
func (s *site) make(t *testing.T, m mistake, table map[string][]string) {
	t.Helper()
	symptoms := table[m.cause]
	if len(symptoms) == 0 {
		t.Fatalf("the table What if does not have the cause %q", m.cause)
	}
	pod := s.wrongPod(t, m)
	manifest, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	s.apply(t, namespace, string(manifest))
	defer s.shell(t, "kubectl delete pod "+pod.Name+" -n "+namespace)
	var is told
	s.eventually(t, m.cause, func() (bool, string) {
		is = s.told(t, pod.Name)
		text := strings.Join([]string{is.status, is.describe, is.log}, "\n")
		return is.status == m.status && hasAll(text, symptoms), text
	})
	for _, trace := range []string{"goroutine ", "panic"} {
		if strings.Contains(is.log, trace) {
			t.Errorf("the log contains a stack trace:\n%s", is.log)
		}
	}
	// The controller ends with one line. Kubernetes shows it in describe.
	if strings.Contains(m.status, "CrashLoopBackOff") {
		last := lastLine(is.log)
		if !strings.Contains(last, `"level":"ERROR","msg":"exiting: `) {
			t.Errorf("the last line of the log does not say why the controller exits: %s", last)
		}
		if !strings.Contains(is.describe, "exiting: ") {
			t.Errorf("kubectl describe pod does not say why the controller exits:\n%s", is.describe)
		}
	}
	t.Logf("%s\n%s", is.status, lastLine(is.log))
}

// wrongPod returns a Pod as the Deployment makes it, with the change of a mistake. Nothing selects it.
func (s *site) wrongPod(t *testing.T, m mistake) *corev1.Pod {
	t.Helper()
	var deployment appsv1.Deployment
	s.get(t, "deployment kontroler-controller -n "+namespace, &deployment)
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "wrong-" + strings.Trim(
				regexp.MustCompile(`[^a-z]+`).ReplaceAllString(strings.ToLower(m.cause), "-"), "-"),
		},
		Spec: deployment.Spec.Template.Spec,
	}
	pod.Name = strings.Trim(pod.Name[:min(len(pod.Name), 50)], "-")
	m.change(&pod.Spec)
	return pod
}

// environment returns a change that sets variables, given as names and values.
func environment(variables ...string) func(*corev1.PodSpec) {
	return func(pod *corev1.PodSpec) {
		env := &pod.Containers[0].Env
		for pair := range slices.Chunk(variables, 2) {
			*env = slices.DeleteFunc(*env, func(e corev1.EnvVar) bool { return e.Name == pair[0] })
			*env = append(*env, corev1.EnvVar{Name: pair[0], Value: pair[1]})
		}
	}
}

// databaseURL returns the URL of a database of the quickstart's PostgreSQL.
func databaseURL(name string) string {
	return "postgres://kontroler@kontroler-postgres/" + name + "?sslmode=disable"
}

// sql executes a statement in a database of the quickstart's PostgreSQL.
func (s *site) sql(t *testing.T, database, statement string) {
	t.Helper()
	const psql = "kubectl exec -i kontroler-postgres-0 -n %s -- " +
		"psql -v ON_ERROR_STOP=1 -U kontroler -d %s <<'SQL'\n%s\nSQL"
	s.shell(t, fmt.Sprintf(psql, namespace, database, statement))
}

// told returns what kubectl tells of a Pod. The log is that of the last process that has ended, if there is one.
func (s *site) told(t *testing.T, pod string) told {
	t.Helper()
	fields := strings.Fields(s.shell(t, "kubectl get pod "+pod+" --no-headers -n "+namespace))
	is := told{status: strings.Join(fields[1:3], " ")}
	is.describe = s.shell(t, "kubectl describe pod "+pod+" -n "+namespace)
	var err error
	if is.log, err = s.try("kubectl logs --previous " + pod + " -n " + namespace); err != nil {
		is.log, _ = s.try("kubectl logs " + pod + " -n " + namespace) // a container that never ran has no log
	}
	return is
}

func hasAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
