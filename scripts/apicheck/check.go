package main

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"kontroler/scripts/openapi"
)

// clientGone is the status that the server logs if the client has gone. Nobody receives it.
const clientGone = 499

// general are headers that any request or answer may have. The document describes them in general, or HTTP does.
var general = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Allow": true, "Authorization": true,
	"Cache-Control": true, "Connection": true, "Content-Length": true, "Content-Security-Policy": true,
	"Content-Type": true, "Cookie": true, "Date": true, "Forwarded": true, "Host": true, "Origin": true,
	"Referrer-Policy": true, "Sec-Fetch-Dest": true, "Sec-Fetch-Mode": true, "Sec-Fetch-Site": true, "Te": true,
	"User-Agent": true, "X-Content-Type-Options": true, "X-Forwarded-For": true, "X-Forwarded-Host": true,
	"X-Forwarded-Proto": true, "X-Request-Id": true,
}

// checker holds exchanges against a document.
type checker struct {
	document  *openapi.Document
	schemas   *schemas
	exchanges int
	// seen are the statuses, parameters and headers that an exchange had.
	seen map[string]bool
	// faults has the first test of each fault.
	faults map[string]string
}

func newChecker(document *openapi.Document) (*checker, error) {
	s, err := newSchemas(document)
	if err != nil {
		return nil, err
	}
	return &checker{document: document, schemas: s, seen: map[string]bool{}, faults: map[string]string{}}, nil
}

// report returns the faults in order.
func (c *checker) report() (lines []string) {
	for fault, test := range c.faults {
		if test != "" {
			fault += " (" + test + ")"
		}
		lines = append(lines, fault)
	}
	slices.Sort(lines)
	return lines
}

// observer reports the faults of an exchange.
type observer struct {
	*checker
	e         exchange
	operation *openapi.Operation
	route     string
}

func (o observer) fault(format string, args ...any) {
	key := o.route + ": " + fmt.Sprintf(format, args...)
	if _, isKnown := o.faults[key]; !isKnown {
		o.faults[key] = o.e.Test
	}
}

// exchange checks an exchange.
func (c *checker) exchange(e exchange) {
	c.exchanges++
	if e.Status == clientGone {
		return
	}
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	operation, hasPath := find(c.document, method, e.Path)
	o := observer{checker: c, e: e, operation: operation}
	if operation == nil {
		o.route = method + " " + e.Path
		o.unknownRoute(hasPath)
		return
	}
	o.route = operation.String()
	i := slices.IndexFunc(operation.Answers, func(a openapi.Answer) bool { return a.Status == fmt.Sprint(e.Status) })
	if i < 0 {
		o.fault("status %d is not documented: add it to responses", e.Status)
		return
	}
	o.answer(operation.Answers[i])
	if e.Status < 300 {
		o.query()
		o.header()
		o.body()
	}
}

// unknownRoute checks the refusal of a request that has no route.
func (o observer) unknownRoute(hasPath bool) {
	refusals := []int{http.StatusNotFound, http.StatusForbidden} // 403 for another origin
	if hasPath {
		refusals = append(refusals, http.StatusMethodNotAllowed)
	}
	if !slices.Contains(refusals, o.e.Status) {
		o.fault("status %d of a route that is not documented: add it to paths", o.e.Status)
		return
	}
	problem := o.document.Root.Get("components").Get("schemas").Get("Problem")
	o.json(fmt.Sprint("status ", o.e.Status), problem, o.e.AnswerBody)
}

// answer checks headers, type of content and body.
func (o observer) answer(a openapi.Answer) {
	status := "status " + a.Status
	o.seen[seenStatus(o.operation, a.Status)] = true
	for name := range o.e.Answered {
		isHeader := func(h openapi.Header) bool { return http.CanonicalHeaderKey(h.Name) == name }
		if slices.ContainsFunc(a.Headers, isHeader) {
			o.seen[seenHeader(o.operation, a.Status, name)] = true
		} else if !general[name] {
			o.fault("%s: header %s is not documented: add it to headers", status, name)
		}
	}
	contentType := o.e.Answered.Get("Content-Type")
	media, ok := mediaOf(a.Content, contentType)
	switch {
	case len(a.Content) == 0 && contentType == "":
	case len(a.Content) == 0:
		o.fault("%s: content of type %s is not documented: add it to content", status, contentType)
	case !ok:
		o.fault("%s: content type %q is not documented", status, contentType)
	case isJSON(media.Type) && o.e.Method != http.MethodHead:
		o.json(status, media.Schema, o.e.AnswerBody)
	}
}

