package install_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	root      = "../.."
	namespace = "kontroler" // of the manifests
	dags      = "default"   // the namespace of the DAGs
	patience  = 2 * time.Minute
	pollEach  = 200 * time.Millisecond
)

// programs are those that have an image and a Deployment. The image of the UI is built with Node.
var programs = programsOf()

func programsOf() []string {
	if _, err := exec.LookPath("node"); err != nil && os.Getenv("CI") != "true" {
		return []string{"controller", "server"}
	}
	return []string{"controller", "server", "ui"}
}

// site is the cluster that Kontroler is installed in.
type site struct {
	kubeconfig string
	path       string // PATH, with kubectl
	cluster    string // the directory of a cluster of this machine (e2e/cluster); empty for the reader's cluster
	registry   string // HOST/PATH of the images
	version    string // the tag of the images
	dir        string // has a copy of manifests in kontroler/manifests, and the archives of images
	isGone     bool   // Kontroler was uninstalled
}

// newSite returns the cluster of KUBECONFIG. When the test has failed, Kontroler is removed from it.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{kubeconfig: os.Getenv("KUBECONFIG"), path: os.Getenv("PATH"), dir: t.TempDir()}
	if s.kubeconfig == "" || testing.Short() {
		missing(t, "no cluster. Set KUBECONFIG; `e2e/cluster/run up DIR` starts one")
	}
	beside := filepath.Dir(s.kubeconfig)
	if _, err := os.Stat(filepath.Join(beside, "cluster.json")); err == nil {
		s.cluster = beside
		s.path = filepath.Join(beside, "bin") + ":" + s.path
		s.registry = "registry.example.com/" + strings.ToLower(rand.Text()[:8])
		if _, err := exec.LookPath("buildah"); err != nil || os.Geteuid() != 0 {
			missing(t, "the images need buildah and root. Run scripts/setup")
		}
	} else {
		s.registry = os.Getenv("REGISTRY")
		if os.Getenv("CLUSTER") != "current" || s.registry == "" {
			missing(t,
				"to install into your cluster, set CLUSTER=current and REGISTRY=HOST/PATH. The images are pushed there")
		}
	}
	s.refuseInstalled(t)
	s.version = strings.TrimSpace(s.shell(t, "scripts/version"))
	if err := os.CopyFS(filepath.Join(s.dir, "kontroler", "manifests"), os.DirFS(root+"/manifests")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.tidy(t) })
	return s
}

// refuseInstalled skips the test in a cluster that it would damage.
func (s *site) refuseInstalled(t *testing.T) {
	t.Helper()
	if _, err := s.try("kubectl get namespace " + namespace); err == nil {
		missing(t, "the cluster has a namespace "+namespace+", which this test would delete")
	}
	if _, err := s.try("kubectl get crd dags.kontroler.greedykomodo"); err != nil {
		return
	}
	if s.cluster == "" {
		missing(t, "the cluster has Kontroler's custom resources, which this test would delete")
	}
	if found := s.shell(t, "kubectl get dags,dagruns,dagtasks --all-namespaces --output=name"); found != "" {
		missing(t, "the cluster has custom resources, which this test would delete: "+found)
	}
}

// missing skips a test that lacks something. In CI the test fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// try runs a shell script in the root of the repository and returns what it prints.
func (s *site) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "PATH="+s.path, "REGISTRY="+s.registry)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// shell is try for a script that must succeed.
func (s *site) shell(t *testing.T, script string) string {
	t.Helper()
	out, err := s.try(script)
	if err != nil {
		s.explain(t)
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// get decodes an object, or a list of objects, of the cluster.
func (s *site) get(t *testing.T, what string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.shell(t, "kubectl get --output=json "+what)), into); err != nil {
		t.Fatal(err)
	}
}

// apply applies a manifest.
func (s *site) apply(t *testing.T, in, manifest string) {
	t.Helper()
	s.shell(t, "kubectl apply --namespace="+in+" --filename=- <<'MANIFEST'\n"+manifest+"\nMANIFEST")
}

// eventually waits until check returns true. Otherwise the test fails with the state that check returned last.
func (s *site) eventually(t *testing.T, what string, check func() (ok bool, is string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), pollEach, patience, true, func(context.Context) (bool, error) {
		ok, is := check()
		last = is
		return ok, nil
	})
	if err != nil {
		s.explain(t)
		t.Fatalf("waiting for %s: not within %s; it is %s", what, patience, last)
	}
}

// load puts the images of an archive in the registry of the node, and returns the command for that.
func (s *site) load(archive string) string {
	return fmt.Sprintf("e2e/cluster/run images load '%s' '%s'", s.cluster, archive)
}

// pushCommand returns what replaces `make images PUSH=1` on a node of this machine.
func (s *site) pushCommand() string {
	command := fmt.Sprintf("scripts/images '%s'", s.dir)
	for _, program := range programs {
		command += "; " + s.load(filepath.Join(s.dir, "kontroler-"+program+"-"+runtime.GOARCH+".tar"))
	}
	return command
}

// image returns the name of a program's image with a tag.
func (s *site) image(program, tag string) string {
	return s.registry + "/kontroler-" + program + ":" + tag
}

// explain logs what the cluster says.
func (s *site) explain(t *testing.T) {
	t.Helper()
	for _, command := range []string{
		"kubectl get all -n " + namespace + " -o wide", "kubectl describe pods -n " + namespace,
		"kubectl logs -n " + namespace + " -l app.kubernetes.io/name=kontroler --all-containers --prefix --tail=30",
		"kubectl get dags,dagruns,pods -n " + dags + " -o wide",
		"kubectl get events --sort-by=.lastTimestamp -n " + dags + " | tail -n 40",
	} {
		out, _ := s.try(command)
		t.Logf("%s\n%s", command, out)
	}
}

// tidy removes what a failed test left in the cluster.
func (s *site) tidy(t *testing.T) {
	if s.isGone {
		return
	}
	lines, err := uninstallCommands(map[string]string{})
	if err != nil {
		t.Error(err)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "kubectl wait") })
	for _, line := range lines {
		out, err := s.try(line)
		t.Logf("%s: %v\n%s", line, err, out)
	}
}
