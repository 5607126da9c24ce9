package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/httpapi"
	"kontroler/httpapi/cluster"
	"kontroler/store"
	"kontroler/store/accounts"
)

// closedHistory is a liveHistory with a server that may read the first of two namespaces, but not the second.
type closedHistory struct {
	*liveHistory
	open, closed *color
	account      *clustertest.Account
	tokens       map[string]string // of who may read both
}

const serverRole = "../manifests/components/namespaced/role/server-role.yaml"

func newClosedHistory(t *testing.T) *closedHistory {
	t.Helper()
	l := newLiveHistory(t)
	h := &closedHistory{liveHistory: l, open: l.colors[0], closed: l.colors[1]}
	h.account = clustertest.NewAccount(t, l.config, h.open.namespace)
	h.account.Grant(t, h.open.namespace, serverRole)
	h.serve(h.account.Config)
	l.user("both", annPassword, accounts.Access{Grants: []accounts.Grant{
		{Namespace: h.open.namespace, Role: "viewer"}, {Namespace: h.closed.namespace, Role: "viewer"},
	}})
	h.tokens = map[string]string{"root": l.login("root", rootPassword), "both": l.login("both", annPassword)}
	h.await("the open namespace is read", func() bool {
		return h.do(request{method: "GET", path: "/api/v1/dags", token: h.tokens["root"]}).StatusCode == http.StatusOK
	})
	return h
}

// serve replaces the server by one that reaches the cluster by another configuration.
func (h *closedHistory) serve(config *rest.Config) {
	h.Helper()
	clients, err := cluster.New(config, cluster.OwnManager+"/test")
	h.must(err)
	live := runReader(h.T, clients, h.open.namespace, h.closed.namespace)
	h.replica = h.world.replica(func(c *httpapi.Config) {
		c.Views, c.Quarters, c.Cluster, c.Clients, c.Namespaces = h.views, h.counts, live, clients, live.Namespaces()
	})
}

// lacking returns what an answer says of namespaces that it lacks.
func lacking(answer any) (lacks []string) {
	list, _ := answer.(map[string]any)["unavailableNamespaces"].([]any)
	for _, u := range list {
		fields := u.(map[string]any)
		lacks = append(lacks, fmt.Sprint(fields["namespace"], ": ", fields["detail"]))
	}
	return lacks
}

// closedWord is what an answer says of the closed namespace.
func (h *closedHistory) closedWord(kind, verb string) []string {
	return []string{fmt.Sprintf("%s: Kubernetes does not let the server %s %s in namespace %[1]s. The namespace is "+
		"gone, or lacks the server's Role (manifests/README.md).", h.closed.namespace, verb, kind)}
}

