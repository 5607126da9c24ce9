package httpapi

import (
	_ "embed" // for openapi.yaml
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *call) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI) // An error means that the client has gone.
	return nil
}
