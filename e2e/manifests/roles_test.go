package manifests_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	preflight "kontroler/controller/install"
)

// account is a service account.
type account struct{ namespace, name string }

// The controller's service account has exactly the rights that the controller checks at start: one more would be
// privilege for nothing, one less would stop the controller.
func TestRights(t *testing.T) {
	teams := []string{"team-a", "team-b"}
	tests := map[string]struct {
		namespaces []string
		secrets    []string // rights beside those that are checked
	}{
		"quickstart": {},
		"production": {},
		"production with the right to read Secrets": {secrets: []string{"get secrets in all namespaces"}},
		"production in two namespaces":              {namespaces: teams},
		"production in two namespaces with the right to read Secrets": {
			namespaces: teams,
			secrets:    []string{"get secrets in namespace team-a", "get secrets in namespace team-b"},
		},
	}
	c := connect(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := append(checkedAtStart(t, c.config, test.namespaces), test.secrets...)
			slices.Sort(want)
			got := grants(t, install(t, name), account{namespace, "kontroler-controller"})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rights (-checked by the controller +granted):\n%s", diff)
			}
		})
	}
}

// The server's service account has what the routes of the API need, in the namespaces of the DAGs, and nothing else. It
// reads no Secret. The suite install proves that each of the verbs is used.
func TestRightsOfTheServer(t *testing.T) {
	verbs := map[string][]string{
		"dags.kontroler.greedykomodo":     {"get", "list", "watch", "create", "update", "patch", "delete"},
		"dagtasks.kontroler.greedykomodo": {"get", "list", "watch", "create", "update", "delete"},
		"dagruns.kontroler.greedykomodo":  {"get", "list", "create", "patch", "delete"},
		"pods":                            {"get"},
		"pods/log":                        {"get"},
	}
	for name, places := range map[string][]string{
		"quickstart":                   {"in all namespaces"},
		"production":                   {"in all namespaces"},
		"production in two namespaces": {"in namespace team-a", "in namespace team-b"},
		"production with the right to read Secrets":                   {"in all namespaces"},
		"production in two namespaces with the right to read Secrets": {"in namespace team-a", "in namespace team-b"},
		"quickstart without the server":                               nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, place := range places {
				for resource, allowed := range verbs {
					for _, verb := range allowed {
						want = append(want, verb+" "+resource+" "+place)
					}
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, grants(t, install(t, name), account{namespace, "kontroler-server"})); diff != "" {
				t.Errorf("rights (-want +got):\n%s", diff)
			}
		})
	}
}

// The uninstaller has an account of its own, which can do nothing but find Pods and Leases and patch Pods.
func TestRightsOfTheUninstaller(t *testing.T) {
	want := []string{
		"get pods in all namespaces", "list leases.coordination.k8s.io in all namespaces",
		"list pods in all namespaces", "patch pods in all namespaces",
	}
	objects := install(t, "uninstall")
	if diff := cmp.Diff(want, grants(t, objects, account{namespace, "kontroler-uninstall"})); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	for _, template := range templates(t, objects) {
		if template.Spec.ServiceAccountName != "kontroler-uninstall" {
			t.Errorf("the Job runs as %q", template.Spec.ServiceAccountName)
		}
	}
}

// checkedAtStart returns the rights that the controller asks the API server for when it starts.
func checkedAtStart(t *testing.T, config *rest.Config, namespaces []string) []string {
	t.Helper()
	asked := &reviews{}
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeJSON
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if err := asked.record(r); err != nil {
				return nil, err
			}
			return next.RoundTrip(r)
		})
	})
	if _, err := preflight.Preflight(t.Context(), preflight.PreflightConfig{
		Kube: kubernetes.NewForConfigOrDie(config), Namespaces: namespaces, LeaseNamespace: namespace, ReadsLogs: true,
	}); err != nil {
		t.Fatal(err)
	}
	return asked.rights
}

// reviews records what SelfSubjectAccessReviews ask for.
type reviews struct {
	mu     sync.Mutex
	rights []string
}

