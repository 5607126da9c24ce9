package main

import (
	"net/url"
	"strings"

	"kontroler/scripts/openapi"
)

// find returns the operation of a request, and whether the document has its path. Of several paths that match, the one
// with the longest literal beginning counts, as on the server.
func find(document *openapi.Document, method, path string) (operation *openapi.Operation, hasPath bool) {
	best := ""
	for _, o := range document.Operations {
		shape, matches := match(o.Path, path)
		if !matches {
			continue
		}
		if shape > best {
			best, operation = shape, nil
		}
		hasPath = true
		if shape == best && o.Method == method {
			operation = o
		}
	}
	return operation, hasPath
}

// match compares a path with that of an operation, segment by segment. The shape has an l for each segment that is a
// literal and a _ for each parameter, so that the greater shape is the more literal one.
func match(template, path string) (shape string, matches bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return "", false
	}
	var b strings.Builder
	for i, segment := range got {
		literal, err := url.PathUnescape(segment)
		switch {
		case err != nil:
			return "", false
		case strings.HasPrefix(want[i], "{"):
			if segment == "" {
				return "", false
			}
			b.WriteByte('_')
		case want[i] == literal:
			b.WriteByte('l')
		default:
			return "", false
		}
	}
	return b.String(), true
}
