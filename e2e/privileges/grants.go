package main

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

// componentLabel says which program runs as a service account.
const componentLabel = "app.kubernetes.io/component"

// action is a verb on a resource.
type action struct {
	verb, group, resource string // resource may have a subresource: dags/status
	// name is empty unless a rule limits the action to one object.
	name string
}

// String names an action as RBAC does: "patch dags.kontroler.greedykomodo/status".
func (a action) String() string {
	resource, subresource, hasSubresource := strings.Cut(a.resource, "/")
	if a.group != "" {
		resource += "." + a.group
	}
	if hasSubresource {
		resource += "/" + subresource
	}
	if a.name != "" {
		resource += " " + a.name
	}
	return a.verb + " " + resource
}

// roles are what the manifests grant.
type roles struct {
	// components are the programs of the service accounts, by user name.
	components map[string]string
	// granted are the roles that grant an action, by the component that has it.
	granted map[string]map[action][]string
}

// readRoles reads manifests. It is an error if they bind a role that they do not have, or grant everything by "*".
func readRoles(manifests io.Reader) (*roles, error) {
	r := &roles{components: map[string]string{}, granted: map[string]map[action][]string{}}
	rules := map[rbacv1.RoleRef][]rbacv1.PolicyRule{}
	type bound struct {
		role     rbacv1.RoleRef
		subjects []rbacv1.Subject
	}
	var bindings []bound
	documents := yaml.NewYAMLReader(bufio.NewReader(manifests))
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
		switch object := object.(type) {
		case *corev1.ServiceAccount:
			r.components[userName(object.Namespace, object.Name)] = object.Labels[componentLabel]
		case *rbacv1.ClusterRole:
			rules[rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: object.Name}] = object.Rules
		case *rbacv1.Role:
			rules[rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: object.Name}] = object.Rules
		case *rbacv1.ClusterRoleBinding:
			bindings = append(bindings, bound{object.RoleRef, object.Subjects})
		case *rbacv1.RoleBinding:
			bindings = append(bindings, bound{object.RoleRef, object.Subjects})
		}
	}
	for _, b := range bindings {
		if len(rules[b.role]) == 0 {
			return nil, fmt.Errorf("%s %s is bound and has no rules", b.role.Kind, b.role.Name)
		}
		for _, subject := range b.subjects {
			component, ok := r.components[userName(subject.Namespace, subject.Name)]
			if !ok {
				return nil, fmt.Errorf("%s %s is bound to %s %s/%s, which the manifests do not have",
					b.role.Kind, b.role.Name, subject.Kind, subject.Namespace, subject.Name)
			}
			if err := r.grant(component, b.role.Kind+" "+b.role.Name, rules[b.role]); err != nil {
				return nil, err
			}
		}
	}
	if len(r.granted) == 0 {
		return nil, errors.New("the manifests bind no role to a service account")
	}
	return r, nil
}

// grant adds the rules of a role to a component.
func (r *roles) grant(component, role string, rules []rbacv1.PolicyRule) error {
	if r.granted[component] == nil {
		r.granted[component] = map[action][]string{}
	}
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, parts := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(parts, "*") {
				return fmt.Errorf(`%s has a rule with "*". List what it grants`, role)
			}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						a := action{verb: verb, group: group, resource: resource, name: name}
						r.granted[component][a] = append(r.granted[component][a], role)
					}
				}
			}
		}
	}
	return nil
}

// userName is the name of a service account as a user.
func userName(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}