// mediaOf returns the documented content of a type. Parameters such as charset count only if the document has them.
func mediaOf(content []openapi.Media, contentType string) (openapi.Media, bool) {
	got, gotParameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return openapi.Media{}, false
	}
	for _, m := range content {
		want, parameters, err := mime.ParseMediaType(m.Type)
		if err == nil && want == got && (len(parameters) == 0 || maps.Equal(parameters, gotParameters)) {
			return m, true
		}
	}
	return openapi.Media{}, false
}

func isJSON(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// query checks the query of a request that succeeded.
func (o observer) query() {
	values := queryOf(o.e.Query)
	for name, value := range values {
		i := slices.IndexFunc(o.operation.Parameters, func(p openapi.Parameter) bool {
			return p.In == "query" && p.Name == name
		})
		if i < 0 {
			o.fault("query parameter %s is not documented: add it to parameters", name)
			continue
		}
		o.seen[seenParameter(o.operation, "query", name)] = true
		o.text("query parameter "+name, o.operation.Parameters[i].Schema, value)
	}
	for _, p := range o.operation.Parameters {
		if _, isSent := values[p.Name]; p.In == "query" && p.Required && !isSent {
			o.fault("query parameter %s is required, but a request without it succeeded", p.Name)
		}
	}
}

// header checks the headers of a request that succeeded.
func (o observer) header() {
	for name := range o.e.Header {
		i := slices.IndexFunc(o.operation.Parameters, func(p openapi.Parameter) bool {
			return p.In == "header" && http.CanonicalHeaderKey(p.Name) == name
		})
		if i >= 0 {
			o.seen[seenParameter(o.operation, "header", name)] = true
			o.text("header "+name, o.operation.Parameters[i].Schema, o.e.Header.Get(name))
		} else if !general[name] {
			o.fault("request header %s is not documented: add it to parameters", name)
		}
	}
	for _, p := range o.operation.Parameters {
		if p.In == "header" && p.Required && o.e.Header.Get(p.Name) == "" {
			o.fault("header %s is required, but a request without it succeeded", p.Name)
		}
	}
}

// body checks the body of a request that succeeded.
func (o observer) body() {
	documented := o.operation.Body
	if len(o.e.Body) == 0 {
		if documented.Required {
			o.fault("the body is required, but a request without it succeeded")
		}
		return
	}
	media, ok := mediaOf(documented.Content, o.e.Header.Get("Content-Type"))
	switch {
	case !ok:
		o.fault("a body of type %q is not documented: add it to requestBody", o.e.Header.Get("Content-Type"))
	case isJSON(media.Type):
		o.json("body", media.Schema, o.e.Body)
	case media.Type == "application/yaml" && media.Schema.Exists():
		raw, err := yaml.YAMLToJSON(o.e.Body)
		if err != nil {
			o.fault("body: %v", err)
			return
		}
		o.json("body", media.Schema, raw)
	}
}

// text checks a text by a schema. It is a number or a boolean if the schema says so.
func (o observer) text(what string, schema openapi.Value, text string) {
	switch schema.Get("type").Text() {
	case "integer", "number", "boolean":
		o.json(what, schema, []byte(text))
	default:
		o.value(what, schema, text)
	}
}

func (o observer) json(what string, schema openapi.Value, raw []byte) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		o.fault("%s: no JSON: %v", what, err)
		return
	}
	o.value(what, schema, value)
}

func (o observer) value(what string, schema openapi.Value, value any) {
	if !schema.Exists() {
		o.fault("%s: add a schema", what)
		return
	}
	faults, err := o.schemas.validate(schema, value)
	if err != nil {
		o.fault("%s: the schema is not valid: %v", what, err)
	}
	for _, f := range faults {
		o.fault("%s: %s", what, withoutIndex(f))
	}
}
