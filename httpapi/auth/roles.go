package auth

import (
	"fmt"
	"slices"

	"kontroler/store/accounts"
)

// Role is what a user may do in a namespace. A higher role includes the lower ones.
type Role int

// The roles. For NoRole no object exists.
const (
	NoRole   Role = iota
	Viewer        // reads
	Operator      // triggers, cancels, suspends; overrides no Secret
	Editor        // writes DAGs, which run Pods with any Secret and service account of the namespace
)

// RoleNames are the names of the roles that can be granted, by role.
var RoleNames = map[Role]string{Viewer: "viewer", Operator: "operator", Editor: "editor"}

// ParseRole returns the role with this name.
func ParseRole(name string) (Role, error) {
	for role, known := range RoleNames {
		if name == known {
			return role, nil
		}
	}
	return NoRole, fmt.Errorf("%q is not a role. The roles are viewer, operator and editor", name)
}

// AllNamespaces stands for all namespaces in a grant.
const AllNamespaces = "*"

// RoleIn returns the role that grants give in a namespace: the highest of that namespace and of all namespaces. A grant
// with an unknown role gives none.
func RoleIn(access accounts.Access, namespace string) Role {
	if access.Admin {
		return Editor
	}
	role := NoRole
	for _, grant := range access.Grants {
		if grant.Namespace == namespace || grant.Namespace == AllNamespaces {
			if granted, err := ParseRole(grant.Role); err == nil {
				role = max(role, granted)
			}
		}
	}
	return role
}

// Intersect returns what both a and b allow.
func Intersect(a, b accounts.Access) accounts.Access {
	both := accounts.Access{Admin: a.Admin && b.Admin}
	var namespaces []string
	if a.Admin || b.Admin {
		namespaces = append(namespaces, AllNamespaces)
	}
	for _, grant := range slices.Concat(a.Grants, b.Grants) {
		namespaces = append(namespaces, grant.Namespace)
	}
	slices.Sort(namespaces)
	for _, namespace := range slices.Compact(namespaces) {
		if name, ok := RoleNames[min(RoleIn(a, namespace), RoleIn(b, namespace))]; ok {
			both.Grants = append(both.Grants, accounts.Grant{Namespace: namespace, Role: name})
		}
	}
	return both
}
