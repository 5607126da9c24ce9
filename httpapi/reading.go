package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

// Helpers of the handlers that read. An object that the caller may not see is reported as one that does not exist.

// errUnknown is the problem of an object that does not exist, or that the caller may not see.
func errUnknown() error {
	return fault(notFound, "There is no such object, or you may not see it.")
}

// scopeOf returns the namespaces that a caller may read.
func scopeOf(access accounts.Access) view.Scope {
	if auth.RoleIn(access, auth.AllNamespaces) >= auth.Viewer {
		return view.AllNamespaces()
	}
	var names []string
	for _, grant := range access.Grants {
		if auth.RoleIn(access, grant.Namespace) >= auth.Viewer {
			names = append(names, grant.Namespace)
		}
	}
	return view.Namespaces(names...)
}

// scopeOfPath returns the scope of the caller, or the part of it that is the namespace of the path, if it has one.
func scopeOfPath(c *call) (view.Scope, error) {
	scope, namespace := scopeOf(c.principal.Access), c.PathValue("ns")
	if namespace == "" {
		return scope, nil
	}
	if !isText(namespace) || !scope.Has(namespace) {
		return view.Scope{}, fault(notFound, "There is no such namespace, or you may not see it.")
	}
	return scope.Only(namespace), nil
}

// pathQuery returns the parameters of a request, and the scope of its path.
func pathQuery(c *call, known ...string) (values url.Values, scope view.Scope, err error) {
	if values, err = query(c, known...); err == nil {
		scope, err = scopeOfPath(c)
	}
	return values, scope, err
}

// scopedQuery returns the parameters of a list, and the part of the scope that the path or the parameter namespace
// selects.
func scopedQuery(c *call, known ...string) (url.Values, view.Scope, error) {
	scope, err := scopeOfPath(c)
	if err != nil {
		return nil, scope, err
	}
	if c.PathValue("ns") == "" {
		known = append(known, "namespace")
	}
	values, err := query(c, known...)
	if err != nil {
		return nil, scope, err
	}
	namespace, err := textOf(values, "namespace")
	if namespace != "" {
		scope = scope.Only(namespace)
	}
	return values, scope, err
}

// isText reports whether PostgreSQL can compare a text.
func isText(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// findDAG returns the row of the DAG of the path. A DAG that has never been valid has no row and no history. Its ID is
// 0.
func (b *base) findDAG(c *call) (view.DAG, error) {
	if _, err := scopeOfPath(c); err != nil {
		return view.DAG{}, err
	}
	name := c.PathValue("name")
	if !isText(name) {
		return view.DAG{}, errUnknown()
	}
	namespace := c.PathValue("ns")
	dag, found, err := b.views.DAG(c.Context(), namespace, name)
	if err != nil || found {
		return dag, err
	}
	if _, found, err = b.dags.Cluster.DAG(namespace, name); err == nil && !found {
		err = errUnknown()
	}
	return view.DAG{Namespace: namespace, Name: name}, err
}

// findRun returns the run of the UID in the path.
func (b *base) findRun(c *call) (view.Run, error) {
	run, found, err := b.views.Run(c.Context(), c.PathValue("uid"))
	if err == nil && (!found || !scopeOf(c.principal.Access).Has(run.Namespace)) {
		return view.Run{}, errUnknown()
	}
	return run, err
}

// oneOf returns a parameter that must be one of some values, or empty if it is missing.
func oneOf(values url.Values, name string, known ...string) (string, error) {
	value := values.Get(name)
	for _, k := range known {
		if value == k {
			return value, nil
		}
	}
	if value == "" {
		return "", nil
	}
	return "", fault(badRequest, fmt.Sprintf("%s must be one of: %s.", name, strings.Join(known, ", ")))
}

// textOf returns a parameter, or empty if it is missing.
func textOf(values url.Values, name string) (string, error) {
	value := values.Get(name)
	if !isText(value) {
		return "", fault(badRequest, name+" must be valid UTF-8 without NUL.")
	}
	return value, nil
}

// timeOf returns a parameter that is a time, or the zero time if it is missing.
func timeOf(values url.Values, name string) (time.Time, error) {
	text := values.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	at = at.UTC()
	if err != nil || at.Year() < 2 || at.Year() > 9999 { // the zero time is in year 1
		return time.Time{}, fault(badRequest, name+" must be a time such as 2026-07-01T12:00:00Z.")
	}
	return at, nil
}
