package harness

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// accountsNamespace is the namespace of the service accounts of e2e/accounts.
	accountsNamespace = "kontroler-e2e"
	// tokenLifetime is longer than the tests of a package, those for releases included.
	tokenLifetime = 6 * time.Hour
	// grantTimeout limits the wait until the API server follows a binding that was just made.
	grantTimeout = 30 * time.Second
)

// Accounts are the service accounts of e2e/accounts in a cluster. A program under test runs as one of them and never as
// an administrator, so that a permission that manifests does not grant fails a test. The strings are kubeconfig files.
type Accounts struct {
	// Controller has the roles of manifests/controller.
	Controller string
	// Webhooks also has the role of manifests/components/webhook-secrets.
	Webhooks string
	// Uninstall has the roles of manifests/uninstall.
	Uninstall string

	kube     kubernetes.Interface
	accounts []*account
}

// InstallAccounts applies the service accounts and their cluster roles, and writes their kubeconfigs to a directory.
// kubeconfig is the administrator's. Several processes may do this at the same time.
func InstallAccounts(ctx context.Context, kubectl, kubeconfig, dir string) (*Accounts, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	a := &Accounts{kube: kube}
	manifests := fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n", accountsNamespace)
	names := map[string]*string{"controller": &a.Controller, "webhooks": &a.Webhooks, "uninstall": &a.Uninstall}
	for name := range names {
		rendered, err := runKubectl(kubectl, kubeconfig, "",
			"kustomize", filepath.Join(Root(), "e2e", "accounts", name))
		if err != nil {
			return nil, fmt.Errorf("rendering e2e/accounts/%s: %w\n%s", name, err, rendered)
		}
		account, err := readAccount(name, rendered)
		if err != nil {
			return nil, fmt.Errorf("reading e2e/accounts/%s: %w", name, err)
		}
		a.accounts = append(a.accounts, account)
		manifests += account.manifests
	}
	out, err := runKubectl(kubectl, kubeconfig, manifests, "apply", "--server-side", "--force-conflicts", "-f", "-")
	if err != nil {
		return nil, fmt.Errorf("applying e2e/accounts, which needs the rights of cluster-admin: %w\n%s", err, out)
	}
	for _, account := range a.accounts {
		file := filepath.Join(dir, "kubeconfig-"+account.directory)
		*names[account.directory] = file
		if err := WriteKubeconfig(ctx, kube, kubeconfig, account.ServiceAccount, file); err != nil {
			return nil, err
		}
		for _, role := range account.clusterRoles {
			if err := awaitGrant(ctx, kube, account.ServiceAccount, "", role.Rules[0]); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// GrantLease grants all accounts in a namespace what manifests grants in the namespace of the controller, which is that
// of its Lease.
func (a *Accounts) GrantLease(ctx context.Context, namespace string) error {
	for _, account := range a.accounts {
		for _, role := range account.roles {
			role = role.DeepCopy()
			role.Namespace = namespace
			if _, err := a.kube.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		for _, binding := range account.bindings {
			binding = binding.DeepCopy()
			binding.Namespace = namespace
			if _, err := a.kube.RbacV1().RoleBindings(namespace).Create(ctx,
				binding, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
	}
	for _, account := range a.accounts {
		for _, role := range account.roles {
			if err := awaitGrant(ctx, a.kube, account.ServiceAccount, namespace, role.Rules[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitGrant waits until the API server allows an account what a rule grants. It learns of a binding from a watch.
func awaitGrant(
	ctx context.Context, kube kubernetes.Interface, account *corev1.ServiceAccount, namespace string,
	rule rbacv1.PolicyRule,
) error {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: fmt.Sprintf("system:serviceaccount:%s:%s", account.Namespace, account.Name),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: rule.Resources[0],
		},
	}}
	if len(rule.ResourceNames) > 0 {
		review.Spec.ResourceAttributes.Name = rule.ResourceNames[0]
	}
	isAllowed := func(ctx context.Context) (bool, error) {
		reviewed, err := kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && reviewed.Status.Allowed, err
	}
	if err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, grantTimeout, true, isAllowed); err != nil {
		return fmt.Errorf("waiting until %s may %s %s: %w", account.Name, rule.Verbs[0], rule.Resources[0], err)
	}
	return nil
}

// WriteKubeconfig writes a copy of the administrator's kubeconfig to a file. Its user is a service account, with a
// token for some hours.
func WriteKubeconfig(
	ctx context.Context, kube kubernetes.Interface, kubeconfig string, account *corev1.ServiceAccount, file string,
) error {
	seconds := int64(tokenLifetime / time.Second)
	token, err := kube.CoreV1().ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name,
		&authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
		}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("requesting a token for service account %s: %w", account.Name, err)
	}
	return WriteTokenKubeconfig(kubeconfig, token.Status.Token, file)
}

// WriteTokenKubeconfig is WriteKubeconfig for a token that exists.
func WriteTokenKubeconfig(kubeconfig, token, file string) error {
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	}
	if err := clientcmdapi.FlattenConfig(config); err != nil { // what files it names may be relative to it
		return fmt.Errorf("reading the files that the kubeconfig %s names: %w", kubeconfig, err)
	}
	return clientcmd.WriteToFile(*config, file)
}
