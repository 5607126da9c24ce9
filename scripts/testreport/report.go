package main

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// report is the state of all tests that have begun.
type report struct {
	out   io.Writer
	total int // number of test functions
	ended int // of them
	tests map[key]*test
	order []*test // by their beginning
}

type key struct{ pkg, name string }

// test is a test function or a subtest.
type test struct {
	key
	state   string // run, pause, pass, fail or skip
	seconds float64
	pods    int
	hasPods bool // it has logged a number of Pods
	hasSubs bool
	output  []string
}

func newReport(out io.Writer, total int) *report {
	return &report{out: out, total: total, tests: map[key]*test{}}
}

// isFunction reports whether a test is a test function, not a subtest.
func (t *test) isFunction() bool { return !strings.Contains(t.name, "/") }

// isReported reports whether a test has a line of its own: it has Pods, or it is a function without reported subtests.
func (t *test) isReported() bool { return t.hasPods || t.isFunction() && !t.hasSubs }

// event processes an event of a test or of a package.
func (r *report) event(e event) {
	if e.Test == "" {
		// Output of the package: what it prints outside of tests, a panic, a build error. Its last lines only repeat
		// the events.
		if e.Output != "" && e.Output != "PASS\n" && !strings.HasPrefix(e.Output, "ok  \t") {
			fmt.Fprint(r.out, e.Output)
		}
		return
	}
	k := key{e.Package, e.Test}
	t := r.tests[k]
	if t == nil {
		t = &test{key: k}
		r.tests[k] = t
		r.order = append(r.order, t)
	}
	switch e.Action {
	case "run", "cont":
		t.state = "run"
	case "pause":
		t.state = "pause"
	case "output":
		t.addOutput(e.Output)
	case "pass", "fail", "skip":
		t.state, t.seconds = e.Action, e.Elapsed
		r.print(t)
	}
}

var podsLine = regexp.MustCompile(`: Pods: (\d+)\n$`)

// addOutput keeps a line that a test prints, except those of go test itself.
func (t *test) addOutput(output string) {
	if match := podsLine.FindStringSubmatch(output); match != nil {
		t.pods, _ = strconv.Atoi(match[1])
		t.hasPods = true
		return
	}
	for _, mark := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(output, mark) {
			return
		}
	}
	t.output = append(t.output, output)
}

// results are the words for the states of a test. A test is LOST if its process ended before the test.
var results = map[string]string{"pass": "ok", "fail": "FAIL", "skip": "skip", "run": "LOST", "pause": "LOST"}

// print prints the line of a test that has ended, and its output unless it passed.
func (r *report) print(t *test) {
	if t.isFunction() {
		r.ended++
	} else if parent := r.parent(t); parent != nil {
		parent.hasSubs = parent.hasSubs || t.isReported() || t.hasSubs
	}
	if !t.isReported() && t.state == "pass" {
		return
	}
	line := fmt.Sprintf("[%d/%d] %-4s %s", r.ended, r.total, results[t.state], t)
	if running := r.running(); len(running) > 0 {
		line += "; running: " + strings.Join(running, ", ")
	}
	fmt.Fprintln(r.out, line)
	if t.state != "pass" {
		for _, text := range t.output {
			fmt.Fprint(r.out, text)
		}
	}
	t.output = nil
}

func (r *report) parent(t *test) *test {
	return r.tests[key{t.pkg, t.name[:strings.LastIndexByte(t.name, '/')]}]
}

func (t *test) String() string {
	pods := ""
	if t.hasPods {
		pods = fmt.Sprintf("%d Pods", t.pods)
	}
	return fmt.Sprintf("%6.1f s %8s  %s.%s", t.seconds, pods, path.Base(t.pkg), t.name)
}

// running returns the names of the tests that run. It leaves out tests that wait for their subtests.
func (r *report) running() []string {
	waiting := map[key]bool{} // tests whose subtests have not ended
	for _, t := range r.order {
		if (t.state == "run" || t.state == "pause") && !t.isFunction() {
			waiting[r.parent(t).key] = true
		}
	}
	var names []string
	for _, t := range r.order {
		if t.state == "run" && !waiting[t.key] {
			names = append(names, t.name)
		}
	}
	return names
}

// end reports the tests that have not ended, and prints the table of all tests, slowest first.
func (r *report) end() {
	for _, t := range r.order {
		if t.state == "run" || t.state == "pause" {
			r.print(t)
		}
	}
	var reported []*test
	type sum struct {
		tests, pods int
		seconds     float64
	}
	sums := map[string]*sum{}
	for _, t := range r.order {
		if !t.isReported() {
			continue
		}
		reported = append(reported, t)
		s := sums[t.pkg]
		if s == nil {
			s = &sum{}
			sums[t.pkg] = s
		}
		s.tests++
		s.pods += t.pods
		s.seconds += t.seconds
	}
	slices.SortStableFunc(reported, func(a, b *test) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Fprintf(r.out, "\n%8s %8s  %s\n", "time", "Pods", "test, slowest first")
	for _, t := range reported {
		pods, result := "", ""
		if t.hasPods {
			pods = strconv.Itoa(t.pods)
		}
		if t.state != "pass" {
			result = "  " + results[t.state]
		}
		fmt.Fprintf(r.out, "%6.1f s %8s  %s.%s%s\n", t.seconds, pods, path.Base(t.pkg), t.name, result)
	}
	for pkg, s := range sums {
		fmt.Fprintf(r.out, "%6.1f s %8d  %s: %d tests in total\n", s.seconds, s.pods, pkg, s.tests)
	}
}
