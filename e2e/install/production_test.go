package install_test

import (
	"fmt"
	"maps"
	"net"
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
	ca       map[string]authority // by ConfigMap
}

func newProduction(t *testing.T, s *site) *production {
	t.Helper()
	p := &production{site: s, host: s.hostAddress(t), ca: map[string]authority{
		"kontroler-database-ca": newAuthority(t, "databases"), "kontroler-webhook-ca": newAuthority(t, "webhooks"),
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

// kustomization writes a user's kustomization of a directory of manifests, with an image of the registry and examples
// of manifests/README.md.
func (s *site) kustomization(t *testing.T, resource, tag string, examples ...readme.Example) string {
	t.Helper()
	dir := filepath.Join(s.dir, filepath.Base(resource))
	examples = append(examples, readme.Example{"kustomization.yaml": {
		fmt.Sprintf("resources: [../kontroler/manifests/%s]\n", resource),
		fmt.Sprintf("images: [{name: localhost/kontroler-controller, newName: %s, newTag: %s}]\n",
			strings.TrimSuffix(s.image(""), ":"), tag),
	}})
	if err := readme.Lay(dir, examples...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// roll applies the installation with a tag of the image, and waits until only its Pods are left.
func (p *production) roll(t *testing.T, tag string) {
	t.Helper()
	examples, err := readme.Examples(filepath.Join(root, "manifests", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	database := examples["Database"]
	const host = "kontroler@db.example.com/"
	if !strings.Contains(database["database.yaml"][0], host) {
		t.Fatalf("the example of manifests/README.md does not have %s:\n%s", host, database["database.yaml"][0])
	}
	database["database.yaml"][0] = strings.Replace(database["database.yaml"][0], host, "kontroler@"+p.database.address+"/", 1)
	p.dir = p.kustomization(t, "overlays/production", tag, database, examples["Webhooks with a certificate of a private CA"])
	p.shell(t, "kubectl apply -k "+p.dir)
	p.shell(t, waitsReady)
	p.eventually(t, "two Pods of "+tag, func() (bool, string) {
		is := []string{}
		for _, pod := range p.controllers(t) {
			is = append(is, pod.Spec.Containers[0].Image)
		}
		return cmp.Equal(is, []string{p.image(tag), p.image(tag)}), fmt.Sprint(is)
	})
}

// install replaces quickstart. All sessions of the controllers are encrypted.
func (p *production) install(t *testing.T) {
	p.shell(t, "kubectl delete deployment kontroler-controller -n "+namespace+" --cascade=foreground")
	p.shell(t, "kubectl delete -k manifests/overlays/quickstart --ignore-not-found")
	file := filepath.Join(p.site.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	p.shell(t, "kubectl delete secret kontroler-database -n "+namespace)
	p.shell(t, "kubectl create secret generic kontroler-database -n "+namespace+" --from-file=password="+file)
	for _, name := range slices.Sorted(maps.Keys(p.ca)) {
		file := filepath.Join(p.site.dir, "ca.crt")
		if err := os.WriteFile(file, p.ca[name].pem, 0o644); err != nil {
			t.Fatal(err)
		}
		p.shell(t, "kubectl create configmap "+name+" -n "+namespace+" --from-file="+file)
	}
	p.roll(t, p.version)
	var sessions, encrypted int
	err := p.database.QueryRow(`SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_activity a
		JOIN pg_stat_ssl s USING (pid) WHERE a.usename = 'kontroler'`).Scan(&sessions, &encrypted)
	if err != nil || sessions == 0 || encrypted != sessions {
		t.Errorf("%d of %d sessions are encrypted (%v)", encrypted, sessions, err)
	}
}

// controllers returns the Pods of the controller, also those that end.
func (p *production) controllers(t *testing.T) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	p.get(t, "pods -n "+namespace+" -l app.kubernetes.io/component=controller", &pods)
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
	pods, name := p.controllers(t), p.leader(t)
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

// upgrade rolls to another tag while a DAG runs. No controller crashed, and every task runs once.
func (p *production) upgrade(t *testing.T) {
	p.run(t, "upgraded-1")
	p.roll(t, "dev")
	p.checkRun(t, "upgraded-1")
	names := []string{}
	for _, pod := range p.controllers(t) {
		names = append(names, pod.Name)
		if n := pod.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("%s restarted %d times", pod.Name, n)
		}
	}
	if leader := p.leader(t); !slices.Contains(names, leader) {
		t.Errorf("the leader is %q, want one of %v", leader, names)
	}
}
