package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

func main() {
	command := os.Args[1:]
	if len(command) < 3 || command[1] != "test" {
		fmt.Fprintln(os.Stderr, "usage: testreport go test FLAG... PACKAGE...")
		os.Exit(2)
	}
	code, err := run(command, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	os.Exit(code)
}

// run runs the tests, reports them, and returns the exit code of the command.
func run(command []string, out io.Writer) (int, error) {
	total, err := count(command)
	if err != nil {
		return 2, err
	}
	// A Ctrl-C also reaches the tests, which then clean up. This process reports until they have ended.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	cmd := exec.Command(command[0], slices.Insert(slices.Clone(command[1:]), 1, "-json")...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 2, err
	}
	if err := cmd.Start(); err != nil {
		return 2, err
	}
	report := newReport(out, total)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			report.line(line)
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	report.end()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return max(1, exited.ExitCode()), nil
	}
	return 0, err
}

// function matches the declaration of a test function.
var function = regexp.MustCompile(`(?m)^func (Test\w*)\(\w+ \*testing\.T\)`)

// count returns how many test functions the command runs. It reads the files, because linking a test binary takes long.
func count(command []string) (int, error) {
	list := []string{"list", "-json=Dir,TestGoFiles,XTestGoFiles"}
	wanted := regexp.MustCompile("")
	for _, arg := range command[2:] {
		if pattern, ok := strings.CutPrefix(arg, "-run="); ok {
			pattern, _, _ = strings.Cut(pattern, "/")
			var err error
			if wanted, err = regexp.Compile(pattern); err != nil {
				return 0, err
			}
		} else if !strings.HasPrefix(arg, "-") {
			list = append(list, arg)
		}
	}
	cmd := exec.Command(command[0], list...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("listing the packages: %w", err)
	}
	n := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			Dir                       string
			TestGoFiles, XTestGoFiles []string
		}
		if err := decoder.Decode(&pkg); err == io.EOF {
			return n, nil
		} else if err != nil {
			return 0, err
		}
		for _, name := range slices.Concat(pkg.TestGoFiles, pkg.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(pkg.Dir, name))
			if err != nil {
				return 0, err
			}
			for _, match := range function.FindAllSubmatch(text, -1) {
				if wanted.Match(match[1]) {
					n++
				}
			}
		}
	}
}

// event is a line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// line reports a line of `go test -json`. It prints other lines unchanged.
func (r *report) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		fmt.Fprint(r.out, line)
		return
	}
	r.event(e)
}
