package main

import (
	"maps"
	"slices"
	"strings"
)

// usage is what the tests have done with the roles.
type usage struct {
	roles *roles
	// used counts the requests that each component was allowed, by the action that its roles grant.
	used map[string]map[action]int
	// denied are requests that no test provokes, by user, action and namespace.
	denied map[denial]*denied
	// provocations counts how often each entry of provoked matched.
	provocations map[provocation]int
	requests     int
	namespaces   map[string]bool
}

// denial identifies denied requests that are reported together.
type denial struct {
	user, namespace string
	does            action // without the name of an object
}

// denied are requests that are reported together.
type denied struct {
	count   int
	example *request
}

func newUsage(r *roles) *usage {
	u := &usage{
		roles: r, used: map[string]map[action]int{}, denied: map[denial]*denied{}, provocations: map[provocation]int{},
		namespaces: map[string]bool{},
	}
	for component := range r.granted {
		u.used[component] = map[action]int{}
	}
	return u
}

// add adds a request. It ignores users that the manifests do not have.
func (u *usage) add(r *request) {
	component, isJudged := u.roles.components[r.User.Username]
	if !isJudged {
		return
	}
	u.requests++
	if r.namespace() != "" {
		u.namespaces[r.namespace()] = true
	}
	if r.isDenied() {
		u.addDenied(r)
		return
	}
	does := r.action()
	u.used[component][does]++
	does.name = ""
	u.used[component][does]++
}

func (u *usage) addDenied(r *request) {
	for _, p := range provoked {
		if p.component == u.roles.components[r.User.Username] && p.matches(r) {
			u.provocations[p]++
			return
		}
	}
	key := denial{user: r.User.Username, namespace: r.namespace(), does: r.action()}
	key.does.name = ""
	if u.denied[key] == nil {
		u.denied[key] = &denied{example: r}
	}
	u.denied[key].count++
}

// unused returns the actions that are granted to a component and that no test needed.
func (u *usage) unused(component string) []action {
	var never []action
	for a := range u.roles.granted[component] {
		if u.used[component][a] == 0 {
			never = append(never, a)
		}
	}
	slices.SortFunc(never, compareActions)
	return never
}

// notProvoked returns the entries of provoked that did not happen. Those of components that are not judged are left
// out.
func (u *usage) notProvoked() []provocation {
	return slices.DeleteFunc(slices.Clone(provoked), func(p provocation) bool {
		return u.provocations[p] > 0 || u.roles.granted[p.component] == nil
	})
}

// denials returns the keys of denied, in the order of the report.
func (u *usage) denials() []denial {
	return slices.SortedFunc(maps.Keys(u.denied), func(a, b denial) int {
		if c := compareActions(a.does, b.does); c != 0 {
			return c
		}
		return strings.Compare(a.namespace+" "+a.user, b.namespace+" "+b.user)
	})
}

func compareActions(a, b action) int {
	key := func(a action) string { return a.group + " " + a.resource + " " + a.name + " " + a.verb }
	return strings.Compare(key(a), key(b))
}
