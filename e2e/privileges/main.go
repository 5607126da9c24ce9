package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	partial := flag.String("partial", "", "why not all tests ran; then unused verbs are not judged")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: privileges [-partial WHY] AUDITLOG... < MANIFESTS")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := run(os.Stdin, flag.Args(), *partial, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "privileges:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run judges the requests of audit logs and writes the report. It reports whether the roles are right.
func run(manifests io.Reader, logs []string, partial string, out io.Writer) (bool, error) {
	r, err := readRoles(manifests)
	if err != nil {
		return false, fmt.Errorf("reading the roles: %w", err)
	}
	u := newUsage(r)
	for _, log := range logs {
		if err := readLog(log, u.add); err != nil {
			return false, err
		}
	}
	if u.requests == 0 {
		return false, fmt.Errorf("no request of %s is in the audit logs",
			strings.Join(slices.Sorted(maps.Keys(r.components)), ", "))
	}
	ok := true
	if len(u.denied) > 0 {
		ok = false
		u.reportDenied(out)
	}
	if partial == "" {
		ok = u.reportUnused(out) && ok
		ok = u.reportNotProvoked(out) && ok
	}
	fmt.Fprintf(out, "privileges: %d requests in %d namespaces, %d of them denied as a test wants\n",
		u.requests, len(u.namespaces), u.provokedRequests())
	switch {
	case partial != "":
		fmt.Fprintf(out, "privileges: unused verbs are not judged: %s\n", partial)
	case ok:
		for _, component := range slices.Sorted(maps.Keys(r.granted)) {
			fmt.Fprintf(out, "privileges: %s has %d verbs, and used all of them\n",
				component, len(r.granted[component]))
		}
	}
	return ok, nil
}

// reportDenied writes the denied requests that no test provokes.
func (u *usage) reportDenied(out io.Writer) {
	fmt.Fprintln(out, "Requests that were denied. Grant the verb in manifests (for the controller also in",
		"controller/install/permissions.go), or do not send the request.\nIf a test wants it, add it to",
		"e2e/privileges/provoked.go.")
	table := newTable(out, "VERB", "RESOURCE", "NAMESPACE OF THE TEST", "TIMES", "USER", "EXAMPLE")
	for _, key := range u.denials() {
		is := u.denied[key]
		verb, resource, _ := strings.Cut(key.does.String(), " ")
		user := strings.TrimPrefix(key.user, "system:serviceaccount:")
		row(table, verb, resource, orNone(key.namespace), fmt.Sprint(is.count), user,
			is.example.ReceivedAt+" "+is.example.RequestURI)
	}
	table.Flush()
}

// reportUnused writes the verbs that are granted and that no test needed. It reports whether there are none.
func (u *usage) reportUnused(out io.Writer) bool {
	table := newTable(out, "VERB", "RESOURCE", "PROGRAM", "GRANTED BY")
	ok := true
	for _, component := range slices.Sorted(maps.Keys(u.roles.granted)) {
		for _, a := range u.unused(component) {
			if ok {
				fmt.Fprintln(out,
					"Verbs that are granted and that no test needed. Remove them from manifests (for the controller",
					"also from controller/install/permissions.go),\nor add a test that needs them.")
			}
			ok = false
			verb, resource, _ := strings.Cut(a.String(), " ")
			row(table, verb, resource, component, strings.Join(u.roles.granted[component][a], ", "))
		}
	}
	if !ok {
		table.Flush()
	}
	return ok
}

// reportNotProvoked writes the entries of provoked that did not happen. It reports whether there are none.
func (u *usage) reportNotProvoked(out io.Writer) bool {
	left := u.notProvoked()
	for _, p := range left {
		fmt.Fprintf(out, "%s does not provoke a denied %s any more. Remove it from e2e/privileges/provoked.go.\n",
			p.test, p.does)
	}
	return len(left) == 0
}

func (u *usage) provokedRequests() int {
	n := 0
	for _, count := range u.provocations {
		n += count
	}
	return n
}

func newTable(out io.Writer, columns ...string) *tabwriter.Writer {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row(table, columns...)
	return table
}

func row(table *tabwriter.Writer, cells ...string) {
	fmt.Fprintln(table, "  "+strings.Join(cells, "\t"))
}

// orNone returns a namespace, or "none" for requests that have none.
func orNone(namespace string) string {
	if namespace == "" {
		return "none"
	}
	return namespace
}
