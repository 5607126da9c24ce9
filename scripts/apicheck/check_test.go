package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"kontroler/scripts/openapi"
)

const document = `
tags: [{name: things}]
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}, example: a}
    get:
      tags: [things]
      operationId: get
      summary: Read
      x-role: viewer
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 9}}
      responses:
        "200":
          description: The thing.
          headers:
            ETag: {schema: {type: string}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
    put:
      tags: [things]
      operationId: put
      summary: Write
      x-role: editor
      parameters:
        - {name: If-Match, in: header, required: true, schema: {type: string}, example: '"1"'}
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/Named"}, example: {name: a}}
          application/yaml: {schema: {$ref: "#/components/schemas/Named"}}
      responses:
        "204": {description: Done.}
  /things/all:
    get:
      tags: [things]
      operationId: all
      summary: Follow
      x-role: viewer
      responses:
        "200": {description: All., content: {text/event-stream: {}}}
components:
  schemas:
    Named: {type: object, required: [name], properties: {name: {type: string}}}
    Thing:
      allOf:
        - {$ref: "#/components/schemas/Named"}
        - {properties: {at: {type: string, format: date-time}, free: {type: object, additionalProperties: true}}}
    Problem: {type: object, required: [title], properties: {title: {type: string}}}
`

// proper are exchanges that see all of the document.
func proper() map[string]exchange {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	json := header("Content-Type", "application/json", "ETag", `"1"`)
	return map[string]exchange{
		"get": {Method: "GET", Path: "/things/a%2Fb", Query: "limit=3", Status: 200, Answered: json,
			AnswerBody: []byte(`{"name": "a", "at": "2026-01-01T00:00:00Z", "free": {"any": 1}}`)},
		"put": {Method: "PUT", Path: "/things/a", Header: header("If-Match", `"1"`, "Content-Type", "application/json"),
			Body: []byte(`{"name": "a"}`), Status: 204, Answered: http.Header{}},
		"yaml": {
			Method: "PUT", Path: "/things/a", Header: header("If-Match", `"1"`, "Content-Type", "application/yaml"),
			Body: []byte("name: a"), Status: 204, Answered: http.Header{},
		},
		"all": {
			Method: "GET", Path: "/things/all", Status: 200, Answered: header("Content-Type", "text/event-stream"),
		},
		"nowhere": {Method: "GET", Path: "/none", Status: 404, AnswerBody: []byte(`{"title": "none"}`),
			Answered: header("Content-Type", "application/problem+json")},
		"method": {Method: "DELETE", Path: "/things/a", Status: 405, AnswerBody: []byte(`{"title": "none"}`),
			Answered: header("Content-Type", "application/problem+json")},
	}
}

// faultsOf returns the report on exchanges.
func faultsOf(t *testing.T, exchanges map[string]exchange) []string {
	t.Helper()
	parsed, err := openapi.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newChecker(parsed)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range exchanges {
		e.Test = name
		c.exchange(e)
	}
	c.examples()
	c.completeness()
	return c.report()
}

func TestProperTraffic(t *testing.T) {
	if faults := faultsOf(t, proper()); len(faults) > 0 {
		t.Errorf("faults:\n%s", strings.Join(faults, "\n"))
	}
}

func TestFaults(t *testing.T) {
	answers := func(body string) func(*exchange) { return func(e *exchange) { e.AnswerBody = []byte(body) } }
	for name, test := range map[string]struct {
		of     string
		change func(*exchange)
		want   []string
	}{
		"a field that is not documented": {
			"get", answers(`{"name": "a", "secret": 1}`), []string{"GET /things/{id}: status 200", "secret"},
		},
		"a field that is missing": {"get", answers(`{}`), []string{"status 200", "name"}},
		"a time that is none": {
			"get", answers(`{"name": "a", "at": "today"}`), []string{"/at", "date-time"},
		},
		"no JSON": {"get", answers(`{`), []string{"no JSON"}},
		"a status": {
			"get", func(e *exchange) { e.Status = 418 }, []string{"status 418 is not documented"},
		},
		"a header": {
			"get", func(e *exchange) { e.Answered.Set("X-New", "1") }, []string{"header X-New is not documented"},
		},
		"a header that nobody saw": {
			"get", func(e *exchange) { e.Answered.Del("ETag") }, []string{"no test saw header ETag"},
		},
		"a type of content": {
			"all", func(e *exchange) { e.Answered.Set("Content-Type", "text/html") },
			[]string{`"text/html" is not documented`},
		},
		"content where there is none": {
			"put", func(e *exchange) { e.Answered.Set("Content-Type", "text/html") },
			[]string{"text/html is not documented"},
		},
		"a query parameter": {
			"get", func(e *exchange) { e.Query += "&odd=1" }, []string{"query parameter odd is not documented"},
		},
		"a value of a query parameter": {
			"get", func(e *exchange) { e.Query = "limit=10" }, []string{"query parameter limit", "9"},
		},
		"a parameter that nobody used": {
			"get", func(e *exchange) { e.Query = "" }, []string{"with query parameter limit succeeded"},
		},
		"a required header": {
			"put", func(e *exchange) { e.Header.Del("If-Match") }, []string{"header If-Match is required, but"},
		},
		"a header of a request": {
			"put", func(e *exchange) { e.Header.Set("Idempotency-Key", "k") },
			[]string{"request header Idempotency-Key is not"},
		},
		"a field of a body": {
			"put", func(e *exchange) { e.Body = []byte(`{"name": "a", "b": 1}`) },
			[]string{"body: /b: the field is not documented"},
		},
		"a field of a YAML body": {
			"yaml", func(e *exchange) { e.Body = []byte("name: a\nb: 1") },
			[]string{"body: /b: the field is not documented"},
		},
		"a required body": {
			"put", func(e *exchange) { e.Body = nil }, []string{"the body is required, but"},
		},
		"a type of body": {
			"put", func(e *exchange) { e.Header.Set("Content-Type", "text/csv") },
			[]string{`"text/csv" is not documented`},
		},
		"a route": {
			"nowhere", func(e *exchange) { e.Status = 200 },
			[]string{"GET /none: status 200 of a route that is not documented"},
		},
		"a problem that is none": {"nowhere", answers(`{}`), []string{"GET /none: status 404", "title"}},
		"a status that nobody saw": {
			"all", func(e *exchange) { e.Path = "/things/some" }, []string{"GET /things/all: no test saw status 200"},
		},
	} {
		exchanges := proper()
		changed := exchanges[test.of]
		test.change(&changed)
		exchanges[test.of] = changed
		faults := faultsOf(t, exchanges)
		hasAll := func(fault string) bool {
			return !slices.ContainsFunc(test.want, func(part string) bool { return !strings.Contains(fault, part) })
		}
		if !slices.ContainsFunc(faults, hasAll) {
			t.Errorf("%s: no fault with %q in\n%s", name, test.want, strings.Join(faults, "\n"))
		}
	}
}
