package manifests_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kontroler/e2e/readme"
)

const firstSection = "Your own kustomization"

// Each example of manifests/README.md does what its section says, and passes the API server's dry run: alone, and all
// together.
func TestExamples(t *testing.T) {
	checks := map[string]func(*corev1.PodSpec) any{
		"Database": func(s *corev1.PodSpec) any {
			i := slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == "database-ca" })
			j := slices.IndexFunc(s.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "database-ca" })
			return []string{
				env(s, "DATABASE_URL"), s.Volumes[i].ConfigMap.Name, s.Containers[0].VolumeMounts[j].MountPath,
			}
		},
		"Flags": func(s *corev1.PodSpec) any {
			return []string{env(s, "KONTROLER_CONTROLLER_CLASS"), env(s, "KONTROLER_HISTORY_RETENTION")}
		},
		"Namespaces": func(s *corev1.PodSpec) any { return env(s, "KONTROLER_NAMESPACES") },
		"Registry": func(s *corev1.PodSpec) any {
			return []string{s.Containers[0].Image, s.ImagePullSecrets[0].Name}
		},
		"Webhooks with a certificate of a private CA": func(s *corev1.PodSpec) any {
			i := slices.IndexFunc(s.Volumes, func(v corev1.Volume) bool { return v.Name == "webhook-ca" })
			j := slices.IndexFunc(s.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "webhook-ca" })
			return []string{
				env(s, "SSL_CERT_DIR"), s.Volumes[i].ConfigMap.Name, s.Containers[0].VolumeMounts[j].MountPath,
			}
		},
		"Resources and nodes": func(s *corev1.PodSpec) any {
			return []string{
				s.Containers[0].Resources.Requests.Cpu().String(), s.Containers[0].Resources.Limits.Memory().String(),
				fmt.Sprint(s.NodeSelector), fmt.Sprint(len(s.Tolerations)),
			}
		},
	}
	want := map[string]any{
		"Webhooks with a certificate of a private CA": []string{
			"/etc/kontroler-webhooks", "kontroler-webhook-ca", "/etc/kontroler-webhooks",
		},
		"Database": []string{
			"postgres://kontroler@db.example.com/kontroler?sslmode=verify-full&sslrootcert=/etc/kontroler/ca.crt",
			"kontroler-database-ca", "/etc/kontroler",
		},
		"Flags":               []string{"gpu", "720h"},
		"Namespaces":          "team-a",
		"Registry":            []string{"registry.example.com/kontroler-controller:v1.0.0", "registry"},
		"Resources and nodes": []string{"500m", "1Gi", "map[node-role.kubernetes.io/control-plane:]", "1"},
	}
	c := connect(t)
	examples, err := readme.Examples(filepath.Join(manifests, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := []string{
		"Another namespace", "Database", "Flags", "Namespaces", "Registry", "Resources and nodes", "Signed webhooks",
		"Webhooks with a certificate of a private CA", firstSection,
	}
	if diff := cmp.Diff(sections, slices.Sorted(maps.Keys(examples))); diff != "" {
		t.Fatalf("sections with examples (-want +got):\n%s", diff)
	}
	run := func(name string, checked []string, parts ...readme.Example) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t)
			if err := readme.Lay(dir, parts...); err != nil {
				t.Fatal(err)
			}
			spec := controllerSpec(t, c.dryRun(t, render(t, dir)))
			for _, section := range checked {
				if diff := cmp.Diff(want[section], checks[section](spec)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", section, diff)
				}
			}
		})
	}
	first := examples[firstSection]
	delete(examples, firstSection)
	run(firstSection, nil, first)
	together := []readme.Example{first}
	for section, e := range examples {
		var checked []string
		if checks[section] != nil {
			checked = []string{section}
		}
		run(section, checked, first, e)
		// A namespace that is set for all objects would move the Roles, as the README says.
		if section != "Another namespace" {
			together = append(together, e)
		}
	}
	run("all together", slices.Sorted(maps.Keys(checks)), together...)
}

// controllerSpec returns the spec of the controller's Pod.
func controllerSpec(t *testing.T, pods map[string][]*corev1.Pod) *corev1.PodSpec {
	t.Helper()
	for _, all := range pods {
		for _, pod := range all {
			if pod.GenerateName == "kontroler-controller-" {
				return &pod.Spec
			}
		}
	}
	t.Fatal("no Pod of the controller")
	return nil
}

// env returns a variable of the first container. A variable that is set twice has no value here.
func env(spec *corev1.PodSpec, name string) string {
	var values []string
	for _, e := range spec.Containers[0].Env {
		if e.Name == name {
			values = append(values, e.Value)
		}
	}
	if len(values) != 1 {
		return fmt.Sprintf("%d values", len(values))
	}
	return values[0]
}

// Every variable that manifests name is that of a flag in controller/README.md or httpapi/README.md.
func TestVariables(t *testing.T) {
	var flags []byte
	for _, program := range []string{"controller", "httpapi"} {
		text, err := os.ReadFile("../../" + program + "/README.md")
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, text...)
	}
	variable := regexp.MustCompile(`\b(KONTROLER_[A-Z_]+|DATABASE_URL|PGPASSWORD)\b`)
	found := 0
	err := filepath.WalkDir(manifests, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range variable.FindAllString(string(text), -1) {
			found++
			if !strings.Contains(string(flags), "`"+name+"`") {
				t.Errorf("%s names %s, which neither controller/README.md nor httpapi/README.md does", path, name)
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d variables, %v", found, err)
	}
}
