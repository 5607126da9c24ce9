package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"kontroler/scripts/openapi"
)

// schemas validates values by the schemas of a document.
type schemas struct {
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // by pointer
}

const resource = "urn:openapi"

func newSchemas(document *openapi.Document) (*schemas, error) {
	raw, err := document.Root.JSON()
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	closeAll(root)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(resource, root); err != nil {
		return nil, err
	}
	return &schemas{compiler, map[string]*jsonschema.Schema{}}, nil
}

// validate returns what of a value is not as the schema has it, a line for each fault.
func (s *schemas) validate(schema openapi.Value, value any) ([]string, error) {
	pointer := schema.Pointer()
	compiled := s.compiled[pointer]
	if compiled == nil {
		var err error
		fragment := url.URL{Fragment: pointer}
		if compiled, err = s.compiler.Compile(resource + "#" + fragment.EscapedFragment()); err != nil {
			return nil, fmt.Errorf("line %d: %w", schema.Line(), err)
		}
		s.compiled[pointer] = compiled
	}
	err := compiled.Validate(value)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return nil, err
	}
	return leaves(*invalid.DetailedOutput()), nil
}

// leaves returns the faults that no other ones explain.
func leaves(unit jsonschema.OutputUnit) (faults []string) {
	for _, inner := range unit.Errors {
		faults = append(faults, leaves(inner)...)
	}
	if len(unit.Errors) > 0 || unit.Error == nil {
		return faults
	}
	text := unit.Error.String()
	if _, isClosed := unit.Error.Kind.(*kind.FalseSchema); isClosed {
		text = "the field is not documented: add it to properties, or additionalProperties: true to a free object"
	}
	return []string{strings.TrimPrefix(unit.InstanceLocation+": ", ": ") + text}
}

// closeAll closes every object of the schemas of a document. A schema that another one combines stays open, because it
// does not see the properties of the others. Such references lead to components/open.
func closeAll(root any) {
	document, _ := root.(map[string]any)
	components, _ := document["components"].(map[string]any)
	named, _ := components["schemas"].(map[string]any)
	open := map[string]any{}
	for name, schema := range named {
		open[name] = closed(schema, true)
		named[name] = closed(schema, false)
	}
	delete(components, "schemas")
	closeBelow(document)
	if components != nil {
		components["schemas"], components["open"] = named, open
	}
}

// closeBelow closes the schemas of parameters, headers and bodies.
func closeBelow(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if key == "schema" {
				v[key] = closed(inner, false)
				continue
			}
			closeBelow(inner)
		}
	case []any:
		for _, inner := range v {
			closeBelow(inner)
		}
	}
}

// closed returns a copy of a schema whose objects have no other properties than those that it names, or says that it
// allows. A part is combined with other schemas, which close it.
func closed(value any, isPart bool) any {
	schema, ok := value.(map[string]any)
	if !ok {
		return value
	}
	copied := map[string]any{}
	isCombined := false
	for key, inner := range schema {
		switch key {
		case "properties", "patternProperties", "$defs", "dependentSchemas":
			fields, _ := inner.(map[string]any)
			all := map[string]any{}
			for name, field := range fields {
				all[name] = closed(field, false)
			}
			inner = all
		case "items", "additionalProperties", "unevaluatedProperties":
			inner = closed(inner, false)
		case "allOf", "anyOf", "oneOf":
			isCombined = true
			parts, _ := inner.([]any)
			parts = slices.Clone(parts)
			for i, part := range parts {
				parts[i] = closed(part, true)
			}
			inner = parts
		case "if", "then", "else":
			inner = closed(inner, true)
		}
		copied[key] = inner
	}
	_, hasProperties := schema["properties"]
	if target, ok := schema["$ref"].(string); ok && (isPart || hasProperties) {
		copied["$ref"] = strings.Replace(target, "#/components/schemas/", "#/components/open/", 1)
	}
	_, isFree := schema["additionalProperties"]
	_, isClosed := schema["unevaluatedProperties"]
	if !isPart && !isFree && !isClosed && (hasProperties || isCombined || isObject(schema["type"])) {
		copied["unevaluatedProperties"] = false
	}
	return copied
}

// isObject reports whether a type is object, or has it among others.
func isObject(t any) bool {
	several, _ := t.([]any)
	return t == "object" || slices.Contains(several, any("object"))
}
