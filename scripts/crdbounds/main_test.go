package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const source = `package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type Thing struct {
	metav1.TypeMeta ` + "`json:\",inline\"`" + `
	Spec ThingSpec ` + "`json:\"spec\"`" + `
}

type ThingSpec struct {
	Parts []Part ` + "`json:\"parts,omitempty\"`" + `
	Shape ` + "`json:\",inline\"`" + `
}

type Part struct {
	Name string ` + "`json:\"name\"`" + `
}

type Shape struct {
	Volumes []corev1.Volume ` + "`json:\"volumes,omitempty\"`" + `
	Since   *metav1.Time    ` + "`json:\"since,omitempty\"`" + `
}
`

const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: Thing is ours.
        type: object
        properties:
          metadata: {type: object}
          spec:
            description: Spec is ours.
            type: object
            properties:
              parts:
                description: Parts are ours.
                type: array
                maxItems: 3
                items:
                  description: Part is ours.
                  type: object
                  properties:
                    name: {description: Name is ours., type: string, maxLength: 7}
              since: {description: Since is ours., type: string, format: date-time}
              volumes:
                description: Volumes are ours.
                type: array
                items:
                  description: Volume is theirs, at length.
                  type: object
                  properties:
                    name: {description: Name is theirs., type: string}
                    value: {type: string}
                    mode: {type: integer, format: int32}
                    user: {type: integer, format: int64}
                    port: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true}
                    size: {anyOf: [{type: integer}, {type: string}], pattern: .*, x-kubernetes-int-or-string: true}
                    attributes: {description: Theirs., type: object, additionalProperties: {type: string}}
                    policy: {type: string, enum: [a, b]}
`

// finished returns the schema of spec after a run of the tool.
func finished(t *testing.T) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	types, in, out := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(types, "types.go"), source)
	write(t, filepath.Join(in, "things.yaml"), crd)
	if err := run(types, in, out); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(out, "things.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(raw), header) {
		t.Errorf("the file is not marked as generated: %.80s", raw)
	}
	if strings.Contains(string(raw), "status:") || strings.Contains(string(raw), "creationTimestamp") {
		t.Errorf("the file has a status or a creation time:\n%s", raw)
	}
	var done apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &done); err != nil {
		t.Fatal(err)
	}
	return done.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDescriptions(t *testing.T) {
	spec := finished(t)
	volume := spec.Properties["volumes"].Items.Schema
	tests := map[string]struct{ got, want string }{
		"an own struct keeps its description": {spec.Description, "Spec is ours."},
		"an own list keeps its description":   {spec.Properties["parts"].Description, "Parts are ours."},
		"an own element of a list keeps its description": {
			spec.Properties["parts"].Items.Schema.Description, "Part is ours.",
		},
		"an own scalar keeps its description": {
			spec.Properties["parts"].Items.Schema.Properties["name"].Description, "Name is ours.",
		},
		"an own scalar of a foreign type keeps its description": {
			spec.Properties["since"].Description, "Since is ours.",
		},
		"an own field of a foreign struct refers to the type": {
			spec.Properties["volumes"].Description, "Volumes are ours.\nSee core/v1 Volume.",
		},
		"a foreign struct has no description":            {volume.Description, ""},
		"a field of a foreign struct has no description": {volume.Properties["name"].Description, ""},
		"a map in a foreign struct has no description":   {volume.Properties["attributes"].Description, ""},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: description %q, want %q", name, tt.got, tt.want)
		}
	}
}

func TestBounds(t *testing.T) {
	spec := finished(t)
	volume := spec.Properties["volumes"].Items.Schema.Properties
	tests := map[string]struct {
		schema apiextensionsv1.JSONSchemaProps
		want   string
	}{
		"a list gets a bound":          {spec.Properties["volumes"], "maxItems: 1024"},
		"a list with a bound keeps it": {spec.Properties["parts"], "maxItems: 3"},
		"a string gets a bound":        {volume["name"], "maxLength: 4096"},
		"a string with a bound keeps it": {
			spec.Properties["parts"].Items.Schema.Properties["name"], "maxLength: 7",
		},
		"an argument may be as long as Linux allows": {volume["value"], "maxLength: 131072"},
		"an int32 gets its range":                    {volume["mode"], "minimum: -2147483647"},
		"an int64 gets the range of exact integers":  {volume["user"], "maximum: 9007199254740991"},
		"an IntOrString gets the range of an int32":  {volume["port"], "maximum: 2147483647"},
		"a quantity gets a pattern":                  {volume["size"], "[eE][+-]?[0-9]{1,2}"},
		"a map gets a bound":                         {volume["attributes"], "maxProperties: 256"},
		"the values of a map get a bound": {
			*volume["attributes"].AdditionalProperties.Schema, "maxLength: 4096",
		},
		"a date gets a pattern":  {spec.Properties["since"], "pattern: ^[0-9]{4}-"},
		"an enum needs no bound": {volume["policy"], "enum:"},
	}
	for name, tt := range tests {
		raw, err := yaml.Marshal(tt.schema)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), tt.want) {
			t.Errorf("%s: no %q in\n%s", name, tt.want, raw)
		}
	}
}

func TestBoundReportsWhatItCannotBound(t *testing.T) {
	yes, wide := true, 1e19
	tests := map[string]struct {
		schema apiextensionsv1.JSONSchemaProps
		want   string
	}{
		"unknown fields": {
			apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: &yes}, "preserves unknown fields",
		},
		"an integer without a size": {apiextensionsv1.JSONSchemaProps{Type: "integer"}, `integer of format ""`},
		"a bound that is too wide": {
			apiextensionsv1.JSONSchemaProps{Type: "integer", Format: "int64", Maximum: &wide}, "wider than",
		},
		"a number that may have a fraction": {apiextensionsv1.JSONSchemaProps{Type: "number"}, `type "number"`},
		"an unknown format": {
			apiextensionsv1.JSONSchemaProps{Type: "string", Format: "byte"}, `format "byte"`,
		},
		"a list without a schema of its items": {apiextensionsv1.JSONSchemaProps{Type: "array"}, "without items"},
		"a map without a schema of its values": {
			apiextensionsv1.JSONSchemaProps{
				Type: "object", AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true},
			},
			"without a schema of its values",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := apiextensionsv1.JSONSchemaProps{
				Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"field": tt.schema},
			}
			err := bound("spec", "spec", &root)
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				!strings.HasPrefix(err.Error(), "spec.field: ") {
				t.Errorf("got %v, want an error at spec.field that says %q", err, tt.want)
			}
		})
	}
}