// TestClosedNamespace checks the lists of a caller who may see two namespaces, one of which the server may not read.
// They have the items of the other namespace and name the unreadable one, until the server may read it.
func TestClosedNamespace(t *testing.T) {
	h := newClosedHistory(t)
	gone := store.DAG{CreatedAt: h.clock.now(), Name: "gone"}
	for _, c := range h.colors {
		gone.Namespace, gone.UID = c.namespace, c.uid(2000)
		_, err := h.leader.DAGs.SaveVersion(t.Context(), gone, []byte(`{}`), [32]byte{9}, 1, h.clock.now())
		h.must(err)
		h.must(h.leader.DAGs.MarkDeleted(t.Context(), c.namespace, "gone", h.clock.now()))
	}
	watched := "list and watch"
	type want struct {
		field            string
		open, closed     []string
		kind, verb, path string
	}
	lists := []want{
		{"name", []string{"bad-amber", "etl-amber"}, []string{"bad-cobalt", "etl-cobalt"}, "dags", watched, "dags"},
		{"name", []string{"etl-amber"}, []string{"etl-cobalt"}, "dags", watched, "dags?lastRun=Live"},
		{"name", []string{"gone"}, []string{"gone"}, "dags", watched, "dags?deleted=true"},
		{"name", []string{"shared-amber"}, []string{"shared-cobalt"}, "dagtasks", watched, "dagtasks"},
		{"dag", []string{"etl-amber"}, []string{"etl-cobalt"}, "dags", watched, "upcoming"},
		{"name", []string{"waits-amber"}, []string{"waits-cobalt"}, "dagruns", "list", "pending"},
	}
	for user, token := range h.tokens {
		for _, list := range lists {
			body := h.want(200, request{method: "GET", path: "/api/v1/" + list.path, token: token})
			lacks := h.closedWord(list.kind, list.verb)
			got := itemsOf(body, list.field)
			if !slices.Equal(got, list.open) || !slices.Equal(lacking(body), lacks) {
				t.Errorf("%s for %s: %v, lacking %q; want %v, lacking %q", list.path, user, got, lacking(body),
					list.open, lacks)
			}
			alone := h.do(request{
				method: "GET", path: "/api/v1/namespaces/" + h.closed.namespace + "/" + list.path, token: token,
			})
			if !strings.Contains(string(alone.body), "Kubernetes does not let the server") || alone.StatusCode != 503 {
				t.Errorf("%s of the closed namespace: status %d: %s", list.path, alone.StatusCode, alone.body)
			}
		}
		namespaces := h.want(200, request{method: "GET", path: "/api/v1/namespaces", token: token})
		known := map[string]string{h.open.namespace: "2", h.closed.namespace: "<nil>"}
		for i, name := range itemsOf(namespaces, "name") {
			if dags := itemsOf(namespaces, "dags")[i]; known[name] != dags {
				t.Errorf("namespace %s has %s DAGs, want %s", name, dags, known[name])
			}
		}
		if lacks := h.closedWord("dags", watched); !slices.Equal(lacking(namespaces), lacks) {
			t.Errorf("namespaces: %v", namespaces)
		}
	}
	own := h.want(200, request{method: "GET", path: "/api/v1/dags", token: h.open.token})
	if got := itemsOf(own, "name"); !slices.Equal(got, lists[0].open) || own["unavailableNamespaces"] != nil {
		t.Errorf("for whoever may not see the closed namespace: %v", own)
	}
	token := h.tokens["root"]
	first := h.want(200, request{method: "GET", path: "/api/v1/dags?limit=1", token: token})
	second := h.want(200, request{
		method: "GET", path: "/api/v1/dags?limit=1&cursor=" + fmt.Sprint(first["next"]), token: token,
	})
	if got := append(itemsOf(first, "name"), itemsOf(second, "name")...); !slices.Equal(got, lists[0].open) ||
		!slices.Equal(lacking(first), lacking(second)) || second["next"] != nil {
		t.Errorf("two pages: %v, lacking %q and %q", got, lacking(first), lacking(second))
	}
	attention := h.want(200, request{method: "GET", path: "/api/v1/attention", token: token})
	if got := itemsOf(attention["invalid"].(map[string]any), "name"); !slices.Equal(got, []string{"bad-amber"}) ||
		!slices.Equal(lacking(attention["invalid"]), h.closedWord("dags", watched)) ||
		!slices.Equal(lacking(attention["pending"]), h.closedWord("dagruns", "list")) {
		t.Errorf("what needs attention: %v", attention)
	}

	h.account.Grant(t, h.closed.namespace, serverRole)
	for _, list := range lists {
		q := request{method: "GET", path: "/api/v1/" + list.path, token: token}
		h.await(list.path+" has both namespaces", func() bool {
			body := h.want(200, q)
			return slices.Equal(itemsOf(body, list.field), append(slices.Clone(list.open), list.closed...)) &&
				body["unavailableNamespaces"] == nil
		})
	}
}

// TestClosedKind checks that the list of what needs attention names a kind that the server may not read.
func TestClosedKind(t *testing.T) {
	h := newClosedHistory(t)
	config := rest.CopyConfig(h.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return withoutKinds{next, []string{"dagruns"}} })
	h.serve(config)
	var attention map[string]any
	h.await("the DAGs are read", func() bool {
		attention = h.want(200, request{method: "GET", path: "/api/v1/attention", token: h.tokens["root"]})
		return attention["invalid"] != nil
	})
	want := map[string]any{
		"names": []string{"bad-amber", "bad-cobalt"}, "pending": nil,
		"unavailable": "The cluster has no dagruns. Their definitions are in manifests/crd.",
	}
	got := map[string]any{
		"names":   itemsOf(attention["invalid"].(map[string]any), "name"),
		"pending": attention["pending"], "unavailable": attention["unavailable"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what needs attention (-want +got):\n%s", diff)
	}
}
