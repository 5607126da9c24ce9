package install_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/apis/tlstest"
	"kontroler/e2e/readme"
)

// password has what must be escaped in a URL, in YAML, in SQL, in a shell and in a connection string.
const password = `pä ss'"\$%2F&/:@?#{}|~^` + "`=;"

// production is an installation with a PostgreSQL outside of the cluster, and webhooks that have certificates of a
// private CA.
type production struct {
	*site
	dir      string // a user's kustomization
	host     net.IP // an address of this machine that Pods reach
	database database
	receiver *receiver
	ca       map[string]tlstest.Authority // by ConfigMap
	client   string                       // has the certificates that the README makes
}

func newProduction(t *testing.T, s *site) *production {
	t.Helper()
	p := &production{site: s, host: s.hostAddress(t), ca: map[string]tlstest.Authority{
		"kontroler-database-ca": tlstest.New(t), "kontroler-webhook-ca": tlstest.New(t),
	}}
	p.database = startDatabase(t, p.host, p.ca["kontroler-database-ca"], password)
	p.receiver = startReceiver(t, p.host, p.ca["kontroler-webhook-ca"])
	return p
}

// hostAddress returns the address that this machine has in the network of the cluster.
func (s *site) hostAddress(t *testing.T) net.IP {
	t.Helper()
	var nodes corev1.NodeList
	s.get(t, "nodes", &nodes)
	conn, err := net.Dial("udp", net.JoinHostPort(nodes.Items[0].Status.Addresses[0].Address, "9")) // sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP
}

