package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// goField is the type of a field: a type of the package itself, a type of another package, or neither.
type goField struct {
	own     string // name of a type of the package
	foreign string // package and type, such as core/v1 Volume
}

// goTypes are the struct types of a package, with their fields by JSON name. Fields of inlined structs are included.
type goTypes map[string]map[string]goField

// describe replaces the descriptions of types of other packages, in the schema of a type and below it.
func (t goTypes) describe(schema *apiextensionsv1.JSONSchemaProps, name string) {
	for key, property := range schema.Properties {
		field := t[name][key]
		inner := element(&property)
		switch {
		case field.own != "":
			t.describe(inner, field.own)
		case field.foreign != "" && len(inner.Properties) > 0:
			strip(&property)
			property.Description = strings.TrimSpace(
				schema.Properties[key].Description + "\nSee " + field.foreign + ".",
			)
		}
		schema.Properties[key] = property
	}
}

// element returns the schema of the elements of a list or map, or the schema itself.
func element(schema *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if schema.Items != nil && schema.Items.Schema != nil {
		return element(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		return element(schema.AdditionalProperties.Schema)
	}
	return schema
}

// strip removes the descriptions of a schema and of all below it.
func strip(schema *apiextensionsv1.JSONSchemaProps) {
	schema.Description = ""
	for key, property := range schema.Properties {
		strip(&property)
		schema.Properties[key] = property
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		strip(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		strip(schema.AdditionalProperties.Schema)
	}
}

// loadTypes reads the struct types of the package in a folder.
func loadTypes(dir string) (goTypes, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no Go file in %q", dir)
	}
	structs := map[string]*ast.StructType{}
	imports := map[string]string{}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		collect(file, structs, imports)
	}
	types := goTypes{}
	for name := range structs {
		types[name] = map[string]goField{}
		addFields(types[name], name, structs, imports)
	}
	return types, nil
}

// collect adds the structs and the imports of a file. Import paths are shortened: k8s.io/api/core/v1 becomes core/v1.
func collect(file *ast.File, structs map[string]*ast.StructType, imports map[string]string) {
	for _, spec := range file.Imports {
		full, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(full)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path.Join(path.Base(path.Dir(full)), path.Base(full))
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.TypeSpec); ok {
			if body, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = body
			}
		}
		return true
	})
}

// addFields adds the fields of the struct with a name, and those of its inlined structs.
func addFields(fields map[string]goField, name string, structs map[string]*ast.StructType, imports map[string]string) {
	for _, field := range structs[name].Fields.List {
		if field.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(field.Tag.Value)
		key, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		found := fieldOf(field.Type, structs, imports)
		if key == "" && strings.Contains(options, "inline") && found.own != "" {
			addFields(fields, found.own, structs, imports)
			continue
		}
		fields[key] = found
	}
}

// fieldOf returns the type of a field, without pointers, lists and maps.
func fieldOf(expr ast.Expr, structs map[string]*ast.StructType, imports map[string]string) goField {
	switch typ := expr.(type) {
	case *ast.StarExpr:
		return fieldOf(typ.X, structs, imports)
	case *ast.ArrayType:
		return fieldOf(typ.Elt, structs, imports)
	case *ast.MapType:
		return fieldOf(typ.Value, structs, imports)
	case *ast.Ident:
		if structs[typ.Name] != nil {
			return goField{own: typ.Name}
		}
	case *ast.SelectorExpr:
		if pkg, ok := typ.X.(*ast.Ident); ok {
			return goField{foreign: imports[pkg.Name] + " " + typ.Sel.Name}
		}
	}
	return goField{}
}
