package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A goPackage is what go list says of a package, and its folder below the top of the repository.
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

// faults reads the files of a package and returns what is wrong with them.
func (p goPackage) faults() ([]string, error) {
	fset := token.NewFileSet()
	var faults []string
	written, documented := false, false
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		test := strings.HasSuffix(name, "_test.go")
		found := importFaults(fset, file, p.place, p.Module.Path == module, test)
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
		faults = append(faults, p.place+": the package has no comment: state its purpose in doc.go")
	}
	return faults, nil
}

// importFaults finds the imports that the table does not allow. Modules beside the root's have no table.
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

// funcFaults finds the functions that are too long.
func funcFaults(fset *token.FileSet, file *ast.File) []string {
	var faults []string
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; lines > maxLines {
			faults = append(faults, at(fset, fn, fmt.Sprintf("%s has %d lines: at most %d", fn.Name.Name, lines, maxLines)))
		}
	}
	return faults
}

// everybodys are the methods that mean the same on every type.
var everybodys = map[string]bool{"Error": true, "String": true, "Unwrap": true}

// docFaults finds the exported names that have no comment. One comment is enough for a group of constants or variables.
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
			if receiverExported(decl) && !(decl.Recv != nil && everybodys[decl.Name.Name]) {
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

// receiverExported reports whether a function is no method, or one of an exported type.
func receiverExported(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	typ := fn.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// at puts a line number before a fault.
func at(fset *token.FileSet, node ast.Node, fault string) string {
	return fmt.Sprintf("%d: %s", fset.Position(node.Pos()).Line, fault)
}
