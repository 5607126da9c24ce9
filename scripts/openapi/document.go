package openapi

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is an OpenAPI document.
type Document struct {
	Root       Value
	Tags       []Tag
	Operations []*Operation
}

// Tag is a group of operations.
type Tag struct{ Name, Description string }

// Operation is a method of a path. Role says who may call it; it is the field x-role.
type Operation struct {
	Method, Path, ID, Summary, Description, Role, Tag string
	// Parameters are those of the path and of the operation.
	Parameters []Parameter
	Body       Body
	Answers    []Answer
	line       int
}

// String returns the method and the path.
func (o *Operation) String() string { return o.Method + " " + o.Path }

// Parameter is a parameter in the path, the query or the header.
type Parameter struct {
	Name, In, Description string
	Required              bool
	Schema, Example       Value
}

// Body is the body of a request.
type Body struct {
	Description string
	Required    bool
	Content     []Media
}

// Answer is an answer with a status.
type Answer struct {
	Status, Description string
	Headers             []Header
	Content             []Media
}

// Header is a header of an answer.
type Header struct {
	Name, Description string
	Schema            Value
}

// Media is a body of a type. Bodies that are no JSON may have no schema.
type Media struct {
	Type            string
	Schema, Example Value
}

// Roles are the values of x-role, from the least to the most.
var Roles = []string{"anybody", "user", "session", "viewer", "operator", "editor", "administrator"}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// Load reads a document. Its error names every fault with its line.
func Load(file string) (*Document, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// Parse reads a document.
func Parse(raw []byte) (*Document, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(raw, &node); err != nil {
		return nil, err
	}
	if len(node.Content) != 1 {
		return nil, errors.New("the document is empty")
	}
	root := plain(node.Content[0])
	d := &Document{Root: Value{root: root, node: root}}
	if err := checkReferences(root, root); err != nil {
		return nil, err
	}
	for _, tag := range d.Root.Get("tags").Items() {
		d.Tags = append(d.Tags, Tag{tag.Get("name").Text(), tag.Get("description").Text()})
	}
	for path, item := range d.Root.Get("paths").Fields() {
		for method, operation := range item.Fields() {
			if slices.Contains(methods, method) {
				d.Operations = append(d.Operations, newOperation(strings.ToUpper(method), path, item, operation))
			}
		}
	}
	return d, d.check()
}

func newOperation(method, path string, item, value Value) *Operation {
	o := &Operation{
		Method: method, Path: path, ID: value.Get("operationId").Text(), Summary: value.Get("summary").Text(),
		Description: value.Get("description").Text(), Role: value.Get("x-role").Text(), line: value.Line(),
	}
	for _, tag := range value.Get("tags").Items() {
		o.Tag = tag.Text()
		break
	}
	for _, p := range append(item.Get("parameters").Items(), value.Get("parameters").Items()...) {
		o.Parameters = append(o.Parameters, Parameter{
			Name: p.Get("name").Text(), In: p.Get("in").Text(), Description: p.Get("description").Text(),
			Required: p.Get("required").IsTrue(), Schema: p.Get("schema"), Example: p.Get("example"),
		})
	}
	body := value.Get("requestBody")
	o.Body = Body{body.Get("description").Text(), body.Get("required").IsTrue(), mediaOf(body.Get("content"))}
	for status, answer := range value.Get("responses").Fields() {
		a := Answer{
			Status: status, Description: answer.Get("description").Text(), Content: mediaOf(answer.Get("content")),
		}
		for name, header := range answer.Get("headers").Fields() {
			a.Headers = append(a.Headers, Header{name, header.Get("description").Text(), header.Get("schema")})
		}
		o.Answers = append(o.Answers, a)
	}
	return o
}

func mediaOf(content Value) (all []Media) {
	for name, media := range content.Fields() {
		all = append(all, Media{name, media.Get("schema"), media.Get("example")})
	}
	return all
}

// checkReferences reports references without a target.
func checkReferences(root, node *yaml.Node) error {
	var faults []error
	if target := reference(node); target != "" {
		if _, err := resolve(root, target); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", node.Line, err))
		}
	}
	for _, inner := range node.Content {
		faults = append(faults, checkReferences(root, inner))
	}
	return errors.Join(faults...)
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// check returns what the operations lack.
func (d *Document) check() error {
	var faults []error
	ids := map[string]bool{}
	for _, o := range d.Operations {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("line %d: %s: %s", o.line, o, fmt.Sprintf(format, args...)))
		}
		if o.ID == "" || ids[o.ID] {
			fault("add an operationId of its own")
		}
		ids[o.ID] = true
		if o.Summary == "" {
			fault("add a summary")
		}
		if !slices.ContainsFunc(d.Tags, func(t Tag) bool { return t.Name == o.Tag }) {
			fault("add one of the tags of the document")
		}
		if !slices.Contains(Roles, o.Role) {
			fault("add x-role: one of %s", strings.Join(Roles, ", "))
		}
		if len(o.Answers) == 0 {
			fault("add responses")
		}
		for _, match := range placeholder.FindAllStringSubmatch(o.Path, -1) {
			if !slices.ContainsFunc(o.Parameters, func(p Parameter) bool {
				return p.In == "path" && p.Name == match[1]
			}) {
				fault("add the path parameter %s", match[1])
			}
		}
		for _, p := range o.Parameters {
			if p.Required && !p.Example.Exists() {
				fault("add an example to the parameter %s", p.Name)
			}
		}
		if len(o.Body.Content) > 0 && !o.Body.Content[0].Example.Exists() {
			fault("add an example to the body of type %s", o.Body.Content[0].Type)
		}
	}
	return errors.Join(faults...)
}
