package compat_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"kontroler/generated/clientset/versioned/scheme"
)

// crdSchemas returns the schemas of the CRDs by kind, without metadata, which the API server decodes itself.
func crdSchemas(t *testing.T) map[string]map[string]any {
	t.Helper()
	files, err := crdFiles()
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]map[string]any{}
	for _, file := range files {
		crd, err := readCRD(file)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		root := versions[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
		delete(root["properties"].(map[string]any), "metadata")
		schemas[kind] = root
	}
	return schemas
}

// walk visits a schema and all below it, in the order of their paths.
func walk(path string, schema map[string]any, visit func(path string, schema map[string]any)) {
	visit(path, schema)
	properties, _ := schema["properties"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		walk(path+"."+key, properties[key].(map[string]any), visit)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		walk(path+"[]", items, visit)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		walk(path+"{}", values, visit)
	}
}

// Every schema has bounds. Without them it accepts what Go cannot decode, and CEL rules cost too much.
func TestEverythingIsBounded(t *testing.T) {
	for kind, root := range crdSchemas(t) {
		walk(kind, root, func(path string, schema map[string]any) {
			if missing := unbounded(schema); missing != "" {
				t.Errorf("%s has no %s", path, missing)
			}
		})
	}
}

// unbounded returns the bound that a schema lacks.
func unbounded(schema map[string]any) string {
	has := func(key string) bool { return schema[key] != nil }
	if has("x-kubernetes-preserve-unknown-fields") {
		return "bound: it preserves unknown fields"
	}
	if has("x-kubernetes-int-or-string") {
		if !has("maxLength") || !has("minimum") || !has("maximum") {
			return "maxLength, minimum or maximum"
		}
		return ""
	}
	switch schema["type"] {
	case "array":
		if !has("maxItems") {
			return "maxItems"
		}
	case "string":
		if !has("enum") && !has("maxLength") {
			return "maxLength"
		}
	case "integer":
		if !has("minimum") || !has("maximum") {
			return "minimum or maximum"
		}
	case "object":
		if !has("properties") && !has("maxProperties") {
			return "maxProperties"
		}
	case "boolean":
	default:
		return fmt.Sprintf("bound: type %v", schema["type"])
	}
	return ""
}

// Every field of Kontroler has a description for kubectl explain.
func TestEveryFieldIsDescribed(t *testing.T) {
	for kind, root := range crdSchemas(t) {
		var foreign []string // paths of core/v1 and meta/v1, which are described there
		walk(kind, root, func(path string, schema map[string]any) {
			below := func(top string) bool { return strings.HasPrefix(path, top) }
			if slices.ContainsFunc(foreign, below) || strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "{}") {
				return
			}
			description, _ := schema["description"].(string)
			if description == "" {
				t.Errorf("%s has no description", path)
			}
			if strings.Contains(description, "\nSee core/v1 ") || strings.Contains(description, "\nSee meta/v1 ") {
				foreign = append(foreign, path)
			}
		})
	}
}

// Objects with every field of a schema, each at one end of its range, decode.
func TestSchemaDecodes(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for kind, root := range crdSchemas(t) {
		for end := range 4 {
			t.Run(fmt.Sprint(kind, end), func(t *testing.T) {
				object := example(root, end).(map[string]any)
				object["apiVersion"], object["kind"] = "kontroler.greedykomodo/v1alpha1", kind
				raw, err := json.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := decoder.Decode(raw, nil, nil); err != nil {
					t.Errorf("the schema accepts an object that Go does not decode: %v", err)
				}
			})
		}
	}
}

// example returns a value that a schema accepts: the one at position end of the extremes of its type.
func example(schema map[string]any, end int) any {
	pick := func(extremes ...any) any { return extremes[end%len(extremes)] }
	switch {
	case schema["x-kubernetes-int-or-string"] != nil && schema["pattern"] != nil:
		longest := strings.Repeat("9", 32)
		return pick(schema["minimum"], schema["maximum"], longest+"."+longest+"e99", "-"+longest+"."+longest+"E-99")
	case schema["x-kubernetes-int-or-string"] != nil:
		return pick(schema["minimum"], schema["maximum"], "https")
	case schema["enum"] != nil:
		return pick(schema["enum"].([]any)...)
	case schema["format"] == "date-time":
		return pick("0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999+23:59", "2024-02-29T12:00:00-23:59")
	}
	switch schema["type"] {
	case "boolean":
		return pick(true, false)
	case "integer":
		return pick(schema["minimum"], schema["maximum"])
	case "array":
		return []any{example(schema["items"].(map[string]any), end)}
	case "string":
		if pattern, _ := schema["pattern"].(string); strings.HasSuffix(pattern, "ms){1,4}$") {
			return pick("0s", "99999.999h99999.999h99999.999h99999.999h", "0.001h")
		}
		return "x"
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		return map[string]any{"x": example(values, end)}
	}
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	for key, property := range properties {
		object[key] = example(property.(map[string]any), end)
	}
	return object
}
