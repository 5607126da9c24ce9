package openapi_test

import (
	"strings"
	"testing"

	"kontroler/scripts/openapi"
)

const small = `
tags: [{name: things}]
paths:
  /things/{id}:
    parameters:
      - {$ref: "#/components/parameters/ID"}
    put:
      tags: [things]
      operationId: putThing
      summary: Write a thing
      x-role: editor
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}, example: {b: 1, a: "2026-01-01"}}}
      responses:
        "200":
          description: The thing.
          headers:
            ETag: {schema: {type: string}}
          content: &thing {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
        "404": {description: None., content: *thing}
components:
  parameters:
    ID: {name: id, in: path, required: true, schema: {type: integer}, example: 7}
  schemas:
    Thing: {type: object, properties: {b: {type: integer}, a: {type: string}}}
`

func TestParse(t *testing.T) {
	d, err := openapi.Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	o := d.Operations[0]
	if o.String() != "PUT /things/{id}" || o.Role != "editor" ||
		len(o.Parameters) != 1 || o.Parameters[0].Name != "id" {
		t.Errorf("operation %+v", o)
	}
	for _, answer := range o.Answers {
		if got := answer.Content[0].Schema.Pointer(); got != "/components/schemas/Thing" {
			t.Errorf("the schema of status %s is at %s", answer.Status, got)
		}
	}
	example, err := o.Body.Content[0].Example.JSON()
	if want := `{"b":1,"a":"2026-01-01"}`; err != nil || string(example) != want {
		t.Errorf("example %s, %v; want %s", example, err, want)
	}
}

func TestParseNamesFaults(t *testing.T) {
	for name, test := range map[string]struct{ old, replacement, want string }{
		"a reference without a target": {
			"parameters/ID\"", "parameters/Id\"", `reference "#/components/parameters/Id" has no target`,
		},
		"an operation without an id":  {"operationId: putThing", "", "add an operationId of its own"},
		"an operation without a role": {"x-role: editor", "", "add x-role: one of anybody, user"},
		"a role that does not exist":  {"x-role: editor", "x-role: owner", "add x-role: one of anybody, user"},
		"an unknown tag":              {"tags: [things]", "tags: [others]", "add one of the tags"},
		"no summary":                  {"summary: Write a thing", "", "add a summary"},
		"a parameter without example": {", example: 7", "", "add an example to the parameter id"},
		"a body without example": {
			`, example: {b: 1, a: "2026-01-01"}`, "", "add an example to the body of type application/json",
		},
		"a path parameter undeclared": {"/things/{id}:", "/things/{id}/{part}:", "add the path parameter part"},
		"no document":                 {small, "", "empty"},
	} {
		_, err := openapi.Parse([]byte(strings.Replace(small, test.old, test.replacement, 1)))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", name, err, test.want)
		}
	}
}
