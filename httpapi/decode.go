package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/manifest"
	"kontroler/httpapi/strict"
)

const (
	// maxBody is the size of a body in bytes, unless its route has another.
	maxBody = 64 << 10
	// maxDepth is how deep a body may be nested.
	maxDepth = 32
)

// decode reads a JSON body into a T. Names of fields must be exact. Unknown and duplicate fields are refused, each with
// its JSON pointer.
func decode[T any](c *call) (T, error) {
	var value T
	_, body, err := readBody(c, "application/json")
	if err != nil {
		return value, err
	}
	faults, err := strict.Check(body, reflect.TypeFor[T](), maxDepth)
	if err != nil {
		return value, fault(badRequest, "The body is not a JSON value: "+err.Error()+".")
	}
	if string(bytes.TrimSpace(body)) == "null" { // null would be decoded as an object without fields
		return value, fault(badRequest, "The body is not a JSON object.")
	}
	if len(faults) > 0 {
		const detail = "The body has fields or values that it may not have."
		return value, fault(badRequest, detail, answer.All(faults, func(f strict.Fault) fieldError {
			return fieldError{Pointer: f.Pointer, Detail: f.Detail}
		})...)
	}
	if err := json.Unmarshal(body, &value); err != nil {
		return value, fault(badRequest, "The body is not valid: "+err.Error()+".")
	}
	return value, nil
}

// readBody reads a body in UTF-8 whose media type is one of types. It returns that type.
func readBody(c *call, types ...string) (media string, body []byte, err error) {
	media, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || !slices.Contains(types, media) ||
		charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", nil, fault(unsupportedMediaType,
			"The Content-Type must be "+strings.Join(types, " or ")+", in UTF-8.")
	}
	body, err = io.ReadAll(c.Body)
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return "", nil, fault(tooLarge, fmt.Sprintf("A body has at most %d bytes.", tooBig.Limit))
	}
	if err != nil {
		return "", nil, fault(badRequest, "The body did not arrive completely.")
	}
	if !utf8.Valid(body) {
		return "", nil, fault(badRequest, "The body is not valid UTF-8.")
	}
	return media, body, nil
}

// decodeManifest reads a manifest, as JSON or YAML.
func decodeManifest[T any](
	c *call, read func([]byte, manifest.Format, manifest.Place) (T, []string, error), name string,
) (value T, warnings []string, err error) {
	media, body, err := readBody(c, "application/json", "application/yaml")
	if err != nil {
		return value, nil, err
	}
	format := manifest.JSON
	if media == "application/yaml" {
		format = manifest.YAML
	}
	return read(body, format, manifest.Place{Namespace: c.PathValue("ns"), Name: name})
}
