package bench_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	storedRuns = flag.Int("runs", 1_000_000, "how many runs the database of BenchmarkServer has")
	requests   = flag.Int("requests", 500, "how many requests of each kind BenchmarkServer sends")
)

const adminPassword = "correct horse battery staple"

// apiServer is the server as it is shipped, over HTTP.
type apiServer struct {
	*database
	url, health string
	process     *exec.Cmd
	client      http.Client
	token       string
}

// visitor sends requests to a server that has a history.
type visitor struct {
	*apiServer
	history *history
	random  *rand.Rand
	// What requests name.
	uids, dags, names []string
	bigRun            string
}

// BenchmarkServer measures reading over REST with a year of history: one client sends requests in turn, over one
// connection. Beside each kind of request it runs pgbench with the statements that PostgreSQL has logged for such
// requests. The server also reads sessions, which pgbench does not.
func BenchmarkServer(b *testing.B) {
	began := time.Now()
	h := newHistory(b, *storedRuns)
	b.Logf("filled a database with %d runs in %s", *storedRuns, time.Since(began).Round(time.Second))
	s := newVisitor(b, h)
	b.Logf("%d CPUs, %s, load average %s", runtime.NumCPU(), h.strings(`SHOW server_version`)[0], loadAverage(b))
	b.Logf("%-34s %8s %8s %8s   %8s %8s", "milliseconds", "p50", "p99", "most", "pgbench", "p99")
	kinds := s.kinds()
	for _, k := range kinds {
		s.measure(k)
	}
	s.measureLogins()
	s.measureListeners(kinds[0])
	b.Logf("%d MiB resident, load average %s", s.resident(), loadAverage(b))
	b.ReportMetric(0, "ns/op")
}

func loadAverage(b *testing.B) string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// newVisitor starts the server on a history, without a cluster.
func newVisitor(b testing.TB, h *history) *visitor {
	b.Helper()
	kubeconfig := filepath.Join(b.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(noCluster), 0o600); err != nil {
		b.Fatal(err)
	}
	s := &visitor{
		apiServer: startServer(b, h.database, kubeconfig), history: h, random: rand.New(rand.NewPCG(1, 2)),
	}
	began := time.Now()
	s.await("statistics", func() bool { status, _ := s.get("/api/v1/statistics"); return status == http.StatusOK })
	b.Logf("statistics are in memory %s after the server is ready", time.Since(began).Round(10*time.Millisecond))
	s.uids = h.strings(`SELECT uid FROM kontroler_v1.runs WHERE dag_name <> $1 ORDER BY id DESC LIMIT $2`,
		bigDAG, detailedRuns)
	s.bigRun = h.strings(`SELECT uid FROM kontroler_v1.runs WHERE dag_name = $1 ORDER BY id DESC LIMIT 1`, bigDAG)[0]
	s.names = h.strings(`SELECT name FROM kontroler_v1.runs ORDER BY id DESC LIMIT 1000 OFFSET $1`, h.runs/2)
	s.dags = h.strings(`SELECT namespace || '/' || name FROM kontroler_v1.dags WHERE name <> $1`, bigDAG)
	return s
}

// startServer builds and starts the server, and logs in.
func startServer(b testing.TB, d *database, kubeconfig string, flags ...string) *apiServer {
	b.Helper()
	dir := b.TempDir()
	s := &apiServer{database: d}
	program := filepath.Join(dir, "server")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program,
		"kontroler/httpapi/cmd/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as scripts/build does
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the server: %v\n%s", err, out)
	}
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
		return file
	}
	address := func(port int) string {
		return fmt.Sprintf("127.%d.%d.2:%d", 1+os.Getpid()>>8%250, os.Getpid()%250, port)
	}
	s.url, s.health = "http://"+address(18443), "http://"+address(18081)
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(program, append([]string{
		"--listen-address=" + address(18443), "--health-address=" + address(18081),
		"--jwt-key-file=" + write("keys", strings.Repeat("0123456789abcdef", 4)),
		"--admin-password-file=" + write("password", adminPassword), "--kubeconfig=" + kubeconfig,
	}, flags...)...)
	s.process.Env = append(os.Environ(), "DATABASE_URL="+d.readerAs, "KONTROLER_AUTH_DATABASE_URL="+d.owner)
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		s.stop()
		if b.Failed() {
			text, _ := os.ReadFile(log.Name())
			b.Logf("last lines of the server's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	s.await("the server to be ready", func() bool {
		answer, err := http.Get(s.health + "/readyz")
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	})
	s.login()
	return s
}

// stop kills the server.
func (s *apiServer) stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// noCluster is the kubeconfig of a cluster that does not answer: only rows are read.
const noCluster = `{apiVersion: v1, kind: Config, current-context: none,
  clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}],
  users: [{name: none, user: {token: none}}],
  contexts: [{name: none, context: {cluster: none, user: none}}]}`

func (s *apiServer) await(what string, isTrue func() bool) {
	s.b.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !isTrue(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.b.Fatalf("waiting for %s", what)
		}
	}
}

// login begins a session and returns how long that took.
func (s *apiServer) login() time.Duration {
	s.b.Helper()
	body, err := json.Marshal(map[string]string{"user": "admin", "password": adminPassword})
	if err != nil {
		s.b.Fatal(err)
	}
	began := time.Now()
	answer, err := s.client.Post(s.url+"/api/v1/auth/login", "application/json", bytes.NewReader(body))
	if err != nil {
		s.b.Fatal(err)
	}
	defer answer.Body.Close()
	var session struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&session); err != nil || answer.StatusCode != http.StatusOK {
		s.b.Fatalf("logging in: %s, %v", answer.Status, err)
	}
	s.token = session.Token
	return time.Since(began)
}

