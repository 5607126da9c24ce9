package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const account = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: c, namespace: ns, labels: {app.kubernetes.io/component: controller}}
---
`

const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: r}
rules:
- {apiGroups: [kontroler.greedykomodo], resources: [dags, dags/status], verbs: [patch]}
- {apiGroups: [""], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}
---
`

const binding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: r}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: r}
subjects: [{kind: ServiceAccount, name: c, namespace: ns}]
---
`

// sent returns a request of the account for an object.
func sent(verb, decision string, object objectRef) request {
	return request{
		Verb: verb, RequestURI: "/the/request", User: user{"system:serviceaccount:ns:c"},
		ObjectRef: &object, ReceivedAt: "12:00",
		Annotations: map[string]string{decisionAnnotation: decision},
	}
}

func TestJudgement(t *testing.T) {
	patched := sent("patch", "allow", objectRef{
		APIGroup: "kontroler.greedykomodo", Resource: "dags", Namespace: "e2e-a-x", Name: "dag",
	})
	patchedStatus := sent("patch", "allow", objectRef{
		APIGroup: "kontroler.greedykomodo", Resource: "dags", Subresource: "status", Namespace: "e2e-a-x", Name: "dag",
	})
	gotSystem := sent("get", "allow", objectRef{Resource: "namespaces", Name: "kube-system", Namespace: "kube-system"})
	gotDefault := sent("get", "allow", objectRef{Resource: "namespaces", Name: "default", Namespace: "default"})
	deniedPod := sent("get", "forbid", objectRef{Resource: "pods", Namespace: "e2e-a-x", Name: "one"})
	deniedOtherPod := sent("get", "forbid", objectRef{Resource: "pods", Namespace: "e2e-a-x", Name: "two"})
	deniedNode := sent("get", "forbid", objectRef{Resource: "nodes", Name: "lost"})
	deniedPath := sent("get", "forbid", objectRef{})
	deniedPath.ObjectRef, deniedPath.RequestURI = nil, "/metrics?x=y"
	deniedToAnother := deniedPod
	deniedToAnother.User = user{"system:serviceaccount:ns:another"}
	provokedSecret := sent("get", "forbid", objectRef{
		Resource: "secrets", Namespace: "e2e-webhookwithoutpermission-x", Name: "hook",
	})
	provokedLease := sent("get", "forbid", objectRef{
		APIGroup: "coordination.k8s.io", Resource: "leases", Namespace: "e2e-leaseoutofreach-x", Name: "kontroler-a",
	})
	secretElsewhere := sent("get", "forbid", objectRef{Resource: "secrets", Namespace: "e2e-a-x", Name: "hook"})
	all := []request{patched, patchedStatus, gotSystem, provokedSecret, provokedLease}

	for name, tt := range map[string]struct {
		requests []request
		partial  string
		isRight  bool
		report   []string // each is in the report
		never    []string // none is in the report
	}{
		"all verbs were used, and only provoked requests denied": {
			requests: all, isRight: true,
			report: []string{
				"5 requests in 4 namespaces, 2 of them denied as a test wants", "controller has 3 verbs, and used all",
			},
		},
		"a verb was not used": {
			requests: []request{patched, gotSystem, provokedSecret, provokedLease},
			report:   []string{"no test needed", "patch dags.kontroler.greedykomodo/status controller ClusterRole r"},
			never:    []string{"patch dags.kontroler.greedykomodo controller", "get namespaces", "used all"},
		},
		"a rule that names an object is used only by requests for this object": {
			requests: []request{patched, patchedStatus, gotDefault, provokedSecret, provokedLease},
			report:   []string{"get namespaces kube-system controller ClusterRole r"},
		},
		"only some tests ran": {
			requests: []request{patched}, partial: "only the suite node ran", isRight: true,
			report: []string{"unused verbs are not judged: only the suite node ran"},
			never:  []string{"no test needed", "provoke a", "used all"},
		},
		"requests were denied": {
			requests: append([]request{deniedPod, deniedOtherPod, deniedNode, deniedPath}, all...),
			report: []string{
				"get pods e2e-a-x 2 ns:c 12:00 /the/request", "get nodes none 1 ns:c 12:00 /the/request",
				"get /metrics none 1 ns:c 12:00 /metrics?x=y",
			},
			never: []string{"no test needed", "used all"},
		},
		"a request was denied while only some tests ran": {
			requests: []request{patched, deniedPod}, partial: "x", report: []string{"get pods e2e-a-x 1 ns:c"},
		},
		"what one test provokes is denied in another one": {
			requests: append([]request{secretElsewhere}, all...), report: []string{"get secrets e2e-a-x 1 ns:c"},
		},
		"a test no longer provokes what it should": {
			requests: []request{patched, patchedStatus, gotSystem, provokedSecret},
			report:   []string{"TestLeaseOutOfReach does not provoke a denied get leases.coordination.k8s.io"},
		},
		"another user was denied": {
			requests: append([]request{deniedToAnother}, all...), isRight: true, never: []string{"get pods"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			report, isRight, err := judged(t, account+role+binding, tt.requests, tt.partial)
			if err != nil || isRight != tt.isRight {
				t.Errorf("the roles are right: %v, %v; want %v", isRight, err, tt.isRight)
			}
			for _, want := range tt.report {
				if !strings.Contains(report, want) {
					t.Errorf("no %q in\n%s", want, report)
				}
			}
			for _, never := range tt.never {
				if strings.Contains(report, never) {
					t.Errorf("%q in\n%s", never, report)
				}
			}
		})
	}
}

// Requests that tests provoke of the controller are not missed when another component is judged, nor allowed to it.
func TestAnotherComponent(t *testing.T) {
	manifests := strings.ReplaceAll(account, "component: controller", "component: server") + role + binding
	used := []request{
		sent("patch", "allow", objectRef{
			APIGroup: "kontroler.greedykomodo", Resource: "dags", Namespace: "a", Name: "dag",
		}),
		sent("patch", "allow", objectRef{
			APIGroup: "kontroler.greedykomodo", Resource: "dags", Subresource: "status", Namespace: "a", Name: "dag",
		}),
		sent("get", "allow", objectRef{Resource: "namespaces", Name: "kube-system", Namespace: "kube-system"}),
	}
	report, isRight, err := judged(t, manifests, used, "")
	if err != nil || !isRight || !strings.Contains(report, "server has 3 verbs, and used all") {
		t.Errorf("%v, %v\n%s", isRight, err, report)
	}
	secret := sent("get", "forbid", objectRef{
		Resource: "secrets", Namespace: "e2e-webhookwithoutpermission-x", Name: "s",
	})
	report, isRight, err = judged(t, manifests, append(used, secret), "")
	if err != nil || isRight || !strings.Contains(report, "get secrets") {
		t.Errorf("a secret: %v, %v\n%s", isRight, err, report)
	}
}

// judged runs the check over requests and returns its report, with one space between words.
func judged(t *testing.T, manifests string, requests []request, partial string) (string, bool, error) {
	t.Helper()
	var log, report bytes.Buffer
	for _, r := range requests {
		if err := json.NewEncoder(&log).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(file, log.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	isRight, err := run(strings.NewReader(manifests), []string{file}, partial, &report)
	return strings.Join(strings.Fields(report.String()), " "), isRight, err
}

// A check that judges nothing must not pass.
func TestNothingToJudge(t *testing.T) {
	one := sent("get", "allow", objectRef{Resource: "pods"})
	for name, tt := range map[string]struct {
		manifests string
		requests  []request
		want      string
	}{
		"the logs have no request of an account": {
			manifests: account + role + binding,
			want:      "no request of system:serviceaccount:ns:c is in the audit logs",
		},
		"no role is bound": {
			manifests: account + role, requests: []request{one},
			want: "reading the roles: the manifests bind no role to a service account",
		},
		"the bound role is missing": {
			manifests: account + binding, requests: []request{one},
			want: "reading the roles: ClusterRole r is bound and has no rules",
		},
		"the bound account is missing": {
			manifests: role + binding, requests: []request{one},
			want: "reading the roles: ClusterRole r is bound to ServiceAccount ns/c, which the manifests do not have",
		},
		"a rule grants every verb": {
			manifests: account + strings.ReplaceAll(role, "[patch]", `["*"]`) + binding, requests: []request{one},
			want: `reading the roles: ClusterRole r has a rule with "*". List what it grants`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := judged(t, tt.manifests, tt.requests, "")
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}
