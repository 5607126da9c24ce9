package manifests_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"

	"kontroler/e2e/readme"
)

const (
	manifests = "../../manifests"
	// namespace is the one that the manifests name.
	namespace = "kontroler"
)

// installations are kustomizations in a directory beside a clone of Kontroler, by what they are for. Together they use
// all of manifests.
var installations = map[string]string{
	"quickstart": "resources: [../kontroler/manifests/overlays/quickstart]",
	"production": "resources: [../kontroler/manifests/overlays/production]",
	"uninstall":  "resources: [../kontroler/manifests/uninstall]",
	"quickstart without the server": `
resources: [../kontroler/manifests/overlays/quickstart]
components: [../kontroler/manifests/components/without-server]`,
	"quickstart without the UI": `
resources: [../kontroler/manifests/overlays/quickstart]
components: [../kontroler/manifests/components/without-ui]`,
	"production in two namespaces without the server": `
resources: [../kontroler/manifests/overlays/production, team-a, team-b]
components:
- ../kontroler/manifests/components/namespaced
- ../kontroler/manifests/components/without-server`,
	"production with HTTPS": `
resources: [../kontroler/manifests/overlays/production]
components: [../kontroler/manifests/components/tls]`,
	"production with client certificates": `
resources: [../kontroler/manifests/overlays/production]
components: [../kontroler/manifests/components/mtls]`,
	"production with client certificates for all": `
resources: [../kontroler/manifests/overlays/production]
components: [../kontroler/manifests/components/mtls, ../kontroler/manifests/components/ui-mtls]`,
	"quickstart with two controllers": `
resources: [../kontroler/manifests/overlays/quickstart]
components: [../kontroler/manifests/components/ha]`,
	"production with the right to read Secrets": `
resources: [../kontroler/manifests/overlays/production]
components: [../kontroler/manifests/components/webhook-secrets]`,
	"production in two namespaces": `
resources: [../kontroler/manifests/overlays/production, team-a, team-b]
components: [../kontroler/manifests/components/namespaced]`,
	"production in two namespaces with the right to read Secrets": `
resources: [../kontroler/manifests/overlays/production, team-a, team-b]
components:
- ../kontroler/manifests/components/namespaced
- ../kontroler/manifests/components/webhook-secrets`,
}

// workspace makes a directory with a copy of manifests and a user's own directory beside it, and returns the latter.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "kontroler", "manifests"), os.DirFS(manifests)); err != nil {
		t.Fatal(err)
	}
	for _, team := range []string{"team-a", "team-b"} {
		write(t, filepath.Join(dir, "own", team, "kustomization.yaml"),
			"namespace: "+team+"\nresources: [../../kontroler/manifests/components/namespaced/role]\n")
	}
	return filepath.Join(dir, "own")
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// install renders one of the installations.
func install(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	dir := workspace(t)
	write(t, filepath.Join(dir, "kustomization.yaml"), installations[name])
	return render(t, dir)
}

// render returns the objects of a kustomization.
func render(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kubectl(t), "kustomize", dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl kustomize: %v\n%s", err, &stderr)
	}
	if stderr.Len() > 0 {
		t.Errorf("kubectl kustomize warns: %s", &stderr)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(&stdout, 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}

// kubectl returns the path of kubectl: that of the cluster, else the one on the PATH.
func kubectl(t *testing.T) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(*kubeconfig), "bin", "kubectl")
	if _, err := os.Stat(path); *kubeconfig != "" && err == nil {
		return path
	}
	path, err := exec.LookPath("kubectl")
	if err != nil {
		missing(t, "no kubectl on the PATH")
	}
	return path
}

