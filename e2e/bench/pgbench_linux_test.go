package bench_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// findPgbench returns the newest pgbench of this machine.
func findPgbench() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return exec.LookPath("pgbench")
	}
	major := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) }), nil
}

// The sessions of the server that read views have this name, which begins each line of PostgreSQL's log.
const readerName = "kontroler reader"

var (
	// A statement may have several lines. The next ones begin with a tab.
	loggedStatement = regexp.MustCompile(`(?m)^` + readerName + `\|LOG:  (?:execute [^:]*|statement): (.*(?:\n\t.*)*)` +
		`(?:\n` + readerName + `\|DETAIL:  [Pp]arameters: (.*(?:\n\t.*)*))?`)
	loggedValue = regexp.MustCompile(`\$(\d+) = ('(?:[^']|'')*'|NULL)`)
	placeholder = regexp.MustCompile(`\$(\d+)`)
)

// statements returns the statements on views that PostgreSQL runs while a request is served, with their values, as
// PostgreSQL has logged them. Those that the server runs at intervals are left out.
func (h *history) statements(request func()) (all []string) {
	h.b.Helper()
	log := h.server.Log()
	before, err := os.ReadFile(log)
	if err != nil {
		h.b.Fatal(err)
	}
	request()
	after, err := os.ReadFile(log)
	if err != nil {
		h.b.Fatal(err)
	}
	for _, match := range loggedStatement.FindAllStringSubmatch(string(after[len(before):]), -1) {
		if strings.Contains(match[1], "pg_current_snapshot") || strings.Contains(match[1], "kontroler_v1.schema") {
			continue
		}
		values := map[string]string{}
		for _, v := range loggedValue.FindAllStringSubmatch(match[2], -1) {
			values[v[1]] = v[2]
		}
		all = append(all, placeholder.ReplaceAllStringFunc(match[1], func(p string) string {
			if value, isKnown := values[p[1:]]; isKnown {
				return value
			}
			return p
		}))
	}
	return all
}

// logStatements makes PostgreSQL log every statement, or stops that.
func (h *history) logStatements(isOn bool) {
	h.b.Helper()
	setting := map[bool]string{true: "all", false: "none"}[isOn]
	h.exec(`ALTER SYSTEM SET log_line_prefix = '%a|'`)
	h.exec(`ALTER SYSTEM SET log_statement = '` + setting + `'`)
	h.exec(`SELECT pg_reload_conf()`)
	for h.strings(`SHOW log_statement`)[0] != setting {
		time.Sleep(10 * time.Millisecond)
	}
}

// pgbench runs scripts of statements in turn, as one client of the role that reads the views, and returns how long each
// took.
func (h *history) pgbench(scripts [][]string, times int) ([]time.Duration, error) {
	program, err := findPgbench()
	if err != nil {
		return nil, err
	}
	dir := h.b.TempDir()
	args := []string{"--no-vacuum", "--client=1", "--transactions=" + strconv.Itoa(times), "--log",
		"--log-prefix=" + filepath.Join(dir, "log")}
	for i, statements := range scripts {
		file := filepath.Join(dir, fmt.Sprint("script-", i))
		if err := os.WriteFile(file, []byte(strings.Join(statements, ";\n")+";\n"), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--file="+file)
	}
	command := exec.Command(program, append(args, h.readerAs)...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil || len(logs) != 1 {
		return nil, errors.Join(err, fmt.Errorf("pgbench has written %d logs", len(logs)))
	}
	return readLatencies(logs[0])
}

// readLatencies reads the third column of pgbench's log: microseconds.
func readLatencies(log string) (all []time.Duration, err error) {
	file, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("a line of pgbench's log: %q", lines.Text())
		}
		micros, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, time.Duration(micros)*time.Microsecond)
	}
	return all, lines.Err()
}
