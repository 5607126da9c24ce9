package main

import (
	"net/http"
	"net/url"
	"regexp"

	"kontroler/scripts/openapi"
)

func seenStatus(o *openapi.Operation, status string) string { return o.String() + " " + status }

func seenHeader(o *openapi.Operation, status, name string) string {
	return seenStatus(o, status) + " " + http.CanonicalHeaderKey(name)
}

func seenParameter(o *openapi.Operation, in, name string) string {
	if in == "header" {
		name = http.CanonicalHeaderKey(name)
	}
	return o.String() + " " + in + " " + name
}

// completeness reports what is documented and was not seen.
func (c *checker) completeness() {
	for _, operation := range c.document.Operations {
		o := observer{checker: c, operation: operation, route: operation.String()}
		for _, answer := range operation.Answers {
			if !c.seen[seenStatus(operation, answer.Status)] {
				o.fault("no test saw status %s: test it in httpapi, or remove it from responses", answer.Status)
				continue
			}
			for _, h := range answer.Headers {
				if !c.seen[seenHeader(operation, answer.Status, h.Name)] {
					o.fault("status %s: no test saw header %s: test it in httpapi, or remove it from headers",
						answer.Status, h.Name)
				}
			}
		}
		for _, p := range operation.Parameters {
			if p.In != "path" && !c.seen[seenParameter(operation, p.In, p.Name)] {
				o.fault("no request of a test with %s parameter %s succeeded: "+
					"test it in httpapi, or remove it from parameters", p.In, p.Name)
			}
		}
	}
}

// examples checks the examples of parameters and bodies.
func (c *checker) examples() {
	for _, operation := range c.document.Operations {
		o := observer{checker: c, operation: operation, route: operation.String()}
		for _, p := range operation.Parameters {
			if p.Example.Exists() {
				o.text("example of parameter "+p.Name, p.Schema, p.Example.Text())
			}
		}
		media := operation.Body.Content
		for _, answer := range operation.Answers {
			media = append(media, answer.Content...)
		}
		for _, m := range media {
			if !m.Example.Exists() || !isJSON(m.Type) {
				continue
			}
			raw, err := m.Example.JSON()
			if err != nil {
				o.fault("example of a body: %v", err)
				continue
			}
			o.json("example of a body", m.Schema, raw)
		}
	}
}

// queryOf returns the first value of each parameter of a query.
func queryOf(raw string) map[string]string {
	first := map[string]string{}
	values, _ := url.ParseQuery(raw) // The server has refused what is not valid.
	for name, all := range values {
		first[name] = all[0]
	}
	return first
}

var index = regexp.MustCompile(`/\d+(/|:)`)

// withoutIndex makes a fault of one item of a list equal to that of another.
func withoutIndex(fault string) string { return index.ReplaceAllString(fault, "/N$1") }
