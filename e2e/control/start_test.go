package control_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kontroler/e2e/harness"
)

// checkRefusal waits until a controller exits with a code, and checks that one line of its log has all words.
func checkRefusal(t *testing.T, c *controller, code int, words ...string) {
	t.Helper()
	if is := c.WaitExit(); is != code {
		t.Errorf("%s exited with %d, want %d", c.Name, is, code)
	}
	var faults, last string
	for line := range strings.Lines(c.Log()) {
		last = line
		// client-go complains when the end of a term interrupts a renewal of the Lease.
		if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "logger=client-go") {
			faults += line
		}
	}
	if code == 1 && (faults == "" || faults != last) {
		t.Errorf("%s does not say in one line why it exits:\n%s", c.Name, c.Log())
	}
	for _, word := range words {
		if !strings.Contains(c.Log(), word) {
			t.Errorf("%s does not say %q:\n%s", c.Name, word, c.Log())
		}
	}
}

// A fault at the start ends the process with one line that says what to do.
func TestStartRefusals(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		options []processOption
		code    int
		words   []string
	}{
		"no database": {
			[]processOption{environment("DATABASE_URL=")}, 2, []string{"DATABASE_URL", "postgres://"},
		},
		"another kind of database": {
			[]processOption{environment("DATABASE_URL=mysql://x:secret-word@y/z")}, 2,
			[]string{"DATABASE_URL", "postgres://"},
		},
		"no such database": {
			[]processOption{environment("DATABASE_URL=" + strings.Replace(w.URL, "/kontroler_test_", "/no_such_", 1))},
			1, []string{"no_such_", "DATABASE_URL"},
		},
		"no kubeconfig": {
			[]processOption{environment("KUBECONFIG=/does/not/exist")}, 1, []string{"/does/not/exist", "kubeconfig"},
		},
		"credentials of nobody": {
			[]processOption{w.withToken("not-a-token")}, 1, []string{"credentials", "kubeconfig"},
		},
		"a reader role that does not exist": {
			[]processOption{flags("--reader-roles=no-such-role")}, 1,
			[]string{"--reader-roles", `CREATE ROLE \"no-such-role\"`},
		},
		"several faults": {
			[]processOption{flags("--max-pods=none", "--no-such-flag", "--lease-duration=1s")}, 2,
			[]string{"--max-pods", "no-such-flag", "--lease-duration"},
		},
	} {
		process := w.Launch(c.options...)
		checkRefusal(t, process, c.code, c.words...)
		if strings.Contains(process.Log(), "secret-word") {
			t.Errorf("%s: the log contains a password", name)
		}
		t.Logf("%s:\n%s", name, process.Log())
	}
}

// A controller waits for an API server that does not answer, and says what to check. It can be stopped meanwhile.
func TestStartWithoutAPIServer(t *testing.T) {
	w := newWorld(t)
	c := w.Launch(w.withServer("https://127.0.0.1:1"))
	c.WaitLog("waiting for the API server")
	for _, word := range []string{"https://127.0.0.1:1", "kubeconfig"} {
		if !strings.Contains(c.Log(), word) {
			t.Errorf("%s does not say %q:\n%s", c.Name, word, c.Log())
		}
	}
	c.Stop()
}

func TestStartWithoutPermissions(t *testing.T) {
	w := newWorld(t)
	w.Apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: weak}}`)
	w.Apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: weak}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
- {apiGroups: [kontroler.greedykomodo], resources: ["*"], verbs: ["*"]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: weak}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: weak}
subjects: [{kind: ServiceAccount, name: weak, namespace: $NS}]
`)
	process := w.Launch(flags("--log-archive=on"), w.withToken(w.tokenOf("weak")))
	checkRefusal(
		t,
		process,
		1,
		"create, patch, delete pods in namespace "+w.Namespace,
		"get, create, delete persistentvolumeclaims",
		"list, watch, create, patch events",
		"get pods/log",
		"get nodes",
		"--namespaces",
	)
	t.Log(process.Log())
}

func TestStartWithoutCustomResources(t *testing.T) {
	w := &world{harness.NewOnOwnCluster(t)}
	process := w.Launch()
	checkRefusal(t, process, 1, "kontroler.greedykomodo/v1alpha1", "kubectl apply -k manifests/crd")
	t.Log(process.Log())
}

// Kubernetes 1.34 and later stream what exists to a watch. Informers of an older API server list it.
func TestWithoutWatchLists(t *testing.T) {
	w := newWorld(t)
	w.ApplyDAG("dag", play("a", ""))
	w.Controller(environment("KUBE_FEATURE_WatchListClient=false"))
	w.Start("run", "dag")
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a"))
}

// tokenOf returns a token of a service account.
func (w *world) tokenOf(account string) string {
	w.T.Helper()
	token, err := w.Kube.CoreV1().
		ServiceAccounts(w.Namespace).
		CreateToken(w.T.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return token.Status.Token
}

// awaitRight waits until the API server grants a service account a verb. It learns of a binding from a watch.
func (w *world) awaitRight(account string, verb ...string) {
	w.T.Helper()
	args := append([]string{"auth", "can-i", "--as=system:serviceaccount:" + w.Namespace + ":" + account}, verb...)
	w.Eventually(account+" may "+strings.Join(verb, " "), patience, func(context.Context) (bool, string) {
		out, err := w.RunKubectl("", args...)
		return err == nil, out
	})
}

// withToken makes a controller use a token.
func (w *world) withToken(token string) processOption {
	w.T.Helper()
	file := filepath.Join(w.T.TempDir(), "kubeconfig")
	if err := harness.WriteTokenKubeconfig(w.Kubeconfig, token, file); err != nil {
		w.T.Fatal(err)
	}
	return environment("KUBECONFIG=" + file)
}

// withServer makes a controller use a server, without credentials.
func (w *world) withServer(url string) processOption {
	w.T.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["server"] = &clientcmdapi.Cluster{Server: url}
	config.Contexts["server"] = &clientcmdapi.Context{Cluster: "server"}
	config.CurrentContext = "server"
	file := filepath.Join(w.T.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		w.T.Fatal(err)
	}
	return environment("KUBECONFIG=" + file)
}
