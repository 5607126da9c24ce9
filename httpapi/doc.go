// Package httpapi is Kontroler's server: REST over the rows in PostgreSQL and the custom resources in Kubernetes.
// Server.routes lists the whole API. Package auth decides who may call it; openapi.yaml describes it for callers.
// scripts/generate makes docs.html from openapi.yaml, and scripts/apicheck compares openapi.yaml with the traffic of
// the tests.
//
// A request goes through ServeHTTP, dispatch, adapt and admit to its handler. Each resource has one file of handlers.
// Handlers are thin: they read the request, check the scope or the role, and call one of these packages.
//
//	auth      authentication and rights: passwords, sessions, tokens, roles, proxies
//	answer    the JSON of responses, made of rows
//	cluster   the watch of DAGs and DagTasks, and the clients of the API server
//	dags      lists of DAGs, DagTasks and DagRuns without a row
//	diff      the difference of two versions
//	events    the feed of changes, one for each replica
//	manifest  reads manifests strictly, with the place of each fault; strict does that for any JSON
//	metrics   the Prometheus metrics
//	objects   writes DAGs, DagTasks and DagRuns; trigger starts runs with it, once for each key
//	podlog    logs, from the node or from the database
//	quarters  the statistics of namespaces, in memory
//
// # Invariants
//
//   - A handler returns an error, and one table turns it into a problem (RFC 9457). A mistake of the client is never
//     a 5xx. The text of an unexpected error is logged and not sent.
//   - A body is JSON in UTF-8, or YAML if it is a manifest. Duplicate and unknown fields are refused, as are unknown
//     query parameters.
//   - A response is encoded before its status is sent.
//   - A stream has no request timeout, but a deadline for each write. It rechecks its credential regularly, and ends
//     when the server stops.
//   - A change is recorded in the audit before it begins; if that fails, it does not begin. Its outcome is recorded
//     after it.
//   - The log contains no query, header or body, and therefore no password and no token.
//   - An unsafe request that a browser sends from another origin is refused. No other origin may read a response.
package httpapi