// get sends a request and reads the whole answer.
func (s *apiServer) get(path string) (status int, body []byte) {
	s.b.Helper()
	request, err := http.NewRequestWithContext(s.b.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.b.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := s.client.Do(request)
	if err != nil {
		s.b.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		s.b.Fatal(err)
	}
	return answer.StatusCode, body
}

// kind is a kind of request, with a function that returns the path of the next one.
type kind struct {
	name string
	path func() string
}

func (s *visitor) one(of []string) string { return of[s.random.IntN(len(of))] }

func (s *visitor) team() string { return fmt.Sprint("team-", s.random.IntN(namespaces)) }

// dag returns the path of a DAG, and its name.
func (s *visitor) dag() (path, name string) {
	namespace, name, _ := strings.Cut(s.one(s.dags), "/")
	return "/api/v1/namespaces/" + namespace + "/dags/" + name, name
}

func (s *visitor) kinds() []kind {
	cursor := ""
	fixed := func(path string) func() string { return func() string { return path } }
	return []kind{
		{"runs", fixed("/api/v1/runs")},
		{"runs, the next page", func() string {
			_, body := s.get("/api/v1/runs?limit=50" + cursor)
			var page struct{ Next string }
			if err := json.Unmarshal(body, &page); err != nil || page.Next == "" {
				s.b.Fatalf("no next page: %v\n%s", err, body)
			}
			cursor = "&cursor=" + url.QueryEscape(page.Next)
			return "/api/v1/runs?limit=50" + cursor
		}},
		{"runs of a namespace", func() string { return "/api/v1/namespaces/" + s.team() + "/runs" }},
		{"runs of a DAG", func() string { _, name := s.dag(); return "/api/v1/runs?dag=" + name }},
		{"runs that failed", fixed("/api/v1/runs?phase=Failed")},
		{"runs that failed, of a namespace", func() string {
			return "/api/v1/namespaces/" + s.team() + "/runs?phase=Failed"
		}},
		{"live runs", fixed("/api/v1/runs?phase=Running")},
		{"runs that alice requested", fixed("/api/v1/runs?requestedBy=alice")},
		{"runs by a prefix of the name", func() string {
			name := s.one(s.names)
			return "/api/v1/runs?namePrefix=" + name[:len(name)-3]
		}},
		{"a run", func() string { return "/api/v1/runs/" + s.one(s.uids) }},
		{"graph of 10 tasks", func() string { return "/api/v1/runs/" + s.one(s.uids) + "/graph" }},
		{fmt.Sprintf("attempts of %d tasks", bigTasks), fixed("/api/v1/runs/" + s.bigRun + "/attempts")},
		{"grid of 25 × 10", func() string { path, _ := s.dag(); return path + "/grid" }},
		{fmt.Sprintf("grid of %d × %d", bigRuns, bigTasks), fixed(fmt.Sprintf(
			"/api/v1/namespaces/%s/dags/%s/grid?runs=%d", bigPlace, bigDAG, bigRuns))},
		{"statistics of 30 days", fixed("/api/v1/statistics?zone=Europe%2FBerlin")},
		{"statistics of a year", func() string {
			return "/api/v1/statistics?zone=America%2FNew_York&from=" +
				time.Now().AddDate(0, 0, -364).Format(time.DateOnly)
		}},
		{"statistics of a DAG", func() string { path, _ := s.dag(); return path + "/statistics" }},
		{"attention", fixed("/api/v1/attention")},
	}
}

// measure sends requests of a kind, and then runs pgbench with the statements of some of them.
func (s *visitor) measure(k kind) {
	s.b.Helper()
	send := func(path string) time.Duration {
		began := time.Now()
		status, body := s.get(path)
		took := time.Since(began)
		if status != http.StatusOK {
			s.b.Fatalf("%s: status %d\n%s", path, status, body)
		}
		return took
	}
	var took []time.Duration
	for i := range *requests + *requests/10 {
		if one := send(k.path()); i >= *requests/10 { // the first ones fill caches
			took = append(took, one)
		}
	}
	s.history.logStatements(true)
	var scripts [][]string
	for range 20 {
		path := k.path()
		if statements := s.history.statements(func() { send(path) }); len(statements) > 0 {
			scripts = append(scripts, statements)
		}
	}
	s.history.logStatements(false)
	beside := fmt.Sprintf("%8s %8s", "–", "–")
	if len(scripts) > 0 {
		raw, err := s.history.pgbench(scripts, *requests)
		if err != nil {
			s.b.Fatal(err)
		}
		beside = fmt.Sprintf("%8.2f %8.2f", quantile(raw, 0.5), quantile(raw, 0.99))
	}
	s.b.Logf("%-34s %8.2f %8.2f %8.2f   %s", k.name, quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1),
		beside)
}

// measureLogins logs in again and again. A password is hashed for that, on purpose slowly.
func (s *visitor) measureLogins() {
	s.b.Helper()
	var took []time.Duration
	for range *requests / 5 {
		took = append(took, s.login())
	}
	s.b.Logf("%-34s %8.2f %8.2f %8.2f   %8s %8s", "login", quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1),
		"–", "–")
}

// quantile returns a quantile in milliseconds.
func quantile(all []time.Duration, q float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return float64(all[min(len(all)-1, int(q*float64(len(all))))].Microseconds()) / 1000
}

// resident returns the resident memory of the server in MiB.
func (s *apiServer) resident() int {
	s.b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		s.b.Fatal(err)
	}
	var kib int
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			if _, err := fmt.Sscan(value, &kib); err != nil {
				s.b.Fatal(err)
			}
		}
	}
	return kib / 1024
}