// missing skips a test that lacks something. In CI the test fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// An installation has no Secret, no custom resources and no namespace: who deletes it deletes no password that it did
// not bring, no DAG, and nothing that others have in the namespace.
func TestKinds(t *testing.T) {
	always := []string{
		"ClusterRole kontroler-controller-cluster", "ClusterRole kontroler-edit", "ClusterRole kontroler-view",
		"ClusterRoleBinding kontroler-controller-cluster", "Deployment kontroler/kontroler-controller",
		"Role kontroler/kontroler-controller-lease", "RoleBinding kontroler/kontroler-controller-lease",
		"Service kontroler/kontroler-controller-metrics", "ServiceAccount kontroler/kontroler-controller",
	}
	everywhere := []string{"ClusterRole kontroler-controller", "ClusterRoleBinding kontroler-controller"}
	inTeams := []string{
		"Role team-a/kontroler-controller", "RoleBinding team-a/kontroler-controller",
		"Role team-b/kontroler-controller", "RoleBinding team-b/kontroler-controller",
	}
	server := []string{
		"Deployment kontroler/kontroler-server", "Service kontroler/kontroler-server",
		"Service kontroler/kontroler-server-metrics", "ServiceAccount kontroler/kontroler-server",
	}
	serverEverywhere := slices.Concat(server, []string{
		"ClusterRole kontroler-server", "ClusterRoleBinding kontroler-server",
	})
	serverInTeams := slices.Concat(server, []string{
		"Role team-a/kontroler-server", "RoleBinding team-a/kontroler-server",
		"Role team-b/kontroler-server", "RoleBinding team-b/kontroler-server",
	})
	postgres := []string{
		"PersistentVolumeClaim kontroler/kontroler-postgres", "Service kontroler/kontroler-postgres",
		"StatefulSet kontroler/kontroler-postgres",
	}
	ui := []string{"Deployment kontroler/kontroler-ui", "Service kontroler/kontroler-ui"}
	budget := []string{"PodDisruptionBudget kontroler/kontroler-controller"}
	budgets := slices.Concat(budget, []string{
		"PodDisruptionBudget kontroler/kontroler-server", "PodDisruptionBudget kontroler/kontroler-ui",
	})
	quickstart := slices.Concat(always, everywhere, postgres, serverEverywhere)
	production := slices.Concat(always, everywhere, serverEverywhere, ui, budgets)
	productionInTeams := slices.Concat(always, inTeams, serverInTeams, ui, budgets)
	want := map[string][]string{
		"quickstart":                                                  slices.Concat(quickstart, ui),
		"quickstart without the UI":                                   quickstart,
		"quickstart without the server":                               slices.Concat(always, everywhere, postgres),
		"quickstart with two controllers":                             slices.Concat(quickstart, ui, budgets),
		"production":                                                  production,
		"production with HTTPS":                                       production,
		"production with client certificates":                         production,
		"production with client certificates for all":                 production,
		"production with the right to read Secrets":                   production,
		"production in two namespaces":                                productionInTeams,
		"production in two namespaces with the right to read Secrets": productionInTeams,
		"production in two namespaces without the server":             slices.Concat(always, inTeams, budget),
		"uninstall": {
			"ClusterRole kontroler-uninstall", "ClusterRoleBinding kontroler-uninstall",
			"Job kontroler/kontroler-uninstall", "ServiceAccount kontroler/kontroler-uninstall",
		},
	}
	for name := range installations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, object := range install(t, name) {
				got = append(got, describe(object))
				if object.GetLabels()["app.kubernetes.io/name"] != "kontroler" {
					t.Errorf("%s does not have the label app.kubernetes.io/name: kontroler", describe(object))
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(slices.Sorted(slices.Values(want[name])), got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// describe names an object: its kind, namespace and name.
func describe(object *unstructured.Unstructured) string {
	name := object.GetName()
	if object.GetNamespace() != "" {
		name = object.GetNamespace() + "/" + name
	}
	return object.GetKind() + " " + name
}

// A namespace that a user's kustomization sets is that of all objects, and of the service accounts in the bindings.
func TestAnotherNamespace(t *testing.T) {
	for _, path := range []string{"overlays/quickstart", "overlays/production", "uninstall"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t)
			write(t, filepath.Join(dir, "kustomization.yaml"),
				"namespace: ops\nresources: [../kontroler/manifests/"+path+"]\n")
			for _, object := range render(t, dir) {
				text, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), `"namespace":"kontroler"`) {
					t.Errorf("%s is still about namespace kontroler: %s", describe(object), text)
				}
			}
		})
	}
}

// The Roles of components/namespaced are bound to the service accounts in whatever namespace these are.
func TestNamespacedInAnotherNamespace(t *testing.T) {
	dir := workspace(t)
	write(t, filepath.Join(dir, "ops", "kustomization.yaml"),
		"namespace: ops\nresources: [../../kontroler/manifests/overlays/production]\n")
	write(t, filepath.Join(dir, "kustomization.yaml"),
		"resources: [ops, team-a]\ncomponents: [../kontroler/manifests/components/namespaced]\n")
	objects := render(t, dir)
	for name, rights := range map[string][]string{
		"kontroler-controller": {
			"create pods in namespace team-a", "update leases.coordination.k8s.io in namespace ops",
		},
		"kontroler-server": {"get pods/log in namespace team-a"},
	} {
		got := grants(t, objects, account{namespace: "ops", name: name})
		for _, want := range rights {
			if !slices.Contains(got, want) {
				t.Errorf("%s may not %s", name, want)
			}
		}
	}
}

