// Command privileges compares what the service accounts of the tests may do with what they have done:
//
//	for d in e2e/accounts/*/; do kubectl kustomize "$d"; echo ---; done | privileges [-partial WHY] AUDITLOG...
//	kubectl kustomize manifests/server | privileges [-partial WHY] AUDITLOG...
//
// The first line is for the controller and the uninstaller, after the end-to-end tests. The second one is for the
// server, after the suite install, whose people use all of the API. It reads their roles from standard input, and the
// audit logs of all clusters in which tests ran. It fails if
//
//   - a request was denied, unless provoked.go says which test provokes it;
//   - a verb is granted that no test needed. With -partial, when only some tests ran, it does not judge that.
//
// A role is an upper bound, and the tests are its proof: a verb that is missing fails a test, and a verb that no test
// uses fails this check.
//
//	main.go      the command and its report
//	grants.go    what the roles grant, one verb of one resource at a time
//	auditlog.go  requests, from the audit log of an API server
//	judge.go     what was granted and not used, what was used and denied
//	provoked.go  denied requests that tests want
//
// Accounts with the same label app.kubernetes.io/component run the same program, so a verb that one of them used counts
// for all. Requests of other users are not judged.
package main
