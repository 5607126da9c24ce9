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
	"unicode/utf8"
)

// A size is what the limits count of one package, tests and generated files left out.
type size struct {
	lines   int // without comments and blank lines
	imports int // of this repository
	types   []typeSize
	longest funcSize
}

type typeSize struct {
	name            string
	fields, methods int
}

type funcSize struct {
	name  string
	lines int
}

// isTooLarge reports whether a type is beyond the limits. A record, such as a row or a wire type, has as many fields as what
// it mirrors.
func (t typeSize) isTooLarge() bool {
	isRecord := t.methods <= maxRecordMethods
	return t.fields > maxFields && !isRecord || t.methods > maxMethods
}

// largest is the type that is closest to the limits, or farthest beyond them.
func (s size) largest() typeSize {
	bulk := func(t typeSize) int { return max(t.fields*maxMethods, t.methods*maxFields) }
	if len(s.types) == 0 {
		return typeSize{}
	}
	return slices.MaxFunc(s.types, func(a, b typeSize) int { return cmp.Compare(bulk(a), bulk(b)) })
}

// measure reads the files of a package.
func (p goPackage) measure() (size, error) {
	var s size
	fset, types, imports := token.NewFileSet(), map[string]*typeSize{}, map[string]bool{}
	for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
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

// measureDecl counts fields and methods by the name of their type, and keeps the longest function.
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

// receiver names the type of a method; empty: it is a function.
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

// sizeFaults finds what is larger than the limits. The limits hold in the packages of the product.
func (p goPackage) sizeFaults(s size) []string {
	if !isProduct(p.place) {
		return nil
	}
	var faults []string
	if s.lines > maxPackageLines {
		faults = append(faults, fmt.Sprintf("%s: %d lines without comments: at most %d, beyond that it is two packages",
			p.place, s.lines, maxPackageLines))
	}
	for _, t := range s.types {
		if name := path.Join(p.place, t.name); t.isTooLarge() && !slices.Contains(large, name) {
			faults = append(faults, fmt.Sprintf("%s: %d fields and %d methods: at most %d and %d, beyond that it is two types",
				name, t.fields, t.methods, maxFields, maxMethods))
		}
	}
	return faults
}

// report prints the sizes of the packages of the product, and the sum of their lines.
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

// longLines finds the lines of a file that are longer than the limit. A tab counts as one column.
func longLines(text string) []string {
	var faults []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		if columns := utf8.RuneCountInString(strings.TrimRight(line, "\n")); columns > maxColumns {
			faults = append(faults, fmt.Sprintf("%d: %d columns: at most %d", n, columns, maxColumns))
		}
	}
	return faults
}

// codeLines counts the lines of a file that are neither blank nor a comment of their own.
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

// isProduct reports whether a place is a part of what is shipped.
func isProduct(place string) bool {
	return slices.ContainsFunc(product, func(dir string) bool { return place == dir || strings.HasPrefix(place, dir+"/") })
}
