package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/clientset/versioned"
)

const (
	clusterTool = "cluster/run"
	crdDir      = "../manifests/crd"
)

// suite is what all tests share.
type suite struct {
	dir        string // for binaries and logs; gone when the tests have ended
	kubeconfig string
	kubectl    string // the program
	controller string // the program: race detector, crash points
	config     *rest.Config
	kube       kubernetes.Interface
	client     versioned.Interface
}

var (
	errNoCluster = errors.New("no cluster: set KUBECONFIG, or be root for a node to be started (e2e/cluster/run)")
	errElsewhere = errors.New("the cluster's nodes do not share this machine's temporary directory: what tasks do cannot be seen")
)

// started is the suite, made by the first test that needs it.
var started = sync.OnceValues(startSuite)

// ending is what TestMain does when all tests have ended, the last first.
var ending struct {
	sync.Mutex
	steps []func()
}

func atEnd(step func()) {
	ending.Lock()
	defer ending.Unlock()
	ending.steps = append(ending.steps, step)
}

func TestMain(m *testing.M) {
	// The tests mostly wait; -parallel on the command line wins.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, step := range slices.Backward(ending.steps) {
		step()
	}
	os.Exit(code)
}

// theSuite skips the test where there can be no cluster, but fails it in CI.
func theSuite(t *testing.T) *suite {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: end-to-end tests need a cluster")
	}
	s, err := started()
	switch {
	case (errors.Is(err, errNoCluster) || errors.Is(err, errElsewhere)) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return s
}

func startSuite() (*suite, error) {
	dir, err := os.MkdirTemp("", "kontroler-e2e-")
	if err != nil {
		return nil, err
	}
	// Pods reach the directories below it, as any user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	atEnd(func() { os.RemoveAll(dir) })
	s := &suite{dir: dir, kubeconfig: os.Getenv("KUBECONFIG")}
	if s.kubeconfig == "" {
		if s.kubeconfig, err = upCluster(filepath.Join(dir, "cluster")); err != nil {
			return nil, err
		}
	}
	s.findKubectl()
	if err := s.connect(); err != nil {
		return nil, err
	}
	if os.Getenv("CLUSTER") == "current" {
		if err := s.lookForDir(); err != nil {
			return nil, err
		}
	}
	if err := s.installCRDs(); err != nil {
		return nil, err
	}
	s.controller = filepath.Join(dir, "controller")
	build := exec.Command("go", "build", "-race", "-tags", "faults", "-o", s.controller, "kontroler/controller/cmd/controller")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return s, nil
}

// upCluster starts a cluster that ends with this process, and returns its kubeconfig.
func upCluster(dir string, options ...string) (string, error) {
	if os.Geteuid() != 0 {
		return "", errNoCluster
	}
	up := exec.Command(clusterTool, append([]string{"up", dir, "--owner-pid", strconv.Itoa(os.Getpid())}, options...)...)
	up.Stdout, up.Stderr = os.Stderr, os.Stderr
	if err := up.Run(); err != nil {
		return "", fmt.Errorf("starting a cluster: %w", err)
	}
	atEnd(func() {
		down := exec.Command(clusterTool, "down", dir)
		if out, err := down.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "ending the cluster: %v\n%s", err, out)
		}
	})
	return filepath.Join(dir, "kubeconfig"), nil
}

// findKubectl prefers the one of the cluster: it has its version.
func (s *suite) findKubectl() {
	s.kubectl = filepath.Join(filepath.Dir(s.kubeconfig), "bin", "kubectl")
	if _, err := os.Stat(s.kubectl); err != nil {
		s.kubectl = "kubectl"
	}
}

func (s *suite) connect() (err error) {
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.kubeconfig); err != nil {
		return fmt.Errorf("reading KUBECONFIG: %w", err)
	}
	s.config.QPS = -1
	if s.kube, err = kubernetes.NewForConfig(s.config); err != nil {
		return err
	}
	s.client, err = versioned.NewForConfig(s.config)
	return err
}

// lookForDir finds out whether Pods see the suite's directory.
func (s *suite) lookForDir() error {
	overrides := fmt.Sprintf(`{"spec": {"containers": [{"name": "probe", "image": "busybox:1.36", "command": ["touch", "/dir/probe"],
		"volumeMounts": [{"name": "dir", "mountPath": "/dir"}]}], "volumes": [{"name": "dir", "hostPath": {"path": %q}}]}}`, s.dir)
	out, err := s.runKubectl("", "run", filepath.Base(s.dir), "--image=busybox:1.36", "--restart=Never", "--rm", "--attach", "--quiet", "--overrides", overrides)
	if err != nil {
		return fmt.Errorf("running a Pod in the cluster: %w\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "probe")); err != nil {
		return errElsewhere
	}
	return nil
}

func (s *suite) installCRDs() error {
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-k", crdDir},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd/dags." + v1alpha1.GroupName, "crd/dagruns." + v1alpha1.GroupName, "crd/dagtasks." + v1alpha1.GroupName},
	} {
		if out, err := s.runKubectl("", args...); err != nil {
			return fmt.Errorf("installing the CRDs: %w\n%s", err, out)
		}
	}
	return nil
}

// runKubectl returns what kubectl prints, standard error after standard output.
func (s *suite) runKubectl(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.kubectl, append([]string{"--kubeconfig", s.kubeconfig}, args...)...)
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String() + stderr.String(), err
}
