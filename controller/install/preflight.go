package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/wait"
)

const (
	// requestTimeout bounds each request of Preflight. All permissions together count as one.
	requestTimeout = 10 * time.Second
	// servingTimeout is how long custom resources that were just applied may take to be served.
	servingTimeout = 3 * time.Second
	// category is the category of the custom resources, for kubectl get.
	category = "kontroler"
)

// PreflightConfig says what the controller will do in the cluster.
type PreflightConfig struct {
	Kube kubernetes.Interface
	// Namespaces that the controller works in. Empty means all.
	Namespaces []string
	// LeaseNamespace is the namespace of the controller's Lease.
	LeaseNamespace string
	// ReadsLogs says that the controller reads the logs of Pods.
	ReadsLogs bool
}

// Cluster identifies a cluster.
type Cluster struct {
	// UID of the namespace kube-system. A database belongs to the cluster with this UID.
	UID string
	// Version of the API server, such as v1.36.3.
	Version string
	// ClosedNamespaces are the named namespaces in which the controller has no permission at all. It has all that it
	// needs in the others.
	ClosedNamespaces []string
}

// Preflight checks that a controller can work: the API server answers, serves the custom resources, and grants all
// permissions, except in closed namespaces. An error is one line that says what to do.
func Preflight(ctx context.Context, cfg PreflightConfig) (Cluster, error) {
	serverVersion, err := serverVersion(ctx, cfg.Kube)
	if err != nil {
		return Cluster{}, err
	}
	if err := awaitResources(ctx, cfg.Kube); err != nil {
		return Cluster{}, err
	}
	closed, err := checkPermissions(ctx, cfg)
	if err != nil {
		return Cluster{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	system, err := cfg.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return Cluster{}, fmt.Errorf("reading the UID of namespace %s, which identifies the cluster: %w",
			metav1.NamespaceSystem, err)
	}
	return Cluster{UID: string(system.UID), Version: serverVersion, ClosedNamespaces: closed}, nil
}

// IsAway reports whether Preflight failed because the API server does not answer now, or asks for a later retry. Any
// other error lasts until somebody fixes its cause.
func IsAway(err error) bool {
	if failed, isNetwork := errors.AsType[*net.OpError](err); isNetwork {
		return failed.Op != "remote error" // it rejects the client's certificate
	}
	if timeout, isNetwork := errors.AsType[net.Error](err); isNetwork && timeout.Timeout() {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

// noAnswer is the error of a request that timed out. It is a net.Error.
type noAnswer struct{}

func (noAnswer) Error() string   { return fmt.Sprintf("no answer within %s", requestTimeout) }
func (noAnswer) Timeout() bool   { return true }
func (noAnswer) Temporary() bool { return true }

// AbsentNamespaces returns which of the namespaces do not exist. The controller has no permission to read namespaces.
// It creates an Event in each as a dry run instead, which changes nothing.
func AbsentNamespaces(ctx context.Context, kube kubernetes.Interface, namespaces []string) []string {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var absent []string
	for _, namespace := range namespaces {
		_, err := kube.CoreV1().Events(namespace).Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{GenerateName: "kontroler-"},
			InvolvedObject: corev1.ObjectReference{Namespace: namespace},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		// Any other answer, even a refusal, comes from a namespace that exists.
		if apierrors.IsNotFound(err) {
			absent = append(absent, namespace)
		}
	}
	return absent
}

// serverVersion returns the version of the API server.
func serverVersion(ctx context.Context, kube kubernetes.Interface) (string, error) {
	body, err := get(ctx, kube, "/version")
	if err != nil {
		return "", unreachable(err)
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil || info.GitVersion == "" {
		return "", errors.New("the server is not a Kubernetes API server. Check --kubeconfig (or KUBECONFIG)")
	}
	return info.GitVersion, nil
}

// unreachable says why the API server did not return its version, and what to check.
func unreachable(err error) error {
	var status apierrors.APIStatus
	if netErr, ok := errors.AsType[*url.Error](err); ok {
		host := netErr.URL
		if u, parseErr := url.Parse(netErr.URL); parseErr == nil {
			host = u.Scheme + "://" + u.Host
		}
		cause := netErr.Err
		if _, ok := errors.AsType[net.Error](cause); ok && netErr.Timeout() {
			cause = noAnswer{}
		}
		return fmt.Errorf("the API server at %s cannot be reached: %w. Check --kubeconfig (or KUBECONFIG)", host, cause)
	}
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server rejects the credentials: %w. "+
			"Check those in the kubeconfig (--kubeconfig), or the service account of the Pod", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the API server does not let this user read its version: %w. "+
			"Check the credentials in the kubeconfig (--kubeconfig)", err)
	case errors.As(err, &status):
		return fmt.Errorf("the server does not answer like a Kubernetes API server: %w. "+
			"Check --kubeconfig (or KUBECONFIG)", err)
	}
	return fmt.Errorf("reading the version of the API server: %w. Check --kubeconfig (or KUBECONFIG)", err)
}

// get returns the body of the answer to a GET of a path. It does not decode the body, because the server may not be an
// API server.
func get(ctx context.Context, kube kubernetes.Interface, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return kube.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
}

// awaitResources checks that the custom resources are served. It retries for servingTimeout.
func awaitResources(ctx context.Context, kube kubernetes.Interface) error {
	for began := time.Now(); ; {
		err := checkResources(ctx, kube)
		if err == nil || time.Since(began) > servingTimeout || !wait.For(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

// checkResources checks that the custom resources are served, each with its subresource status.
func checkResources(ctx context.Context, kube kubernetes.Interface) error {
	const remedy = "Apply Kontroler's CustomResourceDefinitions with kubectl apply -k manifests/crd"
	body, err := get(ctx, kube, "/apis/"+v1alpha1.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster has no %s. %s", v1alpha1.SchemeGroupVersion, remedy)
	}
	if err != nil {
		return fmt.Errorf("reading the resources of %s: %w", v1alpha1.SchemeGroupVersion, err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("decoding the resources of %s: %w", v1alpha1.SchemeGroupVersion, err)
	}
	isServed := map[string]bool{}
	for _, r := range list.APIResources {
		isServed[r.Name] = true
		// Only this project's CustomResourceDefinitions have the category. Those of the existing Kontroler would drop
		// most of the status.
		if !strings.Contains(r.Name, "/") && !slices.Contains(r.Categories, category) {
			return fmt.Errorf("the CustomResourceDefinitions of %s are the existing Kontroler's. "+
				"Follow manifests/MIGRATION.md, which replaces them with those of manifests/crd",
				v1alpha1.SchemeGroupVersion)
		}
	}
	var missing []string
	for _, name := range []string{"dags", "dags/status", "dagruns", "dagruns/status", "dagtasks", "dagtasks/status"} {
		if !isServed[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the cluster's %s lacks %s. %s",
			v1alpha1.SchemeGroupVersion, strings.Join(missing, ", "), remedy)
	}
	return nil
}