func (a *reviews) record(r *http.Request) error {
	if !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var review authorizationv1.SelfSubjectAccessReview
	if err := json.Unmarshal(body, &review); err != nil {
		return err
	}
	asked := review.Spec.ResourceAttributes
	resource := asked.Resource
	if asked.Subresource != "" {
		resource += "/" + asked.Subresource
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rights = append(a.rights, right(asked.Verb, asked.Group, resource, asked.Name, asked.Namespace))
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// right describes one verb on one resource: "get pods/log in namespace a".
func right(verb, group, resource, name, namespace string) string {
	text := verb + " " + resource
	if group != "" {
		text += "." + group
	}
	if name != "" {
		text += " " + name
	}
	if namespace != "" {
		return text + " in namespace " + namespace
	}
	return text + " in all namespaces"
}

// grants returns the rights that the bindings among the objects give to a service account, sorted.
func grants(t *testing.T, objects []*unstructured.Unstructured, to account) []string {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, object := range objects {
		if object.GetKind() == "ClusterRole" || object.GetKind() == "Role" {
			var role rbacv1.ClusterRole
			convert(t, object, &role)
			rules[describe(object)] = role.Rules
		}
	}
	var rights []string
	for _, object := range objects {
		if object.GetKind() != "ClusterRoleBinding" && object.GetKind() != "RoleBinding" {
			continue
		}
		var binding rbacv1.RoleBinding
		convert(t, object, &binding)
		role := binding.RoleRef.Kind + " " + binding.RoleRef.Name
		if binding.RoleRef.Kind == "Role" {
			role = "Role " + binding.Namespace + "/" + binding.RoleRef.Name
		}
		if rules[role] == nil {
			t.Errorf("%s is bound to %s, which is not there", describe(object), role)
		}
		want := rbacv1.Subject{Kind: "ServiceAccount", Name: to.name, Namespace: to.namespace}
		if slices.Contains(binding.Subjects, want) {
			rights = append(rights, expand(rules[role], binding.Namespace)...)
		}
	}
	slices.Sort(rights)
	return rights
}

// expand returns the rights of rules in a namespace, or in all if it is empty.
func expand(rules []rbacv1.PolicyRule, namespace string) []string {
	var rights []string
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					for _, verb := range rule.Verbs {
						rights = append(rights, right(verb, group, resource, name, namespace))
					}
				}
			}
		}
	}
	return rights
}

func convert(t *testing.T, object *unstructured.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.
		FromUnstructuredWithValidation(object.Object, into, false); err != nil {
		t.Fatalf("%s: %v", describe(object), err)
	}
}

// Kubernetes' own roles include the custom resources: view reads them, edit and admin also write them. Nobody may write
// a status.
func TestAggregatedRoles(t *testing.T) {
	c := connect(t)
	in := c.namespace(t)
	dir := workspace(t)
	// The suffix keeps the ClusterRoles apart from those of an installation.
	write(t, dir+"/kustomization.yaml", "nameSuffix: -"+in+"\nresources: [../kontroler/manifests/controller]\n")
	for _, object := range render(t, dir) {
		for label := range object.GetLabels() {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
				c.createClusterRole(t, object)
				break
			}
		}
	}
	reads, writes := []string{"get", "list", "watch"},
		[]string{"create", "update", "patch", "delete", "deletecollection"}
	for role, allowed := range map[string][]string{
		"view": reads, "edit": slices.Concat(reads, writes), "admin": slices.Concat(reads, writes),
	} {
		t.Run(role, func(t *testing.T) {
			user := in + "-" + role
			if _, err := c.kube.RbacV1().RoleBindings(in).Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: role},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}},
			}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, resource := range []string{"dags", "dagruns", "dagtasks"} {
				for _, verb := range slices.Concat(reads, writes) {
					c.checkAccess(t, user, in, verb, resource, "", slices.Contains(allowed, verb))
				}
				for _, verb := range []string{"update", "patch"} {
					c.checkAccess(t, user, in, verb, resource, "status", false)
				}
			}
		})
	}
}

// createClusterRole creates a ClusterRole until the test ends.
func (c cluster) createClusterRole(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	var role rbacv1.ClusterRole
	convert(t, object, &role)
	if _, err := c.kube.RbacV1().ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := c.kube.RbacV1().ClusterRoles().Delete(ctx, role.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// checkAccess checks whether a user has a verb. The cluster aggregates roles, and takes over bindings, a moment later.
func (c cluster) checkAccess(t *testing.T, user, in, verb, resource, subresource string, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		review, err := c.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: in, Verb: verb, Group: "kontroler.greedykomodo",
					Resource: resource, Subresource: subresource,
				},
			},
		}, metav1.CreateOptions{})
		return err == nil && review.Status.Allowed == want, err
	})
	if err != nil {
		t.Errorf("%s %s/%s: want allowed=%v: %v", verb, resource, subresource, want, err)
	}
}
