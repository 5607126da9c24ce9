package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// MaxFaults is how many faults are reported.
const MaxFaults = 100

// maxPointer is the length in bytes beyond which an ellipsis replaces each further name of a pointer. Field names of
// the types are short, but a client can send long ones, and up to MaxFaults pointers would repeat them.
const maxPointer = 1024

// Fault says what is wrong with a value.
type Fault struct {
	// Pointer is a JSON pointer (RFC 6901). Empty means the whole text.
	Pointer string
	Detail  string
}

// Check compares a JSON text with the type into which it will be decoded. Field names are case-sensitive. Unknown
// fields, duplicate fields, and values of the wrong type are faults. An error means that the text is not exactly one
// JSON value, or is nested deeper than maxDepth.
func Check(text []byte, t reflect.Type, maxDepth int) ([]Fault, error) {
	c := checker{decoder: json.NewDecoder(bytes.NewReader(text)), maxDepth: maxDepth}
	c.decoder.UseNumber()
	if err := c.value(t, nil, 0); err != nil {
		return nil, err
	}
	if _, err := c.decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return c.faults, nil
}

// Pointer appends a name to a JSON pointer, or an ellipsis if the pointer would be longer than maxPointer.
func Pointer(parent, name string) string {
	if len(parent)+len(name) > maxPointer {
		name = "…"
	}
	return parent + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// place is where a value is: its name or index in its parent. Nil is the whole text. The pointer of a place is built
// only for faults: if every value had one, a long name would be copied for each value below it.
type place struct {
	parent *place
	name   string
}

// pointer returns the JSON pointer of a place.
func (p *place) pointer() string {
	if p == nil {
		return ""
	}
	return Pointer(p.parent.pointer(), p.name)
}

type checker struct {
	decoder  *json.Decoder
	maxDepth int
	faults   []Fault
}

func (c *checker) fault(at *place, detail string) {
	if len(c.faults) < MaxFaults {
		c.faults = append(c.faults, Fault{at.pointer(), detail})
	}
}

// value checks that the next value has the type t. Nil allows any value.
func (c *checker) value(t reflect.Type, at *place, depth int) error {
	token, err := c.decoder.Token()
	if errors.Is(err, io.EOF) {
		return errors.New("it ends too early")
	}
	if err != nil {
		return err
	}
	if depth > c.maxDepth {
		return fmt.Errorf("it is nested deeper than %d", c.maxDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && t.Kind() == reflect.Interface {
		t = nil
	}
	isUnmarshaler := t != nil && reflect.PointerTo(t).Implements(unmarshaler)
	switch token {
	case json.Delim('{'):
		if !isUnmarshaler && !isKind(t, reflect.Struct, reflect.Map) {
			c.fault(at, "an object does not belong here")
			t = nil
		}
		err = c.object(t, at, depth)
	case json.Delim('['):
		if !isUnmarshaler && !isKind(t, reflect.Slice) {
			c.fault(at, "an array does not belong here")
			t = nil
		}
		for i := 0; err == nil && c.decoder.More(); i++ {
			err = c.value(elementOf(t, isUnmarshaler), &place{at, strconv.Itoa(i)}, depth+1)
		}
	default:
		c.scalar(t, isUnmarshaler, token, at)
		return nil
	}
	if err == nil {
		_, err = c.decoder.Token() // the end of the object or array
	}
	return err
}

func (c *checker) object(t reflect.Type, parent *place, depth int) error {
	seen := map[string]bool{}
	for c.decoder.More() {
		token, err := c.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder accepts only strings here
		at := &place{parent, name}
		if seen[name] {
			c.fault(at, "the field is there twice")
		}
		seen[name] = true
		field, isKnown := fieldOf(t, name)
		if !isKnown {
			c.fault(at, "there is no such field")
		}
		if err := c.value(field, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// scalar checks a value that is neither an object nor an array. null is allowed for every type.
func (c *checker) scalar(t reflect.Type, isUnmarshaler bool, token json.Token, at *place) {
	if t == nil || token == nil {
		return
	}
	if isUnmarshaler || isBytes(t) {
		text, err := json.Marshal(token)
		if err == nil {
			err = json.Unmarshal(text, reflect.New(t).Interface())
		}
		if err != nil {
			c.fault(at, "the value does not belong here")
		}
		return
	}
	switch token := token.(type) {
	case string:
		if !isKind(t, reflect.String) {
			c.fault(at, "a string does not belong here")
		}
	case bool:
		if !isKind(t, reflect.Bool) {
			c.fault(at, "a boolean does not belong here")
		}
	case json.Number:
		c.number(t, token, at)
	}
}

func (c *checker) number(t reflect.Type, number json.Number, at *place) {
	var err error
	switch {
	case isKind(t, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64):
		_, err = strconv.ParseInt(number.String(), 10, t.Bits())
	case isKind(t, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64):
		_, err = strconv.ParseUint(number.String(), 10, t.Bits())
	case isKind(t, reflect.Float32, reflect.Float64):
		_, err = strconv.ParseFloat(number.String(), t.Bits())
	default:
		c.fault(at, "a number does not belong here")
		return
	}
	if err != nil {
		c.fault(at, "the number does not belong here: it has a fraction, or is too large or too small")
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// isKind reports whether a type has one of the kinds, or is nil and allows any value.
func isKind(t reflect.Type, kinds ...reflect.Kind) bool {
	if t == nil {
		return true
	}
	for _, kind := range kinds {
		if t.Kind() == kind {
			return true
		}
	}
	return false
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

// elementOf returns the type of the elements of an array. Nil allows any element.
func elementOf(t reflect.Type, isUnmarshaler bool) reflect.Type {
	if isUnmarshaler || t == nil || t.Kind() != reflect.Slice {
		return nil
	}
	return t.Elem()
}

// fieldOf returns the type of a field of t by its name in JSON. Nil allows any value.
func fieldOf(t reflect.Type, name string) (field reflect.Type, isKnown bool) {
	switch {
	case t == nil || reflect.PointerTo(t).Implements(unmarshaler):
		return nil, true
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct:
		return nil, true
	}
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			if field, isKnown := fieldOf(f.Type, name); isKnown {
				return field, true
			}
		case tag == name && tag != "-":
			return f.Type, true
		}
	}
	return nil, false
}
