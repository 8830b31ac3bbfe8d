package manifest

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// step is one step of a path into an object: a key, or an index when key is "".
type step struct {
	key   string
	index int
}

// path leads from an object to one of its fields.
type path []step

// key gives the path one key deeper; p stays as it is.
func (p path) key(k string) path { return append(p[:len(p):len(p)], step{key: k}) }

// at gives the path one index deeper; p stays as it is.
func (p path) at(i int) path { return append(p[:len(p):len(p)], step{index: i}) }

// String writes the path as Kubernetes does: spec.ingress[0].from, and keys
// that hold dots or slashes in brackets: metadata.labels[example.com/role].
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

// parsePath reads what String writes, but for keys in brackets.
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

// parseNodes gives the text as YAML nodes, which know their lines; nil where it
// cannot be parsed.
func parseNodes(text []byte) *yaml.Node {
	var document yaml.Node
	if yaml.NewDecoder(bytes.NewReader(text)).Decode(&document) != nil || len(document.Content) == 0 {
		return nil
	}
	return document.Content[0]
}

// lineOf finds the line, from 1, that the field or the nearest enclosing one
// begins at.
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

// child gives the value that the step leads to and the line it is named on.
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
