package control_test

import (
	"go/ast"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"kontroler/e2e/harness"
)

// The crash points in the source are those that tests name. A test that names a point fails if the point is not hit.
func TestEveryCrashPointIsHit(t *testing.T) {
	source, named := harness.Points(t), map[string]bool{}
	harness.EachFile(t, "e2e", func(name string, file *ast.File) {
		if dir := filepath.Base(filepath.Dir(name)); strings.HasSuffix(name, "_test.go") &&
			(dir == "e2e" || dir == "control") {
			findFaults(file, named)
		}
	})
	if len(source) < 30 {
		t.Fatalf("found only the crash points %v", source)
	}
	if diff := gocmp.Diff(source, slices.Sorted(maps.Keys(named))); diff != "" {
		t.Errorf("crash points (-in the source +named by tests):\n%s", diff)
	}
}

// faultText matches a fault in a test: "[scene ]point:time[@point]", with or without an action before it.
var faultText = regexp.MustCompile(`^(?:[a-z]+ |kill:|stop:)?([a-z]+(?:-[a-z]+)*):[0-9]+(?:@([a-z-]+))?$`)

// findFaults adds the crash points that the string literals of a test name.
func findFaults(file *ast.File, points map[string]bool) {
	ast.Inspect(file, func(node ast.Node) bool {
		expression, ok := node.(ast.Expr)
		if !ok {
			return true
		}
		text, ok := harness.Literal(expression)
		if !ok {
			return true
		}
		if match := faultText.FindStringSubmatch(strings.TrimPrefix(text, "KONTROLER_FAULT=")); match != nil {
			points[match[1]] = true
			if match[2] != "" {
				points[match[2]] = true
			}
		}
		return true
	})
}
