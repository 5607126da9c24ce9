package install

import (
	"context"
	"fmt"
	"maps"
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

// checkPermissions asks the API server for every verb of every permission. The error names all that are missing.
func checkPermissions(ctx context.Context, kube kubernetes.Interface, required []permission) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var (
		mu      sync.Mutex
		failed  error
		missing = map[int][]string{} // verbs, by the position of their permission
		reviews sync.WaitGroup
		slots   = make(chan struct{}, reviewsAtOnce)
	)
	for i, p := range required {
		for _, verb := range p.verbs {
			reviews.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				allowed, err := isAllowed(ctx, kube, p, verb)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = err
				} else if !allowed {
					missing[i] = append(missing[i], verb)
				}
			})
		}
	}
	reviews.Wait()
	if failed != nil {
		return fmt.Errorf("checking the permissions of this user: %w", failed)
	}
	var lines []string
	remedy := "Apply manifests/controller, or limit the controller with --namespaces"
	for _, i := range slices.Sorted(maps.Keys(missing)) {
		lines = append(lines, required[i].describe(missing[i]))
		if required[i].resource == podLogs {
			remedy = "Apply manifests/controller, limit the controller with --namespaces, " +
				"or run it without logs with --log-archive=off"
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("missing permissions: %s. %s", strings.Join(lines, "; "), remedy)
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

// describe names verbs of a permission and its resource as kubectl auth can-i takes them: "create pods in namespace a".
func (p permission) describe(verbs []string) string {
	slices.SortFunc(verbs, func(a, b string) int { return slices.Index(p.verbs, a) - slices.Index(p.verbs, b) })
	resource, subresource, hasSubresource := strings.Cut(p.resource, "/")
	text := strings.Join(verbs, ", ") + " " + resource
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
