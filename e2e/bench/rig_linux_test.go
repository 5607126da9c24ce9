package bench_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kontroler/e2e/completer"
	"kontroler/e2e/harness"
	"kontroler/generated/clientset/versioned"
	"kontroler/store/storetest"
)

var (
	clusterDir = flag.String("cluster", "",
		"directory of a cluster that `e2e/cluster/run up DIR --no-node` has started (default: start one)")
	binary = flag.String("binary", "",
		"binary of the controller, to compare two of them (default: build it from this tree)")
	flags = flag.String("controller", "", "flags for the controller, separated by spaces")
)

const (
	clusterTool = "../cluster/run"
	crdDir      = "../../manifests/crd"
)

// rig is the environment of a benchmark.
type rig struct {
	b         testing.TB
	namespace string
	kube      kubernetes.Interface // in protobuf
	client    versioned.Interface
	accounts  *harness.Accounts
	dir       string
	cluster   string
	database  *storetest.Server
	metrics   string // URL of the metrics of the controller
	process   *exec.Cmd
	// podSeen is called with each new Pod, before it ends.
	podSeen func(*corev1.Pod)
}

func newRig(b testing.TB) *rig {
	b.Helper()
	r := &rig{b: b, dir: b.TempDir(), cluster: *clusterDir, podSeen: func(*corev1.Pod) {}}
	if r.cluster == "" {
		r.startCluster()
	}
	r.connect()
	openDirectories(b, r.dir)
	var err error
	if r.database, err = storetest.Start(filepath.Join(r.dir, "postgres")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.database.Crash(); err != nil {
			b.Error(err)
		}
	})
	return r
}

// openDirectories lets PostgreSQL reach a temporary directory. It runs as another user if this is root.
func openDirectories(b testing.TB, dir string) {
	b.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			b.Fatal(err)
		}
	}
}

func (r *rig) startCluster() {
	r.b.Helper()
	r.cluster = filepath.Join(r.dir, "cluster")
	// The audit log of the tests would be measured too.
	r.run(clusterTool, "up", r.cluster, "--no-node", "--owner-pid", strconv.Itoa(os.Getpid()),
		"--apiserver-arg=--audit-log-path=")
	r.b.Cleanup(func() { r.run(clusterTool, "down", r.cluster) })
}

func (r *rig) run(name string, args ...string) {
	r.b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		r.b.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// connect installs the custom resources, creates a namespace, and installs the service account of the controller. The
// clients of the benchmark use a service account too: with a client certificate, the API server would verify it for
// each request.
func (r *rig) connect() {
	r.b.Helper()
	kubectl := filepath.Join(r.cluster, "bin", "kubectl")
	r.run(kubectl, "--kubeconfig", r.kubeconfig(), "apply", "--server-side", "--force-conflicts", "-k", crdDir)
	r.run(kubectl, "--kubeconfig", r.kubeconfig(), "wait", "--for=condition=Established", "--timeout=60s", "crd",
		"--all")
	config, err := clientcmd.BuildConfigFromFlags("", r.clientKubeconfig())
	if err != nil {
		r.b.Fatal(err)
	}
	config.QPS = -1
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	if r.kube, err = kubernetes.NewForConfig(protobuf); err != nil {
		r.b.Fatal(err)
	}
	if r.client, err = versioned.NewForConfig(config); err != nil {
		r.b.Fatal(err)
	}
	made, err := r.kube.CoreV1().Namespaces().Create(r.b.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}, metav1.CreateOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	r.namespace = made.Name
	if r.accounts, err = harness.InstallAccounts(r.b.Context(), kubectl, r.kubeconfig(), r.dir); err != nil {
		r.b.Fatal(err)
	}
	if err := r.accounts.GrantLease(r.b.Context(), r.namespace); err != nil {
		r.b.Fatal(err)
	}
}

// clientKubeconfig creates a service account with all permissions, and writes a kubeconfig for it.
func (r *rig) clientKubeconfig() string {
	r.b.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", r.kubeconfig())
	if err != nil {
		r.b.Fatal(err)
	}
	ctx, admin := r.b.Context(), kubernetes.NewForConfigOrDie(config)
	account, err := admin.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}, metav1.CreateOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account.Name}, RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin",
		},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}, metav1.CreateOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	file := filepath.Join(r.dir, "kubeconfig-bench")
	if err := harness.WriteKubeconfig(ctx, admin, r.kubeconfig(), account, file); err != nil {
		r.b.Fatal(err)
	}
	return file
}

