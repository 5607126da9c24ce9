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

// Options say what a package of tests runs on.
type Options struct {
	// WithoutNode says that the cluster has no node. The completer plays the Pods.
	WithoutNode bool
	// Parallel is how many tests run at the same time. The flag -parallel overrides it.
	Parallel int
}

// Suite is what all tests of a package share: the cluster, the controller's binary, clients.
type Suite struct {
	Dir         string // for binaries and logs; removed when the tests have ended
	Kubeconfig  string // the administrator's, for what the tests do themselves
	KubectlPath string
	Binary      string // the controller, with the race detector and crash points
	Config      *rest.Config
	Kube        kubernetes.Interface
	Client      versioned.Interface
	Accounts    *Accounts // that the programs under test run as

	completer *completer.Completer // nil on a node
	watch     *podWatch
}

var (
	errNoCluster = errors.New("no cluster. Set KUBECONFIG (CONTROL_KUBECONFIG for e2e/control), " +
		"or run as root: then the tests start one with e2e/cluster/run")
	errElsewhere = errors.New("the nodes of the cluster do not share the temporary directory of this machine, " +
		"so the side effects of tasks cannot be read")
)

// suiteOptions are the options of Main.
var suiteOptions Options

// started returns the suite. The first test that needs it starts it.
var started = sync.OnceValues(startSuite)

// atExit is what Main does when all tests have ended, last step first.
var atExit struct {
	sync.Mutex
	steps  []func()
	failed []error // each fails the package
}

// atEnd registers a step for the end of the tests.
func atEnd(step func()) {
	atExit.Lock()
	defer atExit.Unlock()
	atExit.steps = append(atExit.steps, step)
}

// failAtEnd fails the package when its tests have ended.
func failAtEnd(err error) {
	atExit.Lock()
	defer atExit.Unlock()
	atExit.failed = append(atExit.failed, err)
}

// Main runs the tests of a package and returns the exit code: `os.Exit(harness.Main(m, …))` is a package's TestMain.
func Main(m *testing.M, options Options) int {
	suiteOptions = options
	// The tests mostly wait, so more of them can run at the same time than the machine has processors.
	if err := flag.Set("test.parallel", strconv.Itoa(options.Parallel)); err != nil {
		panic(err)
	}
	code := m.Run()
	for _, step := range slices.Backward(atExit.steps) {
		step()
	}
	atExit.Lock()
	defer atExit.Unlock()
	for _, err := range atExit.failed {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// suiteFor returns the suite. Without a cluster it skips the test; in CI the test fails.
func suiteFor(t *testing.T) *Suite {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests do not run with -short")
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

// Long skips a test that only runs for releases.
func Long(t *testing.T) {
	t.Helper()
	if os.Getenv("TEST_LONG") != "true" {
		t.Skip("runs only for releases, with make test-long")
	}
}

func startSuite() (*Suite, error) {
	dir, err := os.MkdirTemp("", "kontroler-e2e-")
	if err != nil {
		return nil, err
	}
	// Pods of any user access the directories below it.
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
	if os.Getenv("CLUSTER") == "current" && !suiteOptions.WithoutNode {
		if err := s.checkDirIsShared(); err != nil {
			return nil, err
		}
	}
	if err := s.installCRDs(); err != nil {
		return nil, err
	}
	if s.Accounts, err = InstallAccounts(context.Background(), s.KubectlPath, s.Kubeconfig, dir); err != nil {
		return nil, err
	}
	if s.watch, err = watchPods(atEnd, s.Kube); err != nil {
		return nil, err
	}
	if suiteOptions.WithoutNode {
		if err := s.startCompleter(); err != nil {
			return nil, err
		}
	}
	return s, s.findController()
}

// onOwnCluster returns a suite with a cluster of its own, without a completer. cleanup registers what ends the cluster.
func (s *Suite) onOwnCluster(cleanup func(func())) (*Suite, error) {
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
	if own.Accounts, err = InstallAccounts(context.Background(), own.KubectlPath, own.Kubeconfig, dir); err != nil {
		return nil, err
	}
	own.watch, err = watchPods(cleanup, own.Kube)
	return own, err
}

// findCluster uses the cluster that the environment names, or starts one.
func (s *Suite) findCluster() (err error) {
	variable, options := "KUBECONFIG", []string{}
	if suiteOptions.WithoutNode {
		variable, options = "CONTROL_KUBECONFIG", []string{"--no-node"}
	}
	if s.Kubeconfig = os.Getenv(variable); s.Kubeconfig == "" {
		s.Kubeconfig, err = UpCluster(atEnd, filepath.Join(s.Dir, "cluster"), options...)
	}
	return err
}

// UpCluster starts a cluster and returns its kubeconfig. cleanup registers what ends the cluster; for a cluster of one
// test it is t.Cleanup. The cluster also ends with this process.
func UpCluster(cleanup func(func()), dir string, options ...string) (string, error) {
	if os.Geteuid() != 0 {
		return "", errNoCluster
	}
	up := exec.Command(ClusterTool(),
		append([]string{"up", dir, "--owner-pid", strconv.Itoa(os.Getpid())}, options...)...)
	up.Stdout, up.Stderr = os.Stderr, os.Stderr
	if err := up.Run(); err != nil {
		return "", fmt.Errorf("starting a cluster: %w", err)
	}
	cleanup(func() {
		down := exec.Command(ClusterTool(), "down", dir)
		if out, err := down.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping the cluster: %v\n%s", err, out)
		}
		if err := keepAuditLog(dir); err != nil {
			failAtEnd(err)
		}
	})
	return filepath.Join(dir, "kubeconfig"), nil
}

// keepAuditLog copies the audit log of a cluster that has ended to the directory TEST_AUDIT_LOGS, for e2e/privileges.
func keepAuditLog(dir string) error {
	kept := os.Getenv("TEST_AUDIT_LOGS")
	if kept == "" {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log", "audit*.jsonl"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		file, err := os.CreateTemp(kept, "audit-*.jsonl")
		if err != nil {
			return err
		}
		if _, err := file.Write(text); err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Root returns the top of the repository.
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
			panic("the tests do not run in their module")
		}
		dir = parent
	}
})

