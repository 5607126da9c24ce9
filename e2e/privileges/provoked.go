package main

import "strings"

// provocation is a denied request that a test wants.
type provocation struct {
	test      string // without subtests
	component string // whose request it is
	// does is the request without the name of an object.
	does action
}

// provoked are all of them.
var provoked = []provocation{
	// The Lease is in a namespace that is neither the controller's own nor one of its DAGs'.
	{"TestLeaseOutOfReach", "controller", action{verb: "get", group: "coordination.k8s.io", resource: "leases"}},
	// The controller of the test runs as manifests/controller, without manifests/components/webhook-secrets.
	{"TestWebhookWithoutPermission", "controller", action{verb: "get", resource: "secrets"}},
}

// namespacePrefix is how the names of the namespaces of a test begin. Package harness derives them.
func (p provocation) namespacePrefix() string {
	name := strings.ToLower(strings.TrimPrefix(p.test, "Test"))
	return "e2e-" + name[:min(len(name), 30)] + "-"
}

// matches reports whether a test provokes a request.
func (p provocation) matches(r *request) bool {
	does := r.action()
	does.name = ""
	return does == p.does && strings.HasPrefix(r.namespace(), p.namespacePrefix())
}
