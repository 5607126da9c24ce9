package dag

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	maxFaults        = 100
	maxQuotedBytes   = 128
	maxScheduleBytes = 256
)

// faults collects faults. After the first maxFaults it only counts them.
type faults struct {
	first field.ErrorList
	more  int
}

func (f *faults) add(err *field.Error) {
	if len(f.first) < maxFaults {
		f.first = append(f.first, err)
		return
	}
	f.more++
}

// list returns the faults. If some were only counted, the last entry has their number.
func (f *faults) list() field.ErrorList {
	if f.more == 0 {
		return f.first
	}
	return append(f.first, &field.Error{
		Type:     field.ErrorTypeTooMany,
		Field:    "spec",
		BadValue: field.OmitValueType{},
		Detail:   fmt.Sprintf("… and %d more", f.more),
	})
}

// invalid is field.Invalid with a shortened value. A nil value is not quoted.
func invalid(path *field.Path, value any, detail string) *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: path.String(), BadValue: quoted(value), Detail: detail}
}

// notFound is field.NotFound with a shortened value and a detail.
func notFound(path *field.Path, value, detail string) *field.Error {
	return &field.Error{Type: field.ErrorTypeNotFound, Field: path.String(), BadValue: cut(value), Detail: detail}
}

// duplicate is field.Duplicate with a shortened value and a detail.
func duplicate(path *field.Path, value string) *field.Error {
	err := field.Duplicate(path, cut(value))
	err.Detail = "must be given once"
	return err
}

func quoted(value any) any {
	switch v := value.(type) {
	case nil:
		return field.OmitValueType{}
	case string:
		return cut(v)
	default:
		return value
	}
}

// cut shortens a text that is quoted.
func cut(text string) string {
	if len(text) <= maxQuotedBytes {
		return text
	}
	end := maxQuotedBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// compiler is the state of a call of Compile.
type compiler struct {
	spec       *v1alpha1.DAGSpec
	root       *field.Path
	isDagTask  bool // a DagTask is checked, not a DAG
	faults     faults
	positions  map[string]int32 // of the tasks, by name
	parameters map[string]int32 // positions of the parameters, by name
	parameter  []int32          // for each parameter the last task, from 1, that named it
}

func (c *compiler) add(err *field.Error) { c.faults.add(err) }

// task returns the path of a task.
func (c *compiler) task(position int) *field.Path { return c.root.Child("task").Index(position) }

// inRange checks that an optional number is between low and high.
func inRange[T int32 | int64](f *faults, path *field.Path, value *T, low, high T) {
	if value != nil && (*value < low || *value > high) {
		f.add(invalid(path, *value, fmt.Sprintf("must be between %d and %d", low, high)))
	}
}

// oneOf checks that an optional word is one of words.
func oneOf[T ~string](f *faults, path *field.Path, value T, words ...T) {
	if value != "" && !slices.Contains(words, value) {
		f.add(field.NotSupported(path, cut(string(value)), words))
	}
}

// wellFormed adds the messages of a check of apimachinery as a fault.
func wellFormed(f *faults, path *field.Path, value string, check func(string) []string) {
	if messages := check(value); len(messages) > 0 {
		f.add(invalid(path, value, strings.Join(messages, "; ")))
	}
}

// objectName checks the required name of a Kubernetes object.
func objectName(f *faults, path *field.Path, name string) {
	if name == "" {
		f.add(field.Required(path, ""))
		return
	}
	wellFormed(f, path, name, validation.IsDNS1123Subdomain)
}

// withoutNUL checks a text that reaches a container. Neither system calls nor the database accept a NUL. The text is
// not quoted.
func withoutNUL(f *faults, path *field.Path, text string) {
	if strings.IndexByte(text, 0) >= 0 {
		f.add(invalid(path, nil, "must not contain a NUL character"))
	}
}
