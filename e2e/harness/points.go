package harness

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Points returns the names of all crash points in the source, sorted.
func Points(t *testing.T) []string {
	t.Helper()
	points := map[string]bool{}
	for _, dir := range []string{"controller", "store"} {
		EachFile(t, dir, func(name string, file *ast.File) {
			if !strings.HasSuffix(name, "_test.go") {
				findPoints(file, points)
			}
		})
	}
	names := []string{}
	for name := range points {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// EachFile parses each Go file below a directory of the repository and calls found.
func EachFile(t *testing.T, dir string, found func(name string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(Root(), dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			found(path, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// findPoints adds the crash points of a file: fault.Point("…"), and at("…") in the transactions of package store.
func findPoints(file *ast.File, points map[string]bool) {
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || selector.Sel.Name != "Point" && selector.Sel.Name != "at" {
			return true
		}
		if text, ok := Literal(call.Args[0]); ok {
			points[text] = true
		}
		return true
	})
}

// Literal returns the text of a string literal, or false for any other expression.
func Literal(expression ast.Expr) (string, bool) {
	basic, ok := expression.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}
