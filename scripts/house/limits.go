package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// size is the size of a package, without tests and generated files.
type size struct {
	lines   int // without comments and blank lines
	imports int // of this repository
	types   []typeSize
	longest funcSize
}

// typeSize is the size of a type.
type typeSize struct {
	name            string
	fields, methods int
}

// funcSize is the size of a function.
type funcSize struct {
	name  string
	lines int
}

// isTooLarge reports whether a type exceeds the limits. The fields of a record, such as a row or a wire type, have no
// limit.
func (t typeSize) isTooLarge() bool {
	isRecord := t.methods <= maxRecordMethods
	return t.fields > maxFields && !isRecord || t.methods > maxMethods
}

// largest returns the type that is closest to the limits, or exceeds them most.
func (s size) largest() typeSize {
	bulk := func(t typeSize) int { return max(t.fields*maxMethods, t.methods*maxFields) }
	if len(s.types) == 0 {
		return typeSize{}
	}
	return slices.MaxFunc(s.types, func(a, b typeSize) int { return cmp.Compare(bulk(a), bulk(b)) })
}

// measure measures a package.
func (p goPackage) measure() (size, error) {
	var s size
	fset, types, imports := token.NewFileSet(), map[string]*typeSize{}, map[string]bool{}
	for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
		file, err := parser.ParseFile(
			fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution,
		)
		if err != nil {
			return s, err
		}
		if ast.IsGenerated(file) {
			continue
		}
		lines, err := codeLines(filepath.Join(p.Dir, name))
		if err != nil {
			return s, err
		}
		s.lines += lines
		for _, spec := range file.Imports {
			if strings.HasPrefix(spec.Path.Value, `"`+module+"/") {
				imports[spec.Path.Value] = true
			}
		}
		for _, decl := range file.Decls {
			measureDecl(fset, decl, types, &s.longest)
		}
	}
	s.imports = len(imports)
	for _, name := range slices.Sorted(maps.Keys(types)) {
		s.types = append(s.types, *types[name])
	}
	return s, nil
}

// measureDecl adds the fields and methods of a declaration to their types, and records the longest function.
func measureDecl(fset *token.FileSet, decl ast.Decl, types map[string]*typeSize, longest *funcSize) {
	of := func(name string) *typeSize {
		if types[name] == nil {
			types[name] = &typeSize{name: name}
		}
		return types[name]
	}
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if name := receiver(decl); name != "" {
			of(name).methods++
		}
		if lines := fset.Position(decl.End()).Line - fset.Position(decl.Pos()).Line + 1; lines > longest.lines {
			*longest = funcSize{decl.Name.Name, lines}
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			typ, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if fields, ok := typ.Type.(*ast.StructType); ok {
				of(typ.Name.Name).fields += fields.Fields.NumFields()
			}
		}
	}
}

// receiver returns the name of the type of a method. Empty means that fn is a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
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
			return t.Name
		default:
			return ""
		}
	}
}

// sizeFaults returns a fault for each size beyond the limits, which apply to the packages of the product.
func (p goPackage) sizeFaults(s size) []string {
	if !isProduct(p.place) {
		return nil
	}
	var faults []string
	if s.lines > maxPackageLines {
		faults = append(faults, fmt.Sprintf("%s: %d lines without comments, at most %d. Split the package",
			p.place, s.lines, maxPackageLines))
	}
	for _, t := range s.types {
		if name := path.Join(p.place, t.name); t.isTooLarge() && !slices.Contains(large, name) {
			faults = append(faults, fmt.Sprintf("%s: %d fields and %d methods, at most %d and %d. Split the type",
				name, t.fields, t.methods, maxFields, maxMethods))
		}
	}
	return faults
}

// report prints a table of the packages of the product, and the sum of their lines.
func report(w io.Writer, packages []goPackage) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "package\tlines\timports\tlargest type\tfields\tmethods\tlongest function\tlines")
	sum := 0
	for _, p := range packages {
		if !isProduct(p.place) {
			continue
		}
		s, err := p.measure()
		if err != nil {
			return err
		}
		sum += s.lines
		t := s.largest()
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%d\t%d\t%s\t%d\n",
			p.place, s.lines, s.imports, t.name, t.fields, t.methods, s.longest.name, s.longest.lines)
	}
	fmt.Fprintf(table, "sum\t%d\n", sum)
	return table.Flush()
}

// codeLines counts the lines of a file, except blank lines and lines with only a comment.
func codeLines(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			n++
		}
	}
	return n, nil
}

// isProduct reports whether a folder belongs to the product.
func isProduct(place string) bool {
	return slices.ContainsFunc(product, func(dir string) bool {
		return place == dir || strings.HasPrefix(place, dir+"/")
	})
}
