package diff

import (
	"reflect"
	"slices"
)

// Change is a value that differs. Path is the path of the value: names of fields, and, in a list whose items all have
// names, names of items. Before is missing if the value was added, After if it was removed.
type Change struct {
	Path   []string `json:"path"`
	Before *any     `json:"before,omitempty"`
	After  *any     `json:"after,omitempty"`
}

// Values returns the changes between two JSON values, as encoding/json decodes them. If all items of a list have
// distinct names, it matches items by name and ignores their order. It compares other lists as a whole.
func Values(before, after any) []Change { return appendChanges([]string{}, before, after, []Change{}) }

func appendChanges(path []string, before, after any, changes []Change) []Change {
	if reflect.DeepEqual(before, after) {
		return changes
	}
	a, b := fieldsOf(before), fieldsOf(after)
	if a == nil || b == nil {
		return append(changes, Change{path, &before, &after})
	}
	names := make([]string, 0, len(a)+len(b))
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at := append(slices.Clone(path), name)
		was, existed := a[name]
		is, exists := b[name]
		switch {
		case !existed:
			changes = append(changes, Change{Path: at, After: &is})
		case !exists:
			changes = append(changes, Change{Path: at, Before: &was})
		default:
			changes = appendChanges(at, was, is, changes)
		}
	}
	return changes
}

// fieldsOf returns the fields of an object, or the items of a list by their names if all have distinct ones. It returns
// nil for other values.
func fieldsOf(value any) map[string]any {
	if object, ok := value.(map[string]any); ok {
		return object
	}
	list, ok := value.([]any)
	if !ok {
		return nil
	}
	items := make(map[string]any, len(list))
	for _, item := range list {
		object, _ := item.(map[string]any)
		name, isNamed := object["name"].(string)
		if _, isTwice := items[name]; !isNamed || isTwice {
			return nil
		}
		items[name] = item
	}
	return items
}
