package main

import (
	"fmt"
	"math"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// The default bounds.
const (
	maxItems      = 1024
	maxProperties = 256
	maxString     = 4096
	// maxArgument is the longest argument or environment variable that Linux passes to a process.
	maxArgument = 131072
	// maxInt64 is the largest integer that JSON represents exactly. The API server reads a larger one as a float, so
	// 2^63 would pass a bound of 2^63-1 but not decode.
	maxInt64 = 1<<53 - 1
)

const (
	// quantity is the syntax of resource.ParseQuantity, without exponents of three digits and more: from 2^31 on they
	// make it compute for minutes.
	quantity = `^[+-]?([0-9]{1,32}(\.[0-9]{0,32})?|\.[0-9]{1,32})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`
	// dateTime is RFC 3339 as Go parses it. The format date-time also accepts lower case, leap seconds and times
	// without a zone.
	dateTime = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?` +
		`(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
)

// arguments are the core/v1 fields that become arguments or variables of a process.
var arguments = map[string]bool{"value": true, "command": true, "args": true}

// bound adds the missing bounds to a schema and all below it. path is for errors; name is that of the nearest field.
func bound(path, name string, schema *apiextensionsv1.JSONSchemaProps) error {
	switch {
	case schema.XPreserveUnknownFields != nil && *schema.XPreserveUnknownFields:
		return fmt.Errorf("%s: preserves unknown fields", path)
	case schema.XIntOrString:
		return boundIntOrString(path, schema)
	}
	switch schema.Type {
	case "boolean":
		return nil
	case "integer":
		return boundInteger(path, schema)
	case "string":
		return boundString(path, name, schema)
	case "array":
		return boundArray(path, name, schema)
	case "object":
		return boundObject(path, name, schema)
	}
	return fmt.Errorf("%s: cannot bound type %q", path, schema.Type)
}

// boundIntOrString bounds a Quantity, which has a pattern, or an IntOrString, which is an int32 or a string.
func boundIntOrString(path string, schema *apiextensionsv1.JSONSchemaProps) error {
	if schema.Pattern != "" {
		schema.Pattern = quantity
		setDefault(&schema.MaxLength, 128)
		return boundNumber(path, schema, maxInt64)
	}
	setDefault(&schema.MaxLength, 256)
	return boundNumber(path, schema, math.MaxInt32)
}

func boundInteger(path string, schema *apiextensionsv1.JSONSchemaProps) error {
	switch schema.Format {
	case "int32":
		return boundNumber(path, schema, math.MaxInt32)
	case "int64":
		return boundNumber(path, schema, maxInt64)
	}
	return fmt.Errorf("%s: cannot bound an integer of format %q", path, schema.Format)
}

// boundNumber bounds a number to ±limit. A wider bound is an error.
func boundNumber(path string, schema *apiextensionsv1.JSONSchemaProps, limit float64) error {
	setDefault(&schema.Minimum, -limit)
	setDefault(&schema.Maximum, limit)
	if *schema.Minimum < -limit || *schema.Maximum > limit {
		return fmt.Errorf("%s: bounds [%.0f, %.0f] are wider than ±%.0f", path, *schema.Minimum, *schema.Maximum, limit)
	}
	return nil
}

func boundString(path, name string, schema *apiextensionsv1.JSONSchemaProps) error {
	switch {
	case schema.Format == "date-time":
		schema.Pattern = dateTime
		setDefault(&schema.MaxLength, 64)
	case schema.Format != "":
		return fmt.Errorf("%s: cannot bound a string of format %q", path, schema.Format)
	case len(schema.Enum) > 0:
	case arguments[name]:
		setDefault(&schema.MaxLength, maxArgument)
	default:
		setDefault(&schema.MaxLength, maxString)
	}
	return nil
}

func boundArray(path, name string, schema *apiextensionsv1.JSONSchemaProps) error {
	if schema.Items == nil || schema.Items.Schema == nil {
		return fmt.Errorf("%s: array without items", path)
	}
	setDefault(&schema.MaxItems, maxItems)
	return bound(path+"[]", name, schema.Items.Schema)
}

func boundObject(path, name string, schema *apiextensionsv1.JSONSchemaProps) error {
	if values := schema.AdditionalProperties; values != nil {
		if values.Schema == nil {
			return fmt.Errorf("%s: map without a schema of its values", path)
		}
		setDefault(&schema.MaxProperties, maxProperties)
		return bound(path+"{}", name, values.Schema)
	}
	if len(schema.Properties) == 0 {
		schema.MaxProperties = new(int64) // an empty struct
		return nil
	}
	for key, property := range schema.Properties {
		if err := bound(path+"."+key, key, &property); err != nil {
			return err
		}
		schema.Properties[key] = property
	}
	return nil
}

// setDefault sets a bound if it is nil.
func setDefault[T any](bound **T, value T) {
	if *bound == nil {
		*bound = &value
	}
}
