package main

import (
	"bytes"
	_ "embed" // for the template and the style
	"flag"
	"fmt"
	"html/template"
	"os"

	"kontroler/scripts/openapi"
)

//go:embed page.tmpl
var pageTemplate string

//go:embed style.css
var style string

func main() {
	in := flag.String("in", "", "the OpenAPI document to read")
	out := flag.String("out", "", "the page to write")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "apidocs:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	document, err := openapi.Load(in)
	if err != nil {
		return err
	}
	html, err := render(document)
	if err != nil {
		return err
	}
	return os.WriteFile(out, html, 0o644)
}

// render makes the page of a document.
func render(document *openapi.Document) ([]byte, error) {
	view, err := newPage(document)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := parsed.Execute(&html, view); err != nil {
		return nil, err
	}
	return html.Bytes(), nil
}
