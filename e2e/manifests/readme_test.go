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
	"sigs.k8s.io/yaml"
)

// example is the content of a section of manifests/README.md: YAML by the name of the file that its first line states.
type example map[string][]string

var (
	heading = regexp.MustCompile(`^#+ (.*)$`)
	file    = regexp.MustCompile(`^# ([a-z0-9/-]+\.yaml)$`)
)

// readExamples returns the examples of manifests/README.md by section.
func readExamples(t *testing.T) map[string]example {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]example{}
	section, lines := "", strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		if match := heading.FindStringSubmatch(lines[i]); match != nil {
			section = match[1]
		}
		if lines[i] != "```yaml" {
			continue
		}
		end := i + slices.Index(lines[i:], "```")
		name := file.FindStringSubmatch(lines[i+1])
		if name == nil {
			t.Fatalf("manifests/README.md:%d: the first line of the block does not name its file", i+2)
		}
		if examples[section] == nil {
			examples[section] = example{}
		}
		examples[section][name[1]] = append(examples[section][name[1]], strings.Join(lines[i+1:end], "\n")+"\n")
		i = end
	}
	return examples
}

const (
	kustomization = "kustomization.yaml"
	firstSection  = "Your own kustomization"
)

// lay writes examples into a user's directory. Their kustomizations become one, whose lists are joined.
func lay(t *testing.T, dir string, examples ...example) {
	t.Helper()
	joined := map[string]any{}
	for _, e := range examples {
		for name, blocks := range e {
			for _, block := range blocks {
				if name != kustomization {
					write(t, filepath.Join(dir, name), block)
					continue
				}
				var part map[string]any
				if err := yaml.UnmarshalStrict([]byte(block), &part); err != nil {
					t.Fatal(err)
				}
				for key, value := range part {
					if list, ok := value.([]any); ok {
						before, _ := joined[key].([]any)
						value = append(before, list...)
					}
					joined[key] = value
				}
			}
		}
	}
	text, err := yaml.Marshal(joined)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, kustomization), string(text))
}

// Each example of manifests/README.md does what its section says, and passes the API server's dry run: alone, and all
// together.
func TestExamples(t *testing.T) {
	checks := map[string]func(*corev1.PodSpec) any{
		"Database": func(s *corev1.PodSpec) any {
			return []string{env(s, "DATABASE_URL"), s.Volumes[0].ConfigMap.Name, s.Containers[0].VolumeMounts[0].MountPath}
		},
		"Flags": func(s *corev1.PodSpec) any {
			return []string{env(s, "KONTROLER_CONTROLLER_CLASS"), env(s, "KONTROLER_HISTORY_RETENTION")}
		},
		"Namespaces": func(s *corev1.PodSpec) any { return env(s, "KONTROLER_NAMESPACES") },
		"Registry": func(s *corev1.PodSpec) any {
			return []string{s.Containers[0].Image, s.ImagePullSecrets[0].Name}
		},
		"Resources and nodes": func(s *corev1.PodSpec) any {
			return []string{
				s.Containers[0].Resources.Requests.Cpu().String(), s.Containers[0].Resources.Limits.Memory().String(),
				fmt.Sprint(s.NodeSelector), fmt.Sprint(len(s.Tolerations)),
			}
		},
	}
	want := map[string]any{
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
	examples := readExamples(t)
	sections := []string{
		"Another namespace", "Database", "Flags", "Namespaces", "Registry", "Resources and nodes", "Signed webhooks",
		firstSection,
	}
	if diff := cmp.Diff(sections, slices.Sorted(maps.Keys(examples))); diff != "" {
		t.Fatalf("sections with examples (-want +got):\n%s", diff)
	}
	run := func(name string, checked []string, parts ...example) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t)
			lay(t, dir, parts...)
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
	together := []example{first}
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

// Every variable that manifests name is that of a flag in controller/README.md.
func TestVariables(t *testing.T) {
	flags, err := os.ReadFile("../../controller/README.md")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\b(KONTROLER_[A-Z_]+|DATABASE_URL|PGPASSWORD)\b`)
	found := 0
	err = filepath.WalkDir(manifests, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range variable.FindAllString(string(text), -1) {
			found++
			if !strings.Contains(string(flags), "`"+name+"`") {
				t.Errorf("%s names %s, which controller/README.md does not", path, name)
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d variables, %v", found, err)
	}
}