// ClusterTool returns the program that starts clusters.
func ClusterTool() string { return filepath.Join(Root(), "e2e", "cluster", "run") }

// Example returns a file of manifests/examples.
func Example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(), "manifests", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startCompleter starts the completer.
func (s *Suite) startCompleter() (err error) {
	ctx, stop := context.WithCancel(context.Background())
	s.completer, err = completer.Start(ctx, s.Kube, completer.Options{
		Node: "completer", Requests: 16, Failed: failAtEnd, Reported: s.watch.note,
	})
	atEnd(func() {
		stop()
		if s.completer != nil {
			s.completer.Stop()
		}
	})
	return err
}

// findController uses the binary that TEST_CONTROLLER names, or builds it.
func (s *Suite) findController() error {
	if s.Binary = os.Getenv("TEST_CONTROLLER"); s.Binary != "" {
		return nil
	}
	s.Binary = filepath.Join(s.Dir, "controller")
	build := exec.Command("go", "build", "-race", "-tags", "faults", "-o", s.Binary,
		"kontroler/controller/cmd/controller")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return nil
}

// findKubectl prefers the kubectl of the cluster, which has its version.
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

// checkDirIsShared checks that Pods see the suite's directory.
func (s *Suite) checkDirIsShared() error {
	overrides := fmt.Sprintf(`{"spec": {"containers": [{"name": "probe", "image": "busybox:1.36",
		"command": ["touch", "/dir/probe"], "volumeMounts": [{"name": "dir", "mountPath": "/dir"}]}],
		"volumes": [{"name": "dir", "hostPath": {"path": %q}}]}}`, s.Dir)
	out, err := s.RunKubectl(
		"",
		"run",
		filepath.Base(s.Dir),
		"--image=busybox:1.36",
		"--restart=Never",
		"--rm",
		"--attach",
		"--quiet",
		"--overrides",
		overrides,
	)
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
		{"wait", "--for=condition=Established", "--timeout=60s", "crd/dags." + v1alpha1.GroupName,
			"crd/dagruns." + v1alpha1.GroupName, "crd/dagtasks." + v1alpha1.GroupName},
	} {
		if out, err := s.RunKubectl("", args...); err != nil {
			return fmt.Errorf("installing the CRDs: %w\n%s", err, out)
		}
	}
	return nil
}

// RunKubectl runs kubectl as the administrator and returns its standard output and then its standard error.
func (s *Suite) RunKubectl(stdin string, args ...string) (string, error) {
	return runKubectl(s.KubectlPath, s.Kubeconfig, stdin, args...)
}

func runKubectl(kubectl, kubeconfig, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String() + stderr.String(), err
}
