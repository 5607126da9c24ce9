package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sample is a package of tests that pass, run in parallel, log Pods, have subtests, are skipped and fail.
const sample = `package sample

import "testing"

func TestAlone(t *testing.T) { t.Logf("Pods: %d", 200) }

func TestQuiet(t *testing.T) { t.Log("nobody wants to know") }

func TestMany(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { t.Logf("Pods: %d", len(name)) })
			t.Log("quiet, too")
		})
	}
}

func TestTable(t *testing.T) {
	t.Run("a case", func(*testing.T) {})
}

func TestSkipped(t *testing.T) { t.Skip("no cluster") }

func TestFails(t *testing.T) {
	if FAILS {
		t.Error("what went wrong")
	}
}
`

// reportOf runs the sample under testreport.
func reportOf(t *testing.T, fails bool, flags ...string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module sample\n\ngo 1.26\n",
		"sample_test.go": strings.ReplaceAll(sample, "FAILS", fmt.Sprint(fails)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	if _, err := exec.LookPath("go"); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	code, err := run(append(append([]string{"go", "test", "-count=1"}, flags...), "./..."), &text)
	if err != nil {
		t.Fatal(err)
	}
	return code, regexp.MustCompile(`\d+\.\d s`).ReplaceAllString(text.String(), "N s")
}

func TestReport(t *testing.T) {
	code, out := reportOf(t, false)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"[1/6] ok      N s 200 Pods  sample.TestAlone\n", "[2/6] ok      N s           sample.TestQuiet\n",
		"3 Pods  sample.TestMany/one", "3 Pods  sample.TestMany/two", "sample.TestTable\n",
		"skip    N s           sample.TestSkipped", "no cluster", "[6/6] ok",
		"   N s      200  sample.TestAlone\n", "   N s        3  sample.TestMany/one\n",
		"   N s      206  sample: 7 tests",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, never := range []string{"nobody wants to know", "quiet, too", "a case", "=== RUN", "sample.TestMany\n"} {
		if strings.Contains(out, never) {
			t.Errorf("%q in\n%s", never, out)
		}
	}
}

func TestReportOfAFailure(t *testing.T) {
	code, out := reportOf(t, true, "-run=TestFails|TestAlone")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"[1/2] ok", "[2/2] FAIL", "what went wrong", "sample.TestFails  FAIL\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "TestQuiet") {
		t.Errorf("a test ran that -run does not select:\n%s", out)
	}
}

// A test whose process ends before it is reported as lost, with its output.
func TestReportOfALostTest(t *testing.T) {
	var out strings.Builder
	r := newReport(&out, 2)
	for _, line := range []string{
		`{"Action":"run","Package":"a/p","Test":"TestX"}`,
		`{"Action":"output","Package":"a/p","Test":"TestX","Output":"panic: test timed out\n"}`,
		`{"Action":"run","Package":"a/p","Test":"TestY"}`, `{"Action":"pause","Package":"a/p","Test":"TestY"}`,
		`{"Action":"fail","Package":"a/p","Elapsed":3}`, `no JSON`,
	} {
		r.line(line + "\n")
	}
	r.end()
	for _, want := range []string{"no JSON\n", "LOST", "panic: test timed out", "p.TestX  LOST", "p.TestY  LOST"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
