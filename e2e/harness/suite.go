package harness

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
	"kontroler/e2e/completer"
	"kontroler/generated/clientset/versioned"
)

// Options are what a package of tests runs on.
type Options struct {
	// WithoutNode: the cluster has no node, the completer plays the Pods.
	WithoutNode bool
	// Parallel is how many tests run at one time; -parallel on the command line wins.
	Parallel int
}

// Suite is what all tests of a package share.
type Suite struct {
	Dir         string // for binaries and logs; gone when the tests have ended
	Kubeconfig  string
	KubectlPath string
	Binary      string // the controller, with the race detector and crash points
	Config      *rest.Config
	Kube        kubernetes.Interface
	Client      versioned.Interface

	completer *completer.Completer // nil on a node
	watch     *podWatch
}

var (
	errNoCluster = errors.New("no cluster: set KUBECONFIG (for e2e/control CONTROL_KUBECONFIG), " +
		"or be root for one to be started (e2e/cluster/run)")
	errElsewhere = errors.New("the cluster's nodes do not share this machine's temporary directory: " +
		"what tasks do cannot be seen")
)

// stage is what Main was told.
var stage Options

// started is the suite, made by the first test that needs it.
var started = sync.OnceValues(startSuite)

// ending is what Main does when all tests have ended, the last first.
var ending struct {
	sync.Mutex
	steps  []func()
	failed []error // each fails the package
}

func atEnd(step func()) {
	ending.Lock()
	defer ending.Unlock()
	ending.steps = append(ending.steps, step)
}

// failAtEnd fails the package when its tests have ended.
func failAtEnd(err error) {
	ending.Lock()
	defer ending.Unlock()
	ending.failed = append(ending.failed, err)
}

// Main runs the tests of a package and returns the exit code: `os.Exit(harness.Main(m, …))` is a package's TestMain.
func Main(m *testing.M, options Options) int {
	stage = options
	// The tests mostly wait: more of them run at one time than the machine has processors.
	if err := flag.Set("test.parallel", strconv.Itoa(options.Parallel)); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, step := range slices.Backward(ending.steps) {
		step()
	}
	ending.Lock()
	defer ending.Unlock()
	for _, err := range ending.failed {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// theSuite skips the test where there can be no cluster, but fails it in CI.
func theSuite(t *testing.T) *Suite {
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

// Long skips a test that is for releases alone.
func Long(t *testing.T) {
	t.Helper()
	if os.Getenv("TEST_LONG") != "true" {
		t.Skip("for releases: make test-long")
	}
}

func startSuite() (*Suite, error) {
	dir, err := os.MkdirTemp("", "kontroler-e2e-")
	if err != nil {
		return nil, err
	}
	// Pods reach the directories below it, as any user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	atEnd(func() { os.RemoveAll(dir) })
	s := &Suite{Dir: dir}
	if err := s.findCluster(); err != nil {
		return nil, err
	}
	s.findKubectl()
	if err := s.connect(); err != nil {
		return nil, err
	}
	if os.Getenv("CLUSTER") == "current" && !stage.WithoutNode {
		if err := s.lookForDir(); err != nil {
			return nil, err
		}
	}
	if err := s.installCRDs(); err != nil {
		return nil, err
	}
	if s.watch, err = watchPods(atEnd, s.Kube); err != nil {
		return nil, err
	}
	if stage.WithoutNode {
		if err := s.startCompleter(); err != nil {
			return nil, err
		}
	}
	return s, s.findController()
}

// apart is the suite on a cluster of its own, without anybody who plays its Pods, until what it registers with cleanup is
// called.
func (s *Suite) apart(cleanup func(func())) (*Suite, error) {
	own := &Suite{Dir: s.Dir, Binary: s.Binary}
	dir, err := os.MkdirTemp(s.Dir, "apart-")
	if err != nil {
		return nil, err
	}
	if own.Kubeconfig, err = UpCluster(cleanup, filepath.Join(dir, "cluster"), "--no-node"); err != nil {
		return nil, err
	}
	own.findKubectl()
	if err := own.connect(); err != nil {
		return nil, err
	}
	own.watch, err = watchPods(cleanup, own.Kube)
	return own, err
}

// findCluster takes the cluster that the environment names, or starts one.
func (s *Suite) findCluster() (err error) {
	variable, options := "KUBECONFIG", []string{}
	if stage.WithoutNode {
		variable, options = "CONTROL_KUBECONFIG", []string{"--no-node"}
	}
	if s.Kubeconfig = os.Getenv(variable); s.Kubeconfig == "" {
		s.Kubeconfig, err = UpCluster(atEnd, filepath.Join(s.Dir, "cluster"), options...)
	}
	return err
}

// UpCluster starts a cluster and returns its kubeconfig. cleanup registers what ends the cluster: t.Cleanup, for a cluster
// of one test. It also ends with this process.
func UpCluster(cleanup func(func()), dir string, options ...string) (string, error) {
	if os.Geteuid() != 0 {
		return "", errNoCluster
	}
	up := exec.Command(ClusterTool(), append([]string{"up", dir, "--owner-pid", strconv.Itoa(os.Getpid())}, options...)...)
	up.Stdout, up.Stderr = os.Stderr, os.Stderr
	if err := up.Run(); err != nil {
		return "", fmt.Errorf("starting a cluster: %w", err)
	}
	cleanup(func() {
		down := exec.Command(ClusterTool(), "down", dir)
		if out, err := down.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "ending the cluster: %v\n%s", err, out)
		}
	})
	return filepath.Join(dir, "kubeconfig"), nil
}

// Root is the top of the repository.
var Root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("the tests run outside of their module")
		}
		dir = parent
	}
})

