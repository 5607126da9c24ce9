package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
	tree "sigs.k8s.io/yaml/goyaml.v3"

	"kontroler/httpapi/strict"
)

const (
	// maxExpanded bounds a document with its aliases expanded: the sum of its nodes and of the bytes of their values.
	maxExpanded = 2 * MaxBytes
	// maxIndicators bounds the characters of a document that may begin a node, because the parser needs some 400 bytes
	// of memory for a node, two hundred times its text. It is a fifth of the largest object that etcd accepts. Scripts
	// and JSON within strings have fewer.
	maxIndicators = 300_000
	// largeBytes is the size from which only one document is parsed at a time.
	largeBytes = 64 << 10
)

// large is locked while a large document is parsed, so that a few of them do not exhaust the memory.
var large sync.Mutex

// yamlDocument is a document of YAML.
type yamlDocument struct {
	root     *tree.Node
	hasMerge bool // it has merge keys
}

// parse parses a body with one document, and checks its depth, its size with aliases expanded, and duplicate fields. It
// ignores empty documents after the first one.
func parse(body []byte) (yamlDocument, error) {
	if indicators(body) > maxIndicators {
		return yamlDocument{}, malformed(fmt.Sprintf("The YAML has more than %d of the characters , : - ? [ and {. "+
			"Send it as JSON.", maxIndicators))
	}
	decoder := tree.NewDecoder(bytes.NewReader(body))
	var d yamlDocument
	for isFirst := true; ; isFirst = false {
		var node tree.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return d, syntaxError(err)
		}
		isEmpty := len(node.Content) == 0 || node.Content[0].Tag == "!!null"
		switch {
		case isEmpty:
		case isFirst:
			d.root = &node
		default:
			return d, malformed("The body has more than one document. Send one object.",
				Fault{Line: node.Content[0].Line, Detail: "another document begins here"})
		}
	}
	if d.root == nil {
		return d, malformed("The body is empty.")
	}
	v := visitor{left: maxExpanded}
	if err := v.visit(d.root, nil, 0); err != nil {
		return d, err
	}
	if len(v.faults) > 0 {
		return d, malformed("The manifest has duplicate fields.", v.faults...)
	}
	d.hasMerge = v.hasMerge
	return d, nil
}

// indicators counts the characters that can begin an element of a YAML list or mapping, those within strings included.
// A document has at most twice as many nodes.
func indicators(body []byte) (n int) {
	for _, c := range body {
		switch c {
		case ',', ':', '-', '?', '[', '{':
			n++
		}
	}
	return n
}

// json converts the body of the document as kubectl does.
func (d yamlDocument) json(body []byte) ([]byte, error) {
	// The strict conversion also refuses duplicate keys that only differ in spelling, such as yes and true. But it
	// treats a field that overrides a merged one as a duplicate.
	convert := yaml.YAMLToJSONStrict
	if d.hasMerge {
		convert = yaml.YAMLToJSON
	}
	converted, err := convert(body)
	if err != nil {
		return nil, syntaxError(err)
	}
	return converted, nil
}

var lineOfError = regexp.MustCompile(`\bline (\d+): `)

// syntaxError returns the error for YAML that cannot be parsed. The parser states the line only in the text of its
// error.
func syntaxError(err error) *Error {
	fault := Fault{Detail: "the YAML cannot be read"}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if at := lineOfError.FindStringSubmatchIndex(text); at != nil {
		fault.Line, _ = strconv.Atoi(text[at[2]:at[3]])
		text = text[at[1]:]
	}
	if first, _, _ := strings.Cut(text, "\n"); first != "" && len(first) < 200 {
		fault.Detail = first
	}
	return malformed("The body is not valid YAML.", fault)
}

// visitor visits the nodes of a document. It visits an anchor again for each alias.
type visitor struct {
	left     int
	hasMerge bool
	faults   []Fault
}

func (v *visitor) visit(node *tree.Node, path []string, depth int) error {
	if v.left -= 1 + len(node.Value); v.left < 0 {
		return malformed(fmt.Sprintf("The aliases of the YAML expand to more than %d bytes.", maxExpanded))
	}
	if depth > maxDepth {
		return malformed(fmt.Sprintf("The YAML is nested deeper than %d.", maxDepth),
			Fault{Line: node.Line, Detail: "this is nested too deep"})
	}
	switch node.Kind {
	case tree.AliasNode:
		return v.visit(node.Alias, path, depth+1) // an anchor may contain itself: maxDepth ends that
	case tree.MappingNode:
		return v.visitMapping(node, path, depth)
	}
	for i, child := range node.Content {
		if err := v.visit(child, append(path, strconv.Itoa(i)), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) visitMapping(node *tree.Node, path []string, depth int) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Tag == "!!merge" {
			v.hasMerge = true
		} else if key.Kind == tree.ScalarNode {
			if seen[key.Value] && len(v.faults) < strict.MaxFaults {
				v.faults = append(v.faults, Fault{
					Pointer: pointerTo(append(path, key.Value)), Line: key.Line, Detail: "the field is there twice",
				})
			}
			seen[key.Value] = true
		}
		for _, child := range node.Content[i : i+2] {
			if err := v.visit(child, append(path, key.Value), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// pointerTo returns the JSON pointer of a path. The first step of the path is the document itself.
func pointerTo(path []string) (pointer string) {
	for _, step := range path[1:] {
		pointer = strict.Pointer(pointer, step)
	}
	return pointer
}

// line returns the line of a value, or of the nearest enclosing value that exists.
func (d yamlDocument) line(pointer string) int {
	if len(d.root.Content) == 0 {
		return 0
	}
	node, line := d.root.Content[0], d.root.Content[0].Line
	for _, step := range strings.Split(pointer, "/")[1:] {
		child, at := childOf(node, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		if child == nil {
			break
		}
		node, line = child, at
	}
	return line
}

// childOf returns the value of a field or an element, and the line where it begins.
func childOf(node *tree.Node, step string) (child *tree.Node, line int) {
	for node.Kind == tree.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case tree.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case tree.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}
