package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluicenet/sluice/manifest/internal/yamltext"
)

// Lines is the parsed manifest of one object. Its method Of returns the lines of fields.
type Lines struct{ object *yaml.Node }

// LinesOf parses the manifest of one object.
func LinesOf(text []byte) Lines { return Lines{yamltext.Nodes(text)} }

// Of returns the line on which a field begins, counted from 1. The field is a path such as
// spec.ingress[0].from[1]. If the field does not exist, Of returns the line of the innermost field on
// the path that exists. If the manifest is not valid YAML, it returns 0.
func (l Lines) Of(field string) int {
	if l.object == nil {
		return 0
	}
	return lineOf(l.object, parsePath(field))
}

// step is one step of a path. If key is not empty, the step is a key in a mapping. Otherwise
// the step is an index in a sequence.
type step struct {
	key   string
	index int
}

// path contains the steps from an object to one of its fields.
type path []step

// key returns the path p, extended by a key. It does not modify p.
func (p path) key(k string) path { return append(p[:len(p):len(p)], step{key: k}) }

// at returns the path p, extended by an index. It does not modify p.
func (p path) at(i int) path { return append(p[:len(p):len(p)], step{index: i}) }

// String formats the path in the format of Kubernetes, such as spec.ingress[0].from. If a key
// contains dots, slashes or brackets, String encloses the key in brackets, as in
// metadata.labels[example.com/role].
func (p path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.key == "":
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case strings.ContainsAny(s.key, "./[]"):
			b.WriteString("[" + s.key + "]")
		case b.Len() == 0:
			b.WriteString(s.key)
		default:
			b.WriteString("." + s.key)
		}
	}
	return b.String()
}

// parsePath parses a path in the format that String returns. It does not support
// keys in brackets.
func parsePath(s string) path {
	var p path
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n, err := strconv.Atoi(part); err == nil {
			p = p.at(n)
		} else {
			p = p.key(part)
		}
	}
	return p
}

// lineOf returns the line on which a field begins, counted from 1. If the field does not
// exist, lineOf returns the line of the innermost field on the path that exists.
func lineOf(node *yaml.Node, p path) int {
	line := node.Line
	for _, s := range p {
		next, at := child(node, s)
		if next == nil {
			break
		}
		node, line = next, at
	}
	return line
}

// child returns the value that a step selects in a node, and the line of the value's key or item.
// If the value does not exist, child returns nil.
func child(node *yaml.Node, s step) (*yaml.Node, int) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case node.Kind == yaml.MappingNode && s.key != "":
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == s.key {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case node.Kind == yaml.SequenceNode && s.key == "" && s.index < len(node.Content):
		return node.Content[s.index], node.Content[s.index].Line
	}
	return nil, 0
}
