package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// account is a directory of e2e/accounts: a service account and what is bound to it.
type account struct {
	*corev1.ServiceAccount
	directory string
	// manifests are the account, its cluster roles and their bindings.
	manifests    string
	clusterRoles []*rbacv1.ClusterRole
	roles        []*rbacv1.Role
	bindings     []*rbacv1.RoleBinding
}

// readAccount reads an account from what kustomize prints. It leaves out what an installation has besides: its
// Deployment, and roles for users.
func readAccount(directory, rendered string) (*account, error) {
	a := &account{directory: directory}
	var bound []string // names of cluster roles
	texts := map[*rbacv1.ClusterRole]string{}
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(rendered)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		text := "---\n" + string(document)
		switch object := object.(type) {
		case *corev1.ServiceAccount:
			a.ServiceAccount = object
			a.manifests += text
		case *rbacv1.ClusterRoleBinding:
			bound = append(bound, object.RoleRef.Name)
			a.manifests += text
		case *rbacv1.ClusterRole:
			texts[object] = text
		case *rbacv1.Role:
			a.roles = append(a.roles, object)
		case *rbacv1.RoleBinding:
			a.bindings = append(a.bindings, object)
		}
	}
	for role, text := range texts {
		if slices.Contains(bound, role.Name) {
			a.clusterRoles = append(a.clusterRoles, role)
			a.manifests += text
		}
	}
	if a.ServiceAccount == nil || len(bound) == 0 || len(a.clusterRoles) != len(bound) ||
		len(a.roles) != len(a.bindings) {
		return nil, fmt.Errorf("a ServiceAccount: %t; ClusterRoles: %d of %q; Roles: %d, RoleBindings: %d",
			a.ServiceAccount != nil, len(a.clusterRoles), bound, len(a.roles), len(a.bindings))
	}
	return a, nil
}
