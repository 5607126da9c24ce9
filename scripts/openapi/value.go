package openapi

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Value is a value of a document. References and aliases on the way to it have been followed. The zero Value does not
// exist, and neither does anything in it.
type Value struct {
	root    *yaml.Node
	node    *yaml.Node
	pointer string
}

// Exists reports whether the document has the value.
func (v Value) Exists() bool { return v.node != nil }

// Pointer returns the JSON pointer of the value. If a reference led to the value, it is the pointer of the target.
func (v Value) Pointer() string { return v.pointer }

// Line returns the line of the document on which the value begins.
func (v Value) Line() int {
	if v.node == nil {
		return 0
	}
	return v.node.Line
}

// Get returns a field of an object.
func (v Value) Get(name string) Value {
	for key, field := range v.Fields() {
		if key == name {
			return field
		}
	}
	return Value{}
}

// Fields returns the fields of an object in the order of the document.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.node == nil || v.node.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			name := v.node.Content[i].Value
			if !yield(name, v.at(v.node.Content[i+1], name)) {
				return
			}
		}
	}
}

// Items returns the items of a list.
func (v Value) Items() []Value {
	if v.node == nil || v.node.Kind != yaml.SequenceNode {
		return nil
	}
	var items []Value
	for i, node := range v.node.Content {
		items = append(items, v.at(node, fmt.Sprint(i)))
	}
	return items
}

// Text returns a scalar as it is written, and "" for everything else.
func (v Value) Text() string {
	if v.node == nil || v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.Value
}

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return v.Text() == "true" }

// JSON returns the value as JSON, with the fields in the order of the document. References in it stay.
func (v Value) JSON() ([]byte, error) {
	if v.node == nil {
		return []byte("null"), nil
	}
	return jsonOf(v.node)
}

// at returns a value inside v, and follows its reference.
func (v Value) at(node *yaml.Node, name string) Value {
	inner := Value{v.root, plain(node), v.pointer + "/" + escape(name)}
	target := reference(inner.node)
	if target == "" {
		return inner
	}
	found, err := resolve(v.root, target)
	if err != nil {
		return Value{} // Load has reported it.
	}
	return found
}

// resolve returns the value that a reference names.
func resolve(root *yaml.Node, target string) (Value, error) {
	pointer, isLocal := strings.CutPrefix(target, "#/")
	if !isLocal {
		return Value{}, fmt.Errorf("reference %q does not begin with #/", target)
	}
	v := Value{root: root, node: root}
	for part := range strings.SplitSeq(pointer, "/") {
		if v = v.Get(strings.NewReplacer("~1", "/", "~0", "~").Replace(part)); !v.Exists() {
			return Value{}, fmt.Errorf("reference %q has no target", target)
		}
	}
	return v, nil
}

// reference returns the target of a reference, and "" if the node is none.
func reference(node *yaml.Node) string {
	if node.Kind == yaml.MappingNode && len(node.Content) == 2 && node.Content[0].Value == "$ref" {
		return node.Content[1].Value
	}
	return ""
}

// plain returns the node behind an alias.
func plain(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// jsonOf returns a node as JSON.
func jsonOf(node *yaml.Node) ([]byte, error) {
	node = plain(node)
	out := []byte{}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			name, err := json.Marshal(node.Content[i].Value)
			if err != nil {
				return nil, err
			}
			value, err := jsonOf(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			out = append(append(append(append(out, ','), name...), ':'), value...)
		}
		return append(append([]byte{'{'}, after(out)...), '}'), nil
	case yaml.SequenceNode:
		for _, item := range node.Content {
			value, err := jsonOf(item)
			if err != nil {
				return nil, err
			}
			out = append(append(out, ','), value...)
		}
		return append(append([]byte{'['}, after(out)...), ']'), nil
	}
	if node.Tag == "!!timestamp" { // JSON has none.
		return json.Marshal(node.Value)
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, fmt.Errorf("line %d: %w", node.Line, err)
	}
	return json.Marshal(value)
}

// after returns a list without its first comma.
func after(list []byte) []byte {
	if len(list) == 0 {
		return list
	}
	return list[1:]
}