// One file names the registry and the tag of all images of Kontroler.
func TestImage(t *testing.T) {
	dir := workspace(t)
	file := filepath.Join(dir, "..", "kontroler", "manifests", "components", "image", "kustomization.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(
		"localhost/", "registry.example.com/", "newTag: dev", "newTag: v1.0.0").Replace(string(text))
	write(t, file, changed)
	write(t, filepath.Join(dir, "kustomization.yaml"),
		"resources: [../kontroler/manifests/overlays/production, ../kontroler/manifests/uninstall]\n")
	var got []string
	for _, template := range templates(t, render(t, dir)) {
		for _, container := range template.Spec.Containers {
			got = append(got, container.Image)
		}
	}
	slices.Sort(got)
	const registry = "registry.example.com/"
	want := []string{ // those of the Deployments and of the Job
		registry + "kontroler-controller:v1.0.0", registry + "kontroler-controller:v1.0.0",
		registry + "kontroler-server:v1.0.0", registry + "kontroler-ui:v1.0.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// Without the server, nothing of an installation is about it: the rest is the same as ever.
func TestWithoutTheServer(t *testing.T) {
	for _, name := range []string{"quickstart without the server", "production in two namespaces without the server"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, object := range install(t, name) {
				text, err := object.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				for _, trace := range []string{
					"kontroler-server", "kontroler-ui", "kontroler_server", "KONTROLER_READER_ROLES", "postStart",
				} {
					if strings.Contains(string(text), trace) {
						t.Errorf("%s has %s: %s", describe(object), trace, text)
					}
				}
			}
		})
	}
}

// The command of section Without the server deletes what an installation with the server has and one without it has
// not, and nothing else.
func TestDeletingTheServer(t *testing.T) {
	command, err := readme.Commands(filepath.Join(manifests, "README.md"), "Without the server")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`^kubectl delete ([a-z,]+) -n kontroler \\\n  -l '(.*)'\n$`).FindStringSubmatch(command)
	if parts == nil {
		t.Fatalf("the command is not kubectl delete KINDS -n kontroler -l 'SELECTOR':\n%s", command)
	}
	selector, err := labels.Parse(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	kinds := strings.Split(parts[1], ",")
	dir := workspace(t)
	write(t, filepath.Join(dir, "kustomization.yaml"), "resources: [../kontroler/manifests/overlays/production]\n"+
		"components: [../kontroler/manifests/components/without-server]\n")
	var left, want []string
	for _, object := range render(t, dir) {
		left = append(left, describe(object))
	}
	for _, object := range install(t, "production") {
		isDeleted := slices.Contains(kinds, strings.ToLower(object.GetKind())) &&
			selector.Matches(labels.Set(object.GetLabels()))
		if !isDeleted {
			want = append(want, describe(object))
		}
	}
	slices.Sort(left)
	slices.Sort(want)
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("objects (-after the command +without the server):\n%s", diff)
	}
}

// The commands that restore or move the database stop controller and server, and work without the server too: they name
// no Deployment, because kubectl fails if one of several is missing.
func TestStoppingForTheDatabase(t *testing.T) {
	scale := regexp.MustCompile(`^kubectl scale deployment -n kontroler -l '(.*)' --replicas=0 &&\n`)
	for _, section := range []string{"Restoring", "Another database server"} {
		command := commands(t, section)
		parts := scale.FindStringSubmatch(command)
		if parts == nil {
			t.Fatalf("%s does not begin with kubectl scale deployment -n kontroler -l 'SELECTOR' --replicas=0:\n%s",
				section, command)
		}
		selector, err := labels.Parse(parts[1])
		if err != nil {
			t.Fatal(err)
		}
		stopped := map[string]bool{}
		for _, object := range install(t, "production") {
			if object.GetKind() == "Deployment" {
				stopped[object.GetName()] = selector.Matches(labels.Set(object.GetLabels()))
			}
		}
		want := map[string]bool{"kontroler-controller": true, "kontroler-server": true, "kontroler-ui": false}
		if diff := cmp.Diff(want, stopped); diff != "" {
			t.Errorf("%s stops (-want +got):\n%s", section, diff)
		}
	}
}

// The server finds its files in a volume that can be mounted without the first password, which is to be removed, but
// not without the keys.
func TestFirstPasswordIsOptional(t *testing.T) {
	for _, template := range templates(t, install(t, "production")) {
		if template.GenerateName != "kontroler-server-" {
			continue
		}
		isOptional := map[string]bool{}
		for _, volume := range template.Spec.Volumes {
			if volume.Projected == nil {
				t.Fatalf("volume %s is not projected: its files are optional all together or not at all", volume.Name)
			}
			for _, source := range volume.Projected.Sources {
				for _, item := range source.Secret.Items {
					isOptional[item.Path] = source.Secret.Optional != nil && *source.Secret.Optional
				}
			}
		}
		want := map[string]bool{"jwt-keys": false, "admin-password": true}
		if diff := cmp.Diff(want, isOptional); diff != "" {
			t.Errorf("files that may be missing (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("no Deployment kontroler-server")
}
