package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kontroler/scripts/openapi"
)

const document = `
info: {title: Things, version: v1, description: "Read <this>, and ` + "`code`" + `."}
tags: [{name: things}]
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}, example: a}
    post:
      tags: [things]
      operationId: write
      summary: Write a thing
      x-role: editor
      parameters:
        - {name: If-Match, in: header, required: true, schema: {type: string}, example: '"it''s"'}
        - {name: limit, in: query, schema: {type: integer, minimum: 1, default: 5}}
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [list]
              properties:
                list: {type: array, items: {type: object, properties: {phase: {type: string, enum: [Up, Down]}}}}
            example: {list: []}
      responses:
        "200":
          description: The thing.
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
        "404": {description: There is none.}
components:
  schemas:
    Thing: {type: object, properties: {
      parent: {$ref: "#/components/schemas/Thing"}, at: {type: string, format: date-time}}}
`

func TestRender(t *testing.T) {
	d, err := openapi.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	html, err := render(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<p>Read &lt;this&gt;, and <code>code</code>.</p>",
		`<li><a href="#write"><span class="method POST">POST</span> Write a thing</a></li>`,
		`<code>/things<wbr>/<var>{id}</var></code>`,
		"For editors.",
		`<dt><code>limit</code> <span class="type">integer</span></dt>`,
		`<span class="limit">at least <code>1</code></span> <span class="limit">default <code>5</code></span>`,
		`<dt><code>list</code> <span class="type">list of object</span> <span class="required">required</span></dt>`,
		`<code>list[].phase</code>`, `one of <code>Up</code>, <code>Down</code>`,
		`<a href="#type-Thing">Thing</a>`, `<article id="type-Thing">`,
		`<dt><code>parent</code> <span class="type"><a href="#type-Thing">Thing</a></span></dt>`,
		`<summary>Problems <span class="status">404</span>`,
		"curl -X POST &#34;$SERVER/things/a&#34; \\\n  -H &#34;Authorization: Bearer $TOKEN&#34; \\\n",
		`-H &#39;If-Match: &#34;it&#39;\&#39;&#39;s&#34;&#39;`,
		"--data &#39;{&#34;list&#34;:[]}&#39;",
	} {
		if !strings.Contains(string(html), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", html)
	}
}

// TestTheSamePageEveryTime renders the document of the server twice.
func TestTheSamePageEveryTime(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "httpapi", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var pages [2][]byte
	for i := range pages {
		d, err := openapi.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if pages[i], err = render(d); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(pages[0], pages[1]) {
		t.Error("two pages of one document differ")
	}
}
