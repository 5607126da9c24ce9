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
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxBody is the size of a body in bytes.
	maxBody = 64 << 10
	// maxDepth is how deep a body may be nested.
	maxDepth = 32
)

// decode reads a JSON body into a T. Names of fields must be exact; a field that T does not have and one that is there
// twice are refused, each with its pointer.
func decode[T any](c *call) (T, error) {
	var value T
	media, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || media != "application/json" ||
		charset != "" && !strings.EqualFold(charset, "utf-8") {
		return value, fault(unsupportedMediaType, "Send JSON in UTF-8, with Content-Type: application/json.")
	}
	body, err := io.ReadAll(c.Body)
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return value, fault(tooLarge, fmt.Sprintf("A body has at most %d bytes.", tooBig.Limit))
	}
	if err != nil {
		return value, fault(badRequest, "The body did not arrive completely.")
	}
	if !utf8.Valid(body) {
		return value, fault(badRequest, "The body is not valid UTF-8.")
	}
	checker := checker{decoder: json.NewDecoder(bytes.NewReader(body))}
	if err := checker.document(reflect.TypeFor[T]()); err != nil {
		return value, fault(badRequest, "The body is not a JSON value: "+err.Error()+".")
	}
	if len(checker.faults) > 0 {
		return value, fault(badRequest, "The body has fields that it may not have.", checker.faults...)
	}
	err = json.Unmarshal(body, &value)
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		pointer := ""
		if mistyped.Field != "" {
			pointer = "/" + strings.ReplaceAll(mistyped.Field, ".", "/")
		}
		return value, fault(badRequest, "A value has the wrong type.", fieldError{
			pointer, fmt.Sprintf("a %s does not belong here", mistyped.Value),
		})
	}
	if err != nil {
		return value, fault(badRequest, "The body is not valid: "+err.Error()+".")
	}
	return value, nil
}

// checker finds the fields of a JSON value that encoding/json would accept silently.
type checker struct {
	decoder *json.Decoder
	faults  []fieldError
}

// document checks one value that nothing follows.
func (c *checker) document(t reflect.Type) error {
	if err := c.value(t, "", 0); err != nil {
		return err
	}
	if _, err := c.decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// value checks the next value, which is to be a t. Nil means that its fields are free.
func (c *checker) value(t reflect.Type, pointer string, depth int) error {
	token, err := c.decoder.Token()
	if errors.Is(err, io.EOF) {
		return errors.New("it ends too early")
	}
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch token {
	case json.Delim('{'):
		err = c.object(t, pointer, depth)
	case json.Delim('['):
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		for i := 0; err == nil && c.decoder.More(); i++ {
			err = c.value(element, pointer+"/"+strconv.Itoa(i), depth+1)
		}
	default:
		return nil
	}
	if err == nil {
		_, err = c.decoder.Token() // the end of the object or array
	}
	return err
}

func (c *checker) object(t reflect.Type, pointer string, depth int) error {
	seen := map[string]bool{}
	for c.decoder.More() {
		token, err := c.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // The decoder accepts nothing else.
		at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if seen[name] {
			c.faults = append(c.faults, fieldError{at, "the field is there twice"})
		}
		seen[name] = true
		field, isKnown := fieldOf(t, name)
		if !isKnown {
			c.faults = append(c.faults, fieldError{at, "there is no such field"})
		}
		if err := c.value(field, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fieldOf returns the type of a field of t by its name in JSON. If t is not a struct, its fields are free.
func fieldOf(t reflect.Type, name string) (field reflect.Type, isKnown bool) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil, true
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name && tag != "-" {
			return f.Type, true
		}
	}
	return nil, false
}
