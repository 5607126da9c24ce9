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
	checks := map[string]func(controller, server *corev1.PodSpec) any{
		"Database": func(controller, server *corev1.PodSpec) any {
			return slices.Concat(
				[]string{env(controller, "DATABASE_URL")}, mounted(controller, "database-ca"),
				[]string{env(server, "DATABASE_URL")}, mounted(server, "database-ca"))
		},
		"Flags": func(controller, server *corev1.PodSpec) any {
			return []string{
				env(controller, "KONTROLER_CONTROLLER_CLASS"), env(controller, "KONTROLER_HISTORY_RETENTION"),
				env(server, "KONTROLER_CONTROLLER_CLASS"), env(server, "KONTROLER_SESSION_LIFETIME"),
			}
		},
		"HTTPS": func(_, server *corev1.PodSpec) any {
			return append(mounted(server, "tls"), env(server, "KONTROLER_TLS_CERT"), env(server, "KONTROLER_TLS_KEY"))
		},
		"Client certificates": func(_, server *corev1.PodSpec) any {
			return append(mounted(server, "tls"), env(server, "KONTROLER_CLIENT_CA"), env(server, "KONTROLER_TLS_KEY"))
		},
		"Namespaces": func(controller, server *corev1.PodSpec) any {
			return []string{env(controller, "KONTROLER_NAMESPACES"), env(server, "KONTROLER_NAMESPACES")}
		},
		"Registry": func(controller, server *corev1.PodSpec) any {
			return []string{
				controller.Containers[0].Image, controller.ImagePullSecrets[0].Name,
				server.Containers[0].Image, server.ImagePullSecrets[0].Name,
			}
		},
		"Webhooks with a certificate of a private CA": func(controller, _ *corev1.PodSpec) any {
			return append(mounted(controller, "webhook-ca"), env(controller, "SSL_CERT_DIR"))
		},
		"Resources and nodes": func(controller, _ *corev1.PodSpec) any {
			return []string{
				controller.Containers[0].Resources.Requests.Cpu().String(),
				controller.Containers[0].Resources.Limits.Memory().String(),
				fmt.Sprint(controller.NodeSelector), fmt.Sprint(len(controller.Tolerations)),
			}
		},
	}
	want := map[string]any{
		"Webhooks with a certificate of a private CA": []string{
			"kontroler-webhook-ca", "/etc/kontroler-webhooks", "/etc/kontroler-webhooks",
		},
		"Database": []string{
			"postgres://kontroler@db.example.com/kontroler?sslmode=verify-full&sslrootcert=/etc/kontroler/ca.crt",
			"kontroler-database-ca", "/etc/kontroler",
			"postgres://kontroler_server@db.example.com/kontroler?sslmode=verify-full" +
				"&sslrootcert=/etc/kontroler/ca.crt",
			"kontroler-database-ca", "/etc/kontroler",
		},
		"Flags": []string{"gpu", "720h", "gpu", "8h"},
		"HTTPS": []string{
			"kontroler-server-tls", "/etc/kontroler-server-tls", "/etc/kontroler-server-tls/tls.crt",
			"/etc/kontroler-server-tls/tls.key",
		},
		"Client certificates": []string{
			"kontroler-server-tls", "/etc/kontroler-server-tls", "/etc/kontroler-server-tls/ca.crt",
			"/etc/kontroler-server-tls/tls.key",
		},
		"Namespaces": []string{"team-a", "team-a"},
		"Registry": []string{
			"registry.example.com/kontroler-controller:v1.0.0", "registry",
			"registry.example.com/kontroler-server:v1.0.0", "registry",
		},
		"Resources and nodes": []string{"500m", "1Gi", "map[node-role.kubernetes.io/control-plane:]", "1"},
	}
	c := connect(t)
	examples, err := readme.Examples(filepath.Join(manifests, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := []string{
		"Another namespace", "Client certificates", "Database", "Flags", "HTTPS", "HTTPS without ca.crt", "Namespaces",
		"Registry", "Resources and nodes", "Signed webhooks", "Webhooks with a certificate of a private CA",
		"Without the server", firstSection,
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
			pods := c.dryRun(t, render(t, dir))
			for _, section := range checked {
				got := checks[section](specOf(t, pods, "controller"), specOf(t, pods, "server"))
				if diff := cmp.Diff(want[section], got); diff != "" {
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
		// A namespace that is set for all objects would move the Roles, as the README says; and the server is to stay.
		if section != "Another namespace" && section != "Without the server" {
			together = append(together, e)
		}
	}
	run("all together", slices.Sorted(maps.Keys(checks)), together...)
}

// With the examples of section Registry no image is one that only this machine has, and every Pod may pull its own:
// those of the Deployments, and that of the Job, whose kustomization has the same examples.
func TestRegistry(t *testing.T) {
	examples, err := readme.Examples(filepath.Join(manifests, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"overlays/production": {"kontroler-controller", "kontroler-server", "kontroler-ui"},
		"uninstall":           {"kontroler-controller"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t)
			base := readme.Example{"kustomization.yaml": {"resources: [../kontroler/manifests/" + path + "]\n"}}
			if err := readme.Lay(dir, base, examples["Registry"]); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, template := range templates(t, render(t, dir)) {
				name, isThere := strings.CutPrefix(template.Spec.Containers[0].Image, "registry.example.com/")
				program, hasVersion := strings.CutSuffix(name, ":v1.0.0")
				if !isThere || !hasVersion {
					t.Errorf("%s has the image %s", template.GenerateName, template.Spec.Containers[0].Image)
				}
				if !slices.Equal(template.Spec.ImagePullSecrets, []corev1.LocalObjectReference{{Name: "registry"}}) {
					t.Errorf("%s has the pull secrets %v", template.GenerateName, template.Spec.ImagePullSecrets)
				}
				got = append(got, program)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// With the example of section HTTPS without ca.crt the UI needs nothing but tls.crt and tls.key of a Secret.
func TestHTTPSWithoutCA(t *testing.T) {
	examples, err := readme.Examples(filepath.Join(manifests, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := workspace(t)
	if err := readme.Lay(dir, examples[firstSection], examples["HTTPS without ca.crt"]); err != nil {
		t.Fatal(err)
	}
	for _, template := range templates(t, render(t, dir)) {
		if template.GenerateName != "kontroler-ui-" {
			continue
		}
		for _, volume := range template.Spec.Volumes {
			if volume.Secret != nil {
				t.Errorf("volume %s needs the Secret %s", volume.Name, volume.Secret.SecretName)
			}
		}
		got := append(mounted(&template.Spec, "server-ca"),
			env(&template.Spec, "KONTROLER_SERVER_CA"), env(&template.Spec, "KONTROLER_SERVER_NAME"))
		want := []string{
			"kontroler-server-ca", "/etc/kontroler-server-ca", "/etc/kontroler-server-ca/ca.crt",
			"kontroler.example.com",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("how the UI verifies the server (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("no Deployment kontroler-ui")
}

// specOf returns the spec of a Pod of the controller or of the server.
func specOf(t *testing.T, pods map[string][]*corev1.Pod, component string) *corev1.PodSpec {
	t.Helper()
	for _, all := range pods {
		for _, pod := range all {
			if pod.GenerateName == "kontroler-"+component+"-" {
				return &pod.Spec
			}
		}
	}
	t.Fatalf("no Pod of the %s", component)
	return nil
}

// mounted returns the ConfigMap or Secret of a volume, and where it is mounted.
func mounted(spec *corev1.PodSpec, volume string) []string {
	i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
	j := slices.IndexFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	if i < 0 || j < 0 {
		return []string{"no volume " + volume}
	}
	source := ""
	switch v := spec.Volumes[i]; {
	case v.ConfigMap != nil:
		source = v.ConfigMap.Name
	case v.Secret != nil:
		source = v.Secret.SecretName
	}
	return []string{source, spec.Containers[0].VolumeMounts[j].MountPath}
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

// Every variable that manifests name is in controller/README.md, httpapi/README.md or web/nginx/README.md.
func TestVariables(t *testing.T) {
	var flags []byte
	for _, program := range []string{"controller", "httpapi", "web/nginx"} {
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
				t.Errorf("%s names %s, which no README of a program does", path, name)
			}
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d variables, %v", found, err)
	}
}
