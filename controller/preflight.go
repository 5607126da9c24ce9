package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/wait"
)

// category of the custom resources, for kubectl get.
const category = "kontroler"

// preflightTimeout bounds each of the questions that Preflight asks.
const preflightTimeout = 10 * time.Second

// Cluster is what Preflight learns of the cluster.
type Cluster struct {
	// UID of the namespace kube-system, by which a database knows its cluster.
	UID string
	// Version of the API server.
	Version string
}

// Preflight asks the API server whether a controller can work: it is there, it has the custom resources, and the
// controller may do all that it has to, in these namespaces (none: all), to read logs included if it is to. Each error is one line that says what to do.
func Preflight(ctx context.Context, kube kubernetes.Interface, namespaces []string, leaseNamespace string, logs bool) (Cluster, error) {
	serverVersion, err := askVersion(ctx, kube)
	if err != nil {
		return Cluster{}, err
	}
	if err := askResources(ctx, kube); err != nil {
		return Cluster{}, err
	}
	if err := askPermissions(ctx, kube, needsIn(namespaces, leaseNamespace, logs)); err != nil {
		return Cluster{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	system, err := kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return Cluster{}, fmt.Errorf("reading the UID of namespace %s, by which the database knows its cluster: %w", metav1.NamespaceSystem, err)
	}
	return Cluster{UID: string(system.UID), Version: serverVersion}, nil
}

func askVersion(ctx context.Context, kube kubernetes.Interface) (string, error) {
	body, err := rawGet(ctx, kube, "/version")
	if err != nil {
		return "", unreachable(err)
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil || info.GitVersion == "" {
		return "", errors.New("what answers there is no Kubernetes API server: check --kubeconfig (or KUBECONFIG)")
	}
	return info.GitVersion, nil
}

// unreachable says in one line why the API server gave no answer, and what to look at.
func unreachable(err error) error {
	var status apierrors.APIStatus
	if netErr, ok := errors.AsType[*url.Error](err); ok {
		host := netErr.URL
		if u, parseErr := url.Parse(netErr.URL); parseErr == nil {
			host = u.Scheme + "://" + u.Host
		}
		cause := netErr.Err
		if _, ok := errors.AsType[net.Error](cause); ok && netErr.Timeout() {
			cause = fmt.Errorf("no answer within %s", preflightTimeout)
		}
		return fmt.Errorf("the API server at %s cannot be reached: %w: check --kubeconfig (or KUBECONFIG)", host, cause)
	}
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server does not know this user: check the credentials in the kubeconfig (--kubeconfig), or the Pod's service account: %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the API server refuses this user: check the credentials in the kubeconfig (--kubeconfig): %w", err)
	case errors.As(err, &status):
		return fmt.Errorf("the API server does not answer as one: check --kubeconfig (or KUBECONFIG): %w", err)
	}
	return fmt.Errorf("asking the API server for its version: check --kubeconfig (or KUBECONFIG): %w", err)
}

func rawGet(ctx context.Context, kube kubernetes.Interface, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	client := kube.Discovery().RESTClient()
	if none, ok := client.(*rest.RESTClient); ok && none == nil {
		return nil, errors.New("this client has no connection")
	}
	return client.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
}

// resourcesPatience is how long custom resources that were just applied may take to be served.
const resourcesPatience = 3 * time.Second

// askResources looks for the custom resources, with their status.
func askResources(ctx context.Context, kube kubernetes.Interface) error {
	for began := time.Now(); ; {
		err := lookForResources(ctx, kube)
		if err == nil || time.Since(began) > resourcesPatience || !wait.For(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

func lookForResources(ctx context.Context, kube kubernetes.Interface) error {
	const remedy = "apply Kontroler's CustomResourceDefinitions: kubectl apply -k manifests/crd"
	body, err := rawGet(ctx, kube, "/apis/"+v1alpha1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster has no %s: %s", v1alpha1.SchemeGroupVersion, remedy)
	}
	if err != nil {
		return fmt.Errorf("asking the API server for %s: %w", v1alpha1.SchemeGroupVersion, err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("reading what the API server has of %s: %w", v1alpha1.SchemeGroupVersion, err)
	}
	served := map[string]bool{}
	for _, r := range list.APIResources {
		served[r.Name] = true
		// The category is in this project's CustomResourceDefinitions only; those of the existing Kontroler drop its status.
		if !strings.Contains(r.Name, "/") && !slices.Contains(r.Categories, category) {
			return fmt.Errorf("the CustomResourceDefinitions of %s are the existing Kontroler's, see manifests/MIGRATION.md: %s", v1alpha1.SchemeGroupVersion, remedy)
		}
	}
	var missing []string
	for _, name := range []string{"dags", "dags/status", "dagruns", "dagruns/status", "dagtasks", "dagtasks/status"} {
		if !served[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the cluster's %s lacks %s: %s", v1alpha1.SchemeGroupVersion, strings.Join(missing, ", "), remedy)
	}
	return nil
}

// need is a permission: an RBAC rule's words, and where it must hold.
type need struct {
	group, resource string
	verbs           []string
	namespace       string // "" is all, or the cluster
	name            string
}

// needsIn is all that a controller does in the cluster, but to get the Secrets that webhooks sign with: who does not grant
// that is told by what is not delivered.
func needsIn(namespaces []string, leaseNamespace string, logs bool) []need {
	needs := []need{
		{group: "coordination.k8s.io", resource: "leases", verbs: []string{"get", "create", "update"}, namespace: leaseNamespace},
		{resource: "nodes", verbs: []string{"get"}},
		{resource: "namespaces", verbs: []string{"get"}, name: metav1.NamespaceSystem},
	}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		needs = append(needs,
			need{group: v1alpha1.GroupName, resource: "dags", verbs: []string{"get", "list", "watch", "patch"}, namespace: namespace},
			need{group: v1alpha1.GroupName, resource: "dags/status", verbs: []string{"patch"}, namespace: namespace},
			need{group: v1alpha1.GroupName, resource: "dagruns", verbs: []string{"get", "list", "watch", "create", "patch", "delete"}, namespace: namespace},
			need{group: v1alpha1.GroupName, resource: "dagruns/status", verbs: []string{"patch"}, namespace: namespace},
			need{group: v1alpha1.GroupName, resource: "dagtasks", verbs: []string{"get", "list", "watch", "patch"}, namespace: namespace},
			need{group: v1alpha1.GroupName, resource: "dagtasks/status", verbs: []string{"patch"}, namespace: namespace},
			need{resource: "pods", verbs: []string{"get", "list", "watch", "create", "patch", "delete"}, namespace: namespace},
			need{resource: "persistentvolumeclaims", verbs: []string{"get", "create", "delete"}, namespace: namespace},
			need{resource: "events", verbs: []string{"list", "watch", "create", "patch"}, namespace: namespace},
		)
		if logs {
			needs = append(needs, need{resource: "pods/log", verbs: []string{"get"}, namespace: namespace})
		}
	}
	return needs
}

// askPermissions asks for every verb of every need and names all that is missing.
func askPermissions(ctx context.Context, kube kubernetes.Interface, needs []need) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	var (
		mu      sync.Mutex
		failed  error
		missing = map[int][]string{}
		workers sync.WaitGroup
		slots   = make(chan struct{}, 16)
	)
	for i, n := range needs {
		for _, verb := range n.verbs {
			workers.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				allowed, err := mayI(ctx, kube, n, verb)
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
	workers.Wait()
	if failed != nil {
		return fmt.Errorf("asking the API server what this user may do: %w", failed)
	}
	if len(missing) == 0 {
		return nil
	}
	var lines []string
	remedy := ""
	for _, i := range slices.Sorted(maps.Keys(missing)) {
		lines = append(lines, needs[i].describe(missing[i]))
		if needs[i].resource == "pods/log" {
			remedy = ", or do without the logs: --log-archive=off"
		}
	}
	return fmt.Errorf("missing permissions: %s: grant them to this user or service account by a ClusterRole, or limit the controller with --namespaces and grant them by a Role in each%s",
		strings.Join(lines, "; "), remedy)
}

func mayI(ctx context.Context, kube kubernetes.Interface, n need, verb string) (bool, error) {
	resource, subresource, _ := strings.Cut(n.resource, "/")
	review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: n.namespace, Verb: verb, Group: n.group, Resource: resource, Subresource: subresource, Name: n.name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// describe names verbs of a need, as kubectl auth can-i takes them.
func (n need) describe(verbs []string) string {
	slices.SortFunc(verbs, func(a, b string) int { return slices.Index(n.verbs, a) - slices.Index(n.verbs, b) })
	text := strings.Join(verbs, ", ") + " "
	resource, subresource, sub := strings.Cut(n.resource, "/")
	text += resource
	if n.group != "" {
		text += "." + n.group
	}
	if sub {
		text += "/" + subresource
	}
	switch {
	case n.name != "":
		text += " " + n.name
	case n.namespace != "":
		text += " in namespace " + n.namespace
	case n.resource != "nodes":
		text += " in all namespaces"
	}
	return text
}
