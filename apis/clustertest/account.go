package clustertest

import (
	"os"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// Account is a ServiceAccount with only the permissions that Grant has given it.
type Account struct {
	// Config is the client configuration of the ServiceAccount.
	Config  *rest.Config
	kube    kubernetes.Interface
	subject rbacv1.Subject
}

// NewAccount creates a ServiceAccount in a namespace. It is deleted with the namespace.
func NewAccount(t testing.TB, cfg *rest.Config, namespace string) *Account {
	t.Helper()
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	account, err := kube.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := kube.CoreV1().ServiceAccounts(namespace).CreateToken(
		t.Context(), account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own := rest.AnonymousClientConfig(cfg)
	own.QPS, own.BearerToken = -1, token.Status.Token
	return &Account{own, kube, rbacv1.Subject{Kind: "ServiceAccount", Name: account.Name, Namespace: namespace}}
}

// Grant gives the account the rules of the Role that is the first document of a file, in a namespace.
func (a *Account) Grant(t testing.TB, namespace, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n---\n")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(first), &role); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: a.subject.Name}
	role.ObjectMeta = meta
	if _, err := a.kube.RbacV1().Roles(namespace).Create(t.Context(), &role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = a.kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, Subjects: []rbacv1.Subject{a.subject},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// Revoke removes the permissions that Grant gave the account in a namespace.
func (a *Account) Revoke(t testing.TB, namespace string) {
	t.Helper()
	err := a.kube.RbacV1().RoleBindings(namespace).Delete(t.Context(), a.subject.Name, metav1.DeleteOptions{})
	if err == nil {
		err = a.kube.RbacV1().Roles(namespace).Delete(t.Context(), a.subject.Name, metav1.DeleteOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}
