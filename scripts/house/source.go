package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// goPackage is a package as go list prints it. place is its folder, relative to the top of the repository.
type goPackage struct {
	Dir            string
	ImportPath     string
	GoFiles        []string
	IgnoredGoFiles []string
	TestGoFiles    []string
	XTestGoFiles   []string
	Module         struct{ Path string }

	place string
}

// faults returns the faults of the files of a package.
func (p goPackage) faults() ([]string, error) {
	fset := token.NewFileSet()
	var faults []string
	written, documented := false, false
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		source, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		test := strings.HasSuffix(name, "_test.go")
		found := importFaults(fset, file, p.place, p.Module.Path == module, test)
		if !ast.IsGenerated(file) {
			found = append(found, lineFaults(fset, file, string(source))...)
		}
		if !test && !ast.IsGenerated(file) {
			written = true
			documented = documented || file.Doc != nil
			found = slices.Concat(found, funcFaults(fset, file), docFaults(fset, file))
		}
		for _, fault := range found {
			faults = append(faults, path.Join(p.place, name)+":"+fault)
		}
	}
	if written && !documented {
		faults = append(faults, p.place+": the package has no comment. State its purpose in doc.go")
	}
	return faults, nil
}

// importFaults returns a fault for each import that the table does not allow. The table applies to the root module
// only.
func importFaults(fset *token.FileSet, file *ast.File, dir string, root, test bool) []string {
	if !root {
		return nil
	}
	var faults []string
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if fault := importFault(dir, imported, test); fault != "" {
			faults = append(faults, at(fset, spec, fault))
		}
	}
	return faults
}

// lineFaults returns a fault for each line that is too wide. Raw strings and marker comments are not broken.
func lineFaults(fset *token.FileSet, file *ast.File, source string) []string {
	isRaw := map[int]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && strings.HasPrefix(literal.Value, "`") {
			for line := fset.Position(literal.Pos()).Line; line <= fset.Position(literal.End()).Line; line++ {
				isRaw[line] = true
			}
		}
		return true
	})
	var faults []string
	number := 0
	for line := range strings.Lines(source) {
		number++
		if isRaw[number] || strings.HasPrefix(strings.TrimSpace(line), "// +") {
			continue
		}
		if columns := width(strings.TrimRight(line, "\n")); columns > maxColumns {
			faults = append(faults, fmt.Sprintf("%d: %d columns, at most %d", number, columns, maxColumns))
		}
	}
	return faults
}

// width returns the columns of a line. Tabs, which begin it, take tabColumns each.
func width(line string) int {
	return utf8.RuneCountInString(line) + strings.Count(line, "\t")*(tabColumns-1)
}

// funcFaults returns a fault for each function that is too long.
func funcFaults(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; lines > maxLines {
			faults = append(faults,
				at(fset, fn, fmt.Sprintf("%s has %d lines, at most %d", fn.Name.Name, lines, maxLines)))
		}
	}
	return faults
}

// conventional are the methods that need no comment, because they mean the same on every type.
var conventional = map[string]bool{"Error": true, "String": true, "Unwrap": true}

// docFaults returns a fault for each exported name without a comment. One comment suffices for a group of constants or
// variables.
func docFaults(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	undocumented := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(docs, func(doc *ast.CommentGroup) bool { return doc != nil }) {
			faults = append(faults, at(fset, name, name.Name+" is exported and has no comment"))
		}
	}
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if isExportedReceiver(decl) && !(decl.Recv != nil && conventional[decl.Name.Name]) {
				undocumented(decl.Name, decl.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					undocumented(spec.Name, decl.Doc, spec.Doc)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						undocumented(name, decl.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return faults
}

// isExportedReceiver reports whether fn is a function, or a method of an exported type.
func isExportedReceiver(fn *ast.FuncDecl) bool {
	return fn.Recv == nil || ast.IsExported(receiver(fn))
}

// at prefixes a fault with the line number of a node.
func at(fset *token.FileSet, node ast.Node, fault string) string {
	return fmt.Sprintf("%d: %s", fset.Position(node.Pos()).Line, fault)
}
