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

// report is what is known of the tests until now.
type report struct {
	out   io.Writer
	total int // test functions
	ended int
	tests map[key]*test
	order []*test // in which they began
}

type key struct{ pkg, name string }

// test is a test function or a subtest.
type test struct {
	key
	state   string // run, pause, pass, fail, skip
	seconds float64
	pods    int
	counted bool // it has said how many Pods it had
	hasSubs bool
	output  []string
}

func newReport(out io.Writer, total int) *report {
	return &report{out: out, total: total, tests: map[key]*test{}}
}

// isFunction reports whether a test is a test function, no subtest.
func (t *test) isFunction() bool { return !strings.Contains(t.name, "/") }

// isTold reports whether a test has a line of its own: it has Pods, or is a function without subtests that have.
func (t *test) isTold() bool { return t.counted || t.isFunction() && !t.hasSubs }

// event takes an event of a test, or of its package.
func (r *report) event(e event) {
	if e.Test == "" {
		// The package's own output: what it prints outside of tests, a panic, a build that failed; its last lines say no more
		// than the events do.
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
		t.take(e.Output)
	case "pass", "fail", "skip":
		t.state, t.seconds = e.Action, e.Elapsed
		r.tell(t)
	}
}

var podsLine = regexp.MustCompile(`: Pods: (\d+)\n$`)

// take keeps what a test prints, but for what go test says of its state.
func (t *test) take(output string) {
	if match := podsLine.FindStringSubmatch(output); match != nil {
		t.pods, _ = strconv.Atoi(match[1])
		t.counted = true
		return
	}
	for _, mark := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(output, mark) {
			return
		}
	}
	t.output = append(t.output, output)
}

// results are how a line says the end of a test; one that is lost has not ended when its process did.
var results = map[string]string{"pass": "ok", "fail": "FAIL", "skip": "skip", "run": "LOST", "pause": "LOST"}

// tell prints the line of a test that has ended, and what it has printed unless it passed.
func (r *report) tell(t *test) {
	if t.isFunction() {
		r.ended++
	} else if parent := r.parent(t); parent != nil {
		parent.hasSubs = parent.hasSubs || t.isTold() || t.hasSubs
	}
	if !t.isTold() && t.state == "pass" {
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
	if t.counted {
		pods = fmt.Sprintf("%d Pods", t.pods)
	}
	return fmt.Sprintf("%6.1f s %8s  %s.%s", t.seconds, pods, path.Base(t.pkg), t.name)
}

// running are the names of the tests that run, of those that have subtests the subtests alone.
func (r *report) running() []string {
	waiting := map[key]bool{} // tests whose subtests run or wait for their turn
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

// end prints what the tests have printed that have not ended, and the table of all tests, the slowest first.
func (r *report) end() {
	for _, t := range r.order {
		if t.state == "run" || t.state == "pause" {
			r.tell(t)
		}
	}
	var told []*test
	type sum struct {
		tests, pods int
		seconds     float64
	}
	sums := map[string]*sum{}
	for _, t := range r.order {
		if !t.isTold() {
			continue
		}
		told = append(told, t)
		s := sums[t.pkg]
		if s == nil {
			s = &sum{}
			sums[t.pkg] = s
		}
		s.tests++
		s.pods += t.pods
		s.seconds += t.seconds
	}
	slices.SortStableFunc(told, func(a, b *test) int { return cmp.Compare(b.seconds, a.seconds) })
	fmt.Fprintf(r.out, "\n%8s %8s  %s\n", "time", "Pods", "test, the slowest first")
	for _, t := range told {
		pods, result := "", ""
		if t.counted {
			pods = strconv.Itoa(t.pods)
		}
		if t.state != "pass" {
			result = "  " + results[t.state]
		}
		fmt.Fprintf(r.out, "%6.1f s %8s  %s.%s%s\n", t.seconds, pods, path.Base(t.pkg), t.name, result)
	}
	for pkg, s := range sums {
		fmt.Fprintf(r.out, "%6.1f s %8d  %s: %d tests one after the other\n", s.seconds, s.pods, pkg, s.tests)
	}
}
