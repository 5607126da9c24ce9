package install

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
)

// reviewsAtOnce is how many SelfSubjectAccessReviews are under way at a time.
const reviewsAtOnce = 16

// podLogs is the resource that a controller needs only to read logs.
const podLogs = "pods/log"

// permission is a set of verbs on a resource, in the terms of an RBAC rule.
type permission struct {
	group, resource string // resource may have a subresource: dags/status
	verbs           []string
	// namespace is empty for a resource of the cluster, and for all namespaces.
	namespace string
	// name limits the permission to one object.
	name string
	// isClusterScoped says that objects of the resource have no namespace.
	isClusterScoped bool
}

// requiredPermissions returns what a controller needs. It leaves out get on Secrets, which only webhooks with a
// secretRef need. Without it their deliveries fail, with an error that says so.
func requiredPermissions(cfg PreflightConfig) []permission {
	const kontroler = v1alpha1.GroupName
	all := []permission{
		{
			group: "coordination.k8s.io", resource: "leases", verbs: []string{"get", "create", "update"},
			namespace: cfg.LeaseNamespace,
		},
		{resource: "nodes", verbs: []string{"get"}, isClusterScoped: true},
		{resource: "namespaces", verbs: []string{"get"}, name: metav1.NamespaceSystem, isClusterScoped: true},
	}
	inEach := []permission{
		{group: kontroler, resource: "dags", verbs: []string{"get", "list", "watch", "patch"}},
		{group: kontroler, resource: "dags/status", verbs: []string{"patch"}},
		{group: kontroler, resource: "dagruns", verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{group: kontroler, resource: "dagruns/status", verbs: []string{"patch"}},
		{group: kontroler, resource: "dagtasks", verbs: []string{"get", "list", "watch", "patch"}},
		{group: kontroler, resource: "dagtasks/status", verbs: []string{"patch"}},
		{resource: "pods", verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{resource: "persistentvolumeclaims", verbs: []string{"get", "create", "delete"}},
		{resource: "events", verbs: []string{"list", "watch", "create", "patch"}},
	}
	if cfg.ReadsLogs {
		inEach = append(inEach, permission{resource: podLogs, verbs: []string{"get"}})
	}
	namespaces := cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		for _, p := range inEach {
			p.namespace = namespace
			all = append(all, p)
		}
	}
	return all
}

// checkPermissions asks the API server for every verb of every permission. The error names all that are missing. A
// named namespace in which the controller has no permission at all is closed. That is an error only if all are closed:
// deleting one namespace also deletes its Role, and must not keep the controller out of the others.
func checkPermissions(ctx context.Context, cfg PreflightConfig) (closed []string, err error) {
	required := requiredPermissions(cfg)
	missing, err := missingPermissions(ctx, cfg.Kube, required)
	if err != nil {
		return nil, fmt.Errorf("checking the permissions of this user: %w", err)
	}
	for _, namespace := range cfg.Namespaces {
		if namespace != cfg.LeaseNamespace && verbsIn(namespace, missing) == verbsIn(namespace, required) {
			closed = append(closed, namespace)
		}
	}
	if len(closed) < len(cfg.Namespaces) {
		missing = slices.DeleteFunc(missing, func(p permission) bool { return slices.Contains(closed, p.namespace) })
	}
	if len(missing) == 0 {
		return closed, nil
	}
	var lines []string
	remedy := "Apply manifests/controller, or limit the controller with --namespaces"
	for _, p := range missing {
		lines = append(lines, p.String())
		if p.resource == podLogs {
			remedy = "Apply manifests/controller, limit the controller with --namespaces, " +
				"or run it without logs with --log-archive=off"
		}
	}
	return nil, fmt.Errorf("missing permissions: %s. %s", strings.Join(lines, "; "), remedy)
}

// verbsIn counts the verbs of permissions in a namespace.
func verbsIn(namespace string, permissions []permission) int {
	n := 0
	for _, p := range permissions {
		if p.namespace == namespace {
			n += len(p.verbs)
		}
	}
	return n
}

// missingPermissions returns the required permissions that this client lacks.
func missingPermissions(
	ctx context.Context, kube kubernetes.Interface, required []permission,
) (missing []permission, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var reviews sync.WaitGroup
	denied, errs := make([][]string, len(required)), make([]error, len(required)) // by the position of their permission
	slots := make(chan struct{}, reviewsAtOnce)
	for i, p := range required {
		reviews.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, verb := range p.verbs {
				allowed, err := isAllowed(ctx, kube, p, verb)
				if err != nil {
					errs[i] = err
				} else if !allowed {
					denied[i] = append(denied[i], verb)
				}
			}
		})
	}
	reviews.Wait()
	for i, p := range required {
		if len(denied[i]) > 0 {
			p.verbs = denied[i]
			missing = append(missing, p)
		}
	}
	return missing, cmp.Or(errs...)
}

// isAllowed reports whether this client has a verb of a permission.
func isAllowed(ctx context.Context, kube kubernetes.Interface, p permission, verb string) (bool, error) {
	resource, subresource, _ := strings.Cut(p.resource, "/")
	review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: p.namespace, Verb: verb, Group: p.group, Resource: resource, Subresource: subresource,
				Name: p.name,
			}},
		}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// String names a permission as kubectl auth can-i takes it: "create, delete pods in namespace a".
func (p permission) String() string {
	resource, subresource, hasSubresource := strings.Cut(p.resource, "/")
	text := strings.Join(p.verbs, ", ") + " " + resource
	if p.group != "" {
		text += "." + p.group
	}
	if hasSubresource {
		text += "/" + subresource
	}
	switch {
	case p.name != "":
		return text + " " + p.name
	case p.namespace != "":
		return text + " in namespace " + p.namespace
	case p.isClusterScoped:
		return text
	}
	return text + " in all namespaces"
}