// kubeconfig is the administrator's.
func (r *rig) kubeconfig() string { return filepath.Join(r.cluster, "kubeconfig") }

// startController starts the controller as it is shipped, with its defaults, and waits until it is ready.
func (r *rig) startController(args ...string) {
	r.b.Helper()
	program := *binary
	if program == "" {
		program = filepath.Join(r.dir, "controller")
		r.run("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program,
			"kontroler/controller/cmd/controller") // as scripts/build does
	}
	log, err := os.Create(filepath.Join(r.dir, "controller.log"))
	if err != nil {
		r.b.Fatal(err)
	}
	defer log.Close()
	address := fmt.Sprintf("127.%d.%d.1:18080", 1+os.Getpid()>>8%250, os.Getpid()%250)
	r.metrics = "http://" + address + "/metrics"
	args = append(args, "--namespaces="+r.namespace, "--lease-namespace="+r.namespace,
		"--health-address="+address, "--metrics-address="+address)
	r.process = exec.Command(program, append(args, strings.Fields(*flags)...)...)
	r.process.Env = append(os.Environ(), "KUBECONFIG="+r.accounts.Controller, "DATABASE_URL="+r.database.URL())
	r.process.Stdout, r.process.Stderr = log, log
	r.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.process.Start(); err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(func() {
		r.stopController()
		if r.b.Failed() {
			text, _ := os.ReadFile(log.Name())
			r.b.Logf("last lines of the controller's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	r.await("the controller to be ready", time.Minute, func() bool {
		answer, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// stopController kills the controller.
func (r *rig) stopController() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

// await waits until a condition is true, which it checks ten times per second.
func (r *rig) await(what string, patience time.Duration, isTrue func() bool) {
	r.b.Helper()
	for deadline := time.Now().Add(patience); !isTrue(); {
		if time.Now().After(deadline) {
			r.b.Fatalf("waiting for %s: not within %s", what, patience)
		}
		select {
		case <-r.b.Context().Done():
			r.b.Fatal(r.b.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// each calls send for 0 to n-1, from concurrent clients.
func (r *rig) each(n, clients int, send func(i int) error) {
	numbers := make(chan int)
	var sending sync.WaitGroup
	for range clients {
		sending.Go(func() {
			for i := range numbers {
				if err := send(i); err != nil {
					r.b.Error(err)
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	sending.Wait()
}

// startCompleter starts a completer that ends every Pod of the namespace immediately.
func (r *rig) startCompleter(requests int) {
	r.b.Helper()
	started, err := completer.Start(r.b.Context(), r.kube, completer.Options{
		Namespace: r.namespace, Requests: requests, Seen: r.podSeen, Failed: func(err error) { r.b.Error(err) },
	})
	if err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(started.Stop)
}

// requests returns how many requests of each kind the controller has sent.
func (r *rig) requests() map[string]float64 {
	r.b.Helper()
	sent := map[string]float64{}
	r.eachMetric(func(name string, value float64) {
		if labels, found := strings.CutPrefix(name, "kontroler_api_requests_total{"); found {
			sent[labels] += value
		}
	})
	return sent
}

// metric returns the value of a metric without labels.
func (r *rig) metric(name string) (value float64) {
	r.b.Helper()
	r.eachMetric(func(found string, v float64) {
		if found == name {
			value = v
		}
	})
	return value
}

// eachMetric calls visit with each metric of the controller. A name ends with its labels.
func (r *rig) eachMetric(visit func(name string, value float64)) {
	r.b.Helper()
	answer, err := http.Get(r.metrics)
	if err != nil {
		r.b.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if value, err := strconv.ParseFloat(line[space+1:], 64); err == nil && line[0] != '#' {
			visit(strings.TrimSuffix(line[:space], "}"), value)
		}
	}
}

// resetPeak makes the kernel measure the peak of the controller's memory anew.
func (r *rig) resetPeak() {
	r.b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.process.Process.Pid), []byte("5"), 0); err != nil {
		r.b.Fatal(err)
	}
}

// peak returns the peak of the controller's resident memory, in KiB.
func (r *rig) peak() (kib float64) {
	r.b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		r.b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		r.b.Fatal(err)
	}
	return kib
}

// transactions returns how many transactions PostgreSQL has ended.
func (r *rig) transactions() (n float64) {
	r.b.Helper()
	pool, err := sql.Open("postgres", r.database.URL())
	if err != nil {
		r.b.Fatal(err)
	}
	defer pool.Close()
	err = pool.QueryRow(`SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database`).Scan(&n)
	if err != nil {
		r.b.Fatal(err)
	}
	return n
}

// logRequests logs the requests per run between two counts, most frequent first. n is the number of runs.
func (r *rig) logRequests(before, after map[string]float64, n int) {
	var kinds []string
	for kind := range after {
		if after[kind] > before[kind] {
			kinds = append(kinds, kind)
		}
	}
	slices.SortFunc(kinds, func(a, b string) int { return int(after[b] - before[b] - after[a] + before[a]) })
	for _, kind := range kinds {
		r.b.Logf("%8.2f requests per run: %s", (after[kind]-before[kind])/float64(n), kind)
	}
}

// processorTime is the processor time of each part.
type processorTime map[string]time.Duration

// usage returns the processor time of all parts.
func (r *rig) usage() processorTime {
	r.b.Helper()
	used := processorTime{}
	if r.process != nil {
		used["controller"] = processUsage(r.b, r.process.Process.Pid)
	}
	used["completer"] = processUsage(r.b, os.Getpid())
	used["postgres"] = processUsage(r.b, postmaster(r.b, filepath.Join(r.dir, "postgres")))
	record, err := os.ReadFile(filepath.Join(r.cluster, "run", "control.json"))
	if err != nil {
		r.b.Fatal(err)
	}
	var control struct{ PID int }
	if err := json.Unmarshal(record, &control); err != nil {
		r.b.Fatal(err)
	}
	for _, child := range children(r.b, control.PID) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
		if err != nil {
			continue
		}
		program, _, _ := strings.Cut(string(name), "\x00")
		switch program = filepath.Base(program); program {
		case "etcd", "kube-apiserver":
			used[program] = processUsage(r.b, child)
		}
	}
	return used
}

func (p processorTime) since(before processorTime) processorTime {
	used := processorTime{}
	for part := range p {
		used[part] = p[part] - before[part]
	}
	return used
}

// postmaster returns the pid of a PostgreSQL server.
func postmaster(b testing.TB, dir string) int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// children returns the running child processes of a process.
func children(b testing.TB, pid int) []int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil && len(text) > 0 {
		return fields(string(text))
	}
	// A thread other than the first may have started them.
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var all []int
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		all = append(all, fields(string(text))...)
	}
	return all
}

func fields(text string) []int {
	var numbers []int
	for field := range strings.FieldsSeq(text) {
		if n, err := strconv.Atoi(field); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// clockTicks is the number of ticks per second in /proc/PID/stat, which is 100 on every Linux.
const clockTicks = 100

// processUsage returns the processor time of a process and of its children, including those that have ended.
func processUsage(b testing.TB, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // it has ended
	}
	// The name may contain anything, and ends with the last parenthesis. Then come the state and numbers.
	after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	ticks := 0
	for _, field := range after[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	used := time.Duration(ticks) * time.Second / clockTicks
	if pid != os.Getpid() {
		for _, child := range children(b, pid) {
			used += processUsage(b, child)
		}
	}
	return used
}
