package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for openapi.yaml and docs.html
	"encoding/base64"
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// docsPage is generated from openapi.yaml by scripts/generate.
//
//go:embed docs.html
var docsPage []byte

// docsPolicy is the Content-Security-Policy of the page: it allows the style of the page, and nothing else.
var docsPolicy = "default-src 'none'; style-src '" + styleHash(docsPage) +
	"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// styleHash returns the source expression of the style of a page.
func styleHash(page []byte) string {
	_, rest, _ := bytes.Cut(page, []byte("<style>"))
	style, _, _ := bytes.Cut(rest, []byte("</style>"))
	sum := sha256.Sum256(style)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func serveOpenAPI(w http.ResponseWriter, c *call) error {
	return serveDocument(w, c, "application/yaml", openAPI)
}

func serveDocs(w http.ResponseWriter, c *call) error {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	return serveDocument(w, c, "text/html; charset=utf-8", docsPage)
}

func serveDocument(w http.ResponseWriter, c *call, contentType string, content []byte) error {
	if _, err := query(c); err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(content) // an error means that the client has gone
	return nil
}