// kustomization writes a user's kustomization of a directory of manifests, with images of the registry and examples of
// manifests/README.md.
func (s *site) kustomization(t *testing.T, resource, tag string, examples ...readme.Example) string {
	t.Helper()
	dir := filepath.Join(s.dir, filepath.Base(resource))
	own := []string{fmt.Sprintf("resources: [../kontroler/manifests/%s]\n", resource)}
	for _, program := range programs {
		own = append(own, fmt.Sprintf("images: [{name: localhost/kontroler-%s, newName: %s, newTag: %s}]\n",
			program, strings.TrimSuffix(s.image(program, ""), ":"), tag))
	}
	examples = append(examples, readme.Example{"kustomization.yaml": own})
	if err := readme.Lay(dir, examples...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// listing makes the server list before it watches, as it does if the API server streams no lists (before Kubernetes
// 1.34). The server of the quickstart has them streamed. So each permission of the server is needed.
var listing = readme.Example{
	"kustomization.yaml": {"patches: [{path: listing.yaml}]\n"},
	"listing.yaml": {`
apiVersion: apps/v1
kind: Deployment
metadata: {name: kontroler-server}
spec:
  template:
    spec:
      containers:
      - name: server
        env: [{name: KUBE_FEATURE_WatchListClient, value: "false"}]
`},
}

// roll applies the installation with a tag of the image, and waits until only its Pods are left.
func (p *production) roll(t *testing.T, tag string) {
	t.Helper()
	examples, err := readme.Examples(filepath.Join(root, "manifests", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	database := examples["Database"]
	for file, role := range map[string]string{
		"database.yaml": "kontroler", "server-database.yaml": "kontroler_server",
	} {
		const host = "@db.example.com/"
		if len(database[file]) != 1 || !strings.Contains(database[file][0], role+host) {
			t.Fatalf("the example %s of manifests/README.md does not have %s%s:\n%s", file, role, host, database[file])
		}
		database[file][0] = strings.Replace(database[file][0], host, "@"+p.database.address+"/", 1)
	}
	p.dir = p.kustomization(t, "overlays/production", tag, database,
		examples["Webhooks with a certificate of a private CA"], examples["Client certificates"], listing)
	p.shell(t, "kubectl apply -k "+p.dir)
	for _, program := range programs {
		p.shell(t, waitsReady(program))
		p.eventually(t, "two Pods of "+tag, func() (bool, string) {
			is := []string{}
			for _, pod := range p.pods(t, program) {
				is = append(is, pod.Spec.Containers[0].Image)
			}
			return cmp.Equal(is, []string{p.image(program, tag), p.image(program, tag)}), fmt.Sprint(is)
		})
	}
}

// install replaces quickstart. All sessions with the database are encrypted.
func (p *production) install(t *testing.T) {
	p.shell(t, "kubectl delete deployment kontroler-controller -n "+namespace+" --cascade=foreground")
	p.shell(t, "kubectl delete -k manifests/overlays/quickstart --ignore-not-found")
	file := filepath.Join(p.site.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	p.shell(t, "kubectl delete secret kontroler-database kontroler-server -n "+namespace)
	p.shell(t, "kubectl create secret generic kontroler-database -n "+namespace+" --from-file=password="+file)
	p.shell(t, "kubectl create secret generic kontroler-server -n "+namespace+" --from-file=database-password="+file+
		` --from-literal=admin-password="$(openssl rand -hex 12)" --from-literal=jwt-keys="$(openssl rand -base64 48)"`)
	p.certificates(t)
	for _, name := range slices.Sorted(maps.Keys(p.ca)) {
		file := filepath.Join(p.site.dir, "ca.crt")
		if err := os.WriteFile(file, p.ca[name].PEM, 0o644); err != nil {
			t.Fatal(err)
		}
		p.shell(t, "kubectl create configmap "+name+" -n "+namespace+" --from-file="+file)
	}
	p.roll(t, p.version)
	for _, role := range []string{"kontroler", "kontroler_server"} {
		var sessions, encrypted int
		err := p.database.QueryRow(`SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_activity a
			JOIN pg_stat_ssl s USING (pid) WHERE a.usename = $1`, role).Scan(&sessions, &encrypted)
		if err != nil || sessions == 0 || encrypted != sessions {
			t.Errorf("%d of %d sessions of %s are encrypted (%v)", encrypted, sessions, role, err)
		}
	}
}

// certificates makes the certificates of the server and of a client, by the lines of manifests/README.md.
func (p *production) certificates(t *testing.T) {
	t.Helper()
	script, err := readme.Commands(filepath.Join(root, "manifests", "README.md"), "Client certificates")
	if err != nil {
		t.Fatal(err)
	}
	p.client = filepath.Join(p.site.dir, "certificates")
	if err := os.Mkdir(p.client, 0o700); err != nil {
		t.Fatal(err)
	}
	p.shell(t, "cd '"+p.client+"'\n"+script)
}

// api returns the API by its Service, which this machine reaches, for a client with a certificate.
func (p *production) api(t *testing.T) api {
	t.Helper()
	const host = "kontroler-server.kontroler.svc:8443"
	address := p.shell(t, "kubectl get service kontroler-server -n "+namespace+" -o jsonpath={.spec.clusterIP}")
	file := func(name string) string { return filepath.Join(p.client, name) }
	return api{url: "https://" + host, options: []string{
		"--noproxy", "*", "--resolve", host + ":" + address, "--cacert", file("ca.crt"),
		"--cert", file("ann.crt"), "--key", file("ann.key"),
	}}
}

// people lets people live behind mTLS. Who has no certificate gets no answer.
func (p *production) people(t *testing.T) {
	at := p.api(t)
	stranger := &person{api: api{url: at.url, options: at.options[:6]}}
	if got, err := stranger.try(t, http.MethodPost, "/auth/login", ""); err == nil {
		t.Errorf("without a certificate: %d %s", got.status, got.body)
	}
	p.peopleLive(t, at, "production")
}

// pods returns the Pods of a program, also those that end.
func (p *production) pods(t *testing.T, program string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	p.get(t, "pods -n "+namespace+" -l app.kubernetes.io/component="+program, &pods)
	return pods.Items
}

// leader returns the name of the Pod that holds the Lease, or nothing.
func (p *production) leader(t *testing.T) string {
	t.Helper()
	var leases coordinationv1.LeaseList
	p.get(t, "leases -n "+namespace+" -l "+v1alpha1.LabelController, &leases)
	for _, lease := range leases.Items {
		if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
			pod, _, _ := strings.Cut(*holder, "_")
			return pod
		}
	}
	return ""
}

// run starts a DagRun of DAG steps, whose tasks take some seconds, and waits until its first task runs.
func (p *production) run(t *testing.T, name string) {
	t.Helper()
	p.apply(t, dags, fmt.Sprintf(`
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: steps}
spec:
  webhook: {url: "%s/steps", verifySSL: true}
  task:
  - {name: first, image: "busybox:1.36", command: [sleep, "4"]}
  - {name: second, image: "busybox:1.36", command: [sleep, "4"], runAfter: [first]}
  - {name: third, image: "busybox:1.36", command: [sleep, "1"], runAfter: [second]}
---
apiVersion: kontroler.greedykomodo/v1alpha1
kind: DagRun
metadata: {name: %s}
spec: {dagName: steps}`, p.receiver.url, name))
	p.eventually(t, "the first task of "+name, func() (bool, string) {
		out := p.shell(t, "kubectl get pods --no-headers -n "+dags+" | grep ^"+name+"- || true")
		return strings.Contains(out, "Running"), out
	})
}

// checkRun waits until a DagRun of DAG steps has succeeded. Each task ran once, and each end was notified once.
func (p *production) checkRun(t *testing.T, name string) {
	t.Helper()
	p.shell(t, "kubectl wait --for=condition=Succeeded dagrun/"+name+" --timeout=2m -n "+dags)
	rows, err := p.database.Query(`SELECT t.name || ' ' || a.number || ' ' || a.phase FROM kontroler_v1.runs r
		JOIN kontroler_v1.tasks t ON t.run_id = r.id JOIN kontroler_v1.attempts a ON a.task_id = t.id
		WHERE r.name = $1 ORDER BY a.id`, name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var attempts []string
	for rows.Next() {
		var attempt string
		if err := rows.Scan(&attempt); err != nil {
			t.Fatal(err)
		}
		attempts = append(attempts, attempt)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := []string{"first 1 Succeeded", "second 1 Succeeded", "third 1 Succeeded"}
	if diff := cmp.Diff(want, attempts); diff != "" {
		t.Errorf("attempts of %s (-want +got):\n%s", name, diff)
	}
	wantEvents := []string{"TaskSucceeded", "TaskSucceeded", "TaskSucceeded", "RunSucceeded"}
	p.eventually(t, "the notifications of "+name, func() (bool, string) {
		got := p.receiver.events(name)
		return len(got) >= len(wantEvents), fmt.Sprint(got)
	})
	if diff := cmp.Diff(wantEvents, p.receiver.events(name)); diff != "" {
		t.Errorf("notifications of %s (-want +got):\n%s", name, diff)
	}
}

// webhook runs a DAG that notifies the HTTPS server, whose certificate Debian's CAs have not signed.
func (p *production) webhook(t *testing.T) {
	p.run(t, "notified-1")
	p.checkRun(t, "notified-1")
}

// killLeader kills the process of the leader and deletes its Pod while a DAG runs. Another Pod leads when the Lease has
// expired, and every task runs once. That Pod is the standby, unless the one that replaces the leader is faster.
func (p *production) killLeader(t *testing.T) {
	pods, name := p.pods(t, "controller"), p.leader(t)
	i := slices.IndexFunc(pods, func(pod corev1.Pod) bool { return pod.Name == name })
	if i < 0 || len(pods) != 2 {
		t.Fatalf("the leader is %q of %d Pods, want one of two", name, len(pods))
	}
	p.run(t, "survivor-1")
	killProcesses(t, string(pods[i].UID), "controller")
	p.shell(t, "kubectl delete pod "+name+" -n "+namespace+" --grace-period=0 --force")
	p.eventually(t, "another Pod to lead", func() (bool, string) {
		is := p.leader(t)
		return is != name && is != "", is
	})
	p.checkRun(t, "survivor-1")
}

// killProcesses kills the processes of a program in a Pod of a node of this machine, without a warning.
func killProcesses(t *testing.T, podUID, program string) {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, file := range groups {
		group, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(group), podUID) {
			continue // the process has ended, or is another Pod's
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if err != nil || strings.TrimSpace(string(name)) != program {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed != 1 {
		t.Fatalf("%d processes of %s in Pod %s were killed, want 1", killed, program, podUID)
	}
}

// upgrade rolls to another tag while a DAG runs and somebody reads. No process crashed, every task runs once, and every
// request is answered.
func (p *production) upgrade(t *testing.T) {
	p.run(t, "upgraded-1")
	answers := p.keepReading(t)
	p.roll(t, "dev")
	p.checkRun(t, "upgraded-1")
	if n := answers(); n < 20 {
		t.Errorf("only %d requests were answered during the upgrade", n)
	}
	names := []string{}
	for _, pod := range slices.Concat(p.pods(t, "controller"), p.pods(t, "server")) {
		names = append(names, pod.Name)
		if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("%s restarted %d times", pod.Name, n)
		}
	}
	if leader := p.leader(t); !slices.Contains(names, leader) {
		t.Errorf("the leader is %q, want one of %v", leader, names)
	}
}

// keepReading sends requests, one after the other, each by a connection of its own. The function that it returns ends
// that, and returns how many were answered. Each must be.
func (p *production) keepReading(t *testing.T) func() int {
	t.Helper()
	admin := p.loginAsAdmin(t, p.api(t))
	stop, answered := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				answered <- n
				return
			default:
			}
			if got, err := admin.try(t, http.MethodGet, "/runs", ""); err != nil || got.status != http.StatusOK {
				t.Errorf("a request during the upgrade: %v, %d %s", err, got.status, got.body)
			}
			n++
		}
	}()
	return func() int {
		close(stop)
		return <-answered
	}
}