// ClusterTool is the program that starts clusters.
func ClusterTool() string { return filepath.Join(Root(), "e2e", "cluster", "run") }

// Example is one of the manifests that users are shown.
func Example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(), "manifests", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startCompleter starts what plays the Pods.
func (s *Suite) startCompleter() (err error) {
	ctx, stop := context.WithCancel(context.Background())
	s.completer, err = completer.Start(ctx, s.Kube, completer.Options{
		Node: "completer", Requests: 16, Failed: failAtEnd,
	})
	atEnd(func() {
		stop()
		if s.completer != nil {
			s.completer.Stop()
		}
	})
	return err
}

// findController takes the controller that TEST_CONTROLLER names, or builds it.
func (s *Suite) findController() error {
	if s.Binary = os.Getenv("TEST_CONTROLLER"); s.Binary != "" {
		return nil
	}
	s.Binary = filepath.Join(s.Dir, "controller")
	build := exec.Command("go", "build", "-race", "-tags", "faults", "-o", s.Binary, "kontroler/controller/cmd/controller")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return nil
}

// findKubectl prefers the one of the cluster: it has its version.
func (s *Suite) findKubectl() {
	s.KubectlPath = filepath.Join(filepath.Dir(s.Kubeconfig), "bin", "kubectl")
	if _, err := os.Stat(s.KubectlPath); err != nil {
		s.KubectlPath = "kubectl"
	}
}

func (s *Suite) connect() (err error) {
	if s.Config, err = clientcmd.BuildConfigFromFlags("", s.Kubeconfig); err != nil {
		return fmt.Errorf("reading KUBECONFIG: %w", err)
	}
	s.Config.QPS = -1
	if s.Kube, err = kubernetes.NewForConfig(s.Config); err != nil {
		return err
	}
	s.Client, err = versioned.NewForConfig(s.Config)
	return err
}

// lookForDir finds out whether Pods see the suite's directory.
func (s *Suite) lookForDir() error {
	overrides := fmt.Sprintf(`{"spec": {"containers": [{"name": "probe", "image": "busybox:1.36",
		"command": ["touch", "/dir/probe"], "volumeMounts": [{"name": "dir", "mountPath": "/dir"}]}],
		"volumes": [{"name": "dir", "hostPath": {"path": %q}}]}}`, s.Dir)
	out, err := s.RunKubectl("", "run", filepath.Base(s.Dir), "--image=busybox:1.36", "--restart=Never", "--rm", "--attach",
		"--quiet", "--overrides", overrides)
	if err != nil {
		return fmt.Errorf("running a Pod in the cluster: %w\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "probe")); err != nil {
		return errElsewhere
	}
	return nil
}

func (s *Suite) installCRDs() error {
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-k", filepath.Join(Root(), "manifests", "crd")},
		{"wait", "--for=condition=Established", "--timeout=60s",
			"crd/dags." + v1alpha1.GroupName, "crd/dagruns." + v1alpha1.GroupName, "crd/dagtasks." + v1alpha1.GroupName},
	} {
		if out, err := s.RunKubectl("", args...); err != nil {
			return fmt.Errorf("installing the CRDs: %w\n%s", err, out)
		}
	}
	return nil
}

// RunKubectl returns what kubectl prints, standard error after standard output.
func (s *Suite) RunKubectl(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.KubectlPath, append([]string{"--kubeconfig", s.Kubeconfig}, args...)...)
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String() + stderr.String(), err
}
