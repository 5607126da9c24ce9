package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/clientset/versioned"
)

// asProcess is set in the environment of a process of this test binary that is to be the server.
const asProcess = "TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asProcess) != "" {
		main()
	}
	os.Exit(m.Run())
}

// site has two servers, which are processes, on one database and one cluster.
type site struct {
	*testing.T
	clients   *versioned.Clientset
	namespace string
	database  string
	keys      string
	password  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	config := clustertest.Config(t)
	clustertest.InstallCRDs(t, config, "../../../manifests/crd")
	clients, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	namespaces := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces()
	created, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "killed-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		background := metav1.DeletePropagationBackground
		_ = namespaces.Delete(t.Context(), created.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	})
	database, _ := asServer(t)
	return &site{
		T: t, clients: clients, namespace: created.Name, database: database,
		keys: writeFile(t, strings.Repeat("k", 48)), password: writeFile(t, adminPassword),
	}
}

// freeAddress returns an address that is not in use.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// launch starts a server whose requests to the API server go through a proxy, and waits until it is ready.
func (s *site) launch(proxy http.Handler) (server *exec.Cmd, base string) {
	s.Helper()
	front := httptest.NewServer(proxy)
	s.Cleanup(front.Close)
	kubeconfig := strings.ReplaceAll(kubeconfig, "https://127.0.0.1:1", front.URL)
	address, health := freeAddress(s.T), freeAddress(s.T)
	server = exec.Command(os.Args[0], "--listen-address="+address, "--health-address="+health,
		"--kubeconfig="+writeFile(s.T, kubeconfig), "--database-url="+s.database, "--jwt-key-file="+s.keys,
		"--admin-password-file="+s.password)
	server.Env = append(os.Environ(), asProcess+"=true")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if s.Failed() {
			s.Logf("a server:\n%s", &log)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + health + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return server, "http://" + address
			}
		}
		if time.Now().After(deadline) {
			s.Fatal("the server is not ready")
		}
	}
}

// toCluster passes requests on to the API server of the tests.
func toCluster(t *testing.T) *httputil.ReverseProxy {
	t.Helper()
	config := rest.CopyConfig(clustertest.Config(t))
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, FlushInterval: -1,
	}
}

// trigger starts a run with a key. An error means that there is no answer.
func (s *site) trigger(base, token string) (status int, run struct{ UID, Name string }, err error) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost,
		base+"/api/v1/namespaces/"+s.namespace+"/dags/etl/runs", strings.NewReader("{}"))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "once")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, run, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, run, json.NewDecoder(resp.Body).Decode(&run)
}

// TestKilledWithinATrigger kills a server by SIGKILL before or after the API server has created the DagRun of a
// trigger, always before the response. The same request to another replica results in one run. The audit has the intent
// of both.
func TestKilledWithinATrigger(t *testing.T) {
	for name, isCreated := range map[string]bool{
		"before the DagRun is created": false, "after the DagRun was created": true,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{Name: "etl"}}
			d.Spec.Task = []v1alpha1.Task{{Name: "load", TaskTemplate: v1alpha1.TaskTemplate{Image: "busybox"}}}
			if _, err := s.clients.KontrolerV1alpha1().DAGs(s.namespace).Create(
				t.Context(), d, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			proxy, victim := toCluster(t), make(chan *os.Process, 1)
			killed, first := s.launch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/dagruns") {
					proxy.ServeHTTP(w, r)
					return
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if r.Body = io.NopCloser(bytes.NewReader(body)); isCreated {
					proxy.ServeHTTP(httptest.NewRecorder(), r)
				}
				if err := (<-victim).Kill(); err != nil {
					t.Error(err)
				}
				<-r.Context().Done() // until the connection has gone with its process
			}))
			victim <- killed.Process
			_, second := s.launch(toCluster(t))
			_, token := tryLogin(t, http.DefaultClient, second, "admin", adminPassword)
			if status, _, err := s.trigger(first, token); err == nil {
				t.Fatalf("the server has answered: %d", status)
			}
			want := map[bool]int{false: http.StatusCreated, true: http.StatusOK}[isCreated]
			status, run, err := s.trigger(second, token)
			if err != nil || status != want {
				t.Fatalf("the repeat: status %d, want %d, %v", status, want, err)
			}
			if status, again, err := s.trigger(second, token); err != nil || status != http.StatusOK || again != run {
				t.Errorf("once more: status %d, %v after %v, %v", status, again, run, err)
			}
			list, err := s.clients.KontrolerV1alpha1().DagRuns(s.namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil || len(list.Items) != 1 || string(list.Items[0].UID) != run.UID {
				t.Errorf("DagRuns %v, want one with the UID %s: %v", list.Items, run.UID, err)
			}
			s.checkIntents(second, token, isCreated)
		})
	}
}

// checkIntents checks that the audit has the trigger of the killed server, without an outcome. It has the repeated
// request only if that created the DagRun.
func (s *site) checkIntents(base, token string, isCreated bool) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet,
		base+"/api/v1/audit?object=dags/"+s.namespace+"/etl", nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	var audit struct {
		Items []struct{ Action, Outcome string }
	}
	if err := json.Unmarshal(body, &audit); err != nil {
		s.Fatal(err)
	}
	var outcomes []string
	for _, entry := range audit.Items {
		outcomes = append(outcomes, entry.Action+" "+entry.Outcome)
	}
	want := "dag.trigger succeeded, dag.trigger "
	if isCreated {
		want = "dag.trigger "
	}
	if got := strings.Join(outcomes, ", "); got != want {
		s.Errorf("the audit has %q, want %q\n%s", got, want, body)
	}
}
