// Package yamltext parses YAML documents with the meaning that the values have in kubectl, and
// explains syntax errors.
package yamltext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v2"
	yamlv3 "go.yaml.in/yaml/v3"
)

// Parse parses a text that contains one YAML document. After the document, the text may
// contain only comments. Parse interprets values as kubectl does, so an unquoted yes is a
// boolean. The type of the error is always Errors.
func Parse(text []byte) (any, error) {
	v, err := decodeYAML(text, true)
	var duplicates *yaml.TypeError
	if errors.As(err, &duplicates) {
		// A mapping can contain an explicit key that a merge key (<<) also sets. YAML allows
		// the explicit key to override the merged key, but the strict mode of the parser
		// rejects it as a duplicate. So search for real duplicates, and if there are none,
		// parse again without strict mode.
		if errs := duplicateKeys(Nodes(text), ""); len(errs) > 0 {
			return nil, errs
		}
		v, err = decodeYAML(text, false)
	}
	if err != nil {
		return nil, yamlErrors(text, err)
	}
	return v, nil
}

func decodeYAML(text []byte, strict bool) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.SetStrict(strict)
	var v, more any
	if err := decoder.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, errors.New("a second document begins in it; separate documents with a line ---")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return v, nil
}

// Nodes parses a text into nodes, which contain line numbers. If the text is not valid
// YAML, it returns nil.
func Nodes(text []byte) *yamlv3.Node {
	var document yamlv3.Node
	if yamlv3.Unmarshal(text, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	return document.Content[0]
}

// Error is a syntax error in a text.
type Error struct {
	// Line is the line of the text, counted from 1.
	Line    int
	Message string
}

// Errors contains one or more errors in a text.
type Errors []Error

func (e Errors) Error() string { return e[0].Message }

// yamlErrors converts a parser error to errors with line numbers.
func yamlErrors(text []byte, err error) Errors {
	var out Errors
	for message := range strings.Lines(err.Error()) {
		message = strings.TrimSpace(strings.TrimPrefix(message, "yaml: "))
		if message == "unmarshal errors:" {
			continue
		}
		line := 1
		if _, scanErr := fmt.Sscanf(message, "line %d:", &line); scanErr == nil {
			_, message, _ = strings.Cut(message, ": ")
			if countsFromZero(message) {
				line++
			}
		}
		last := 1 + bytes.Count(bytes.TrimRight(text, " \t\r\n"), []byte("\n"))
		out = append(out, Error{Line: min(line, last), Message: explainYAML(message)})
	}
	return out
}

// countsFromZero reports whether the line number in an error message of the parser is counted
// from 0. The parser counts from 0 in grammar errors, and from 1 in scanner errors.
func countsFromZero(message string) bool {
	for _, start := range []string{"<", "'", "',", "key", "node content"} {
		if strings.HasPrefix(message, "did not find expected "+start) {
			return true
		}
	}
	return false
}

// explainYAML returns the message of a parser error. For common mistakes, it also explains
// the fix.
func explainYAML(message string) string {
	switch {
	case strings.Contains(message, "cannot start any token"):
		return message + "; YAML is indented with spaces, not with tabs"
	case strings.Contains(message, "expected <document start>"):
		return "the document ends before this line; indent the line as the lines above it, or separate documents with a line ---"
	default:
		return message
	}
}

// duplicateKeys returns an error for each key that a mapping contains twice. It also returns
// an error for a merge key (<<) after an explicit key that the merge key also sets. In this
// case, kubectl uses the value from the merge key, although according to YAML the explicit
// key overrides this value. The `parent` parameter is the key of the node, or "" if it has none.
func duplicateKeys(node *yamlv3.Node, parent string) Errors {
	if node == nil {
		return nil
	}
	var errs Errors
	if node.Kind == yamlv3.MappingNode {
		errs = duplicatesIn(node, parent)
	}
	for i, c := range node.Content {
		key := ""
		if node.Kind == yamlv3.MappingNode && i%2 == 1 {
			key = nodeName(node.Content[i-1])
		}
		errs = append(errs, duplicateKeys(c, key)...)
	}
	return errs
}

func duplicatesIn(mapping *yamlv3.Node, parent string) (errs Errors) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		name := nodeName(key)
		if seen[name] {
			fix := "keep one"
			if parent == "matchLabels" {
				fix = fmt.Sprintf("to match one of several values, write matchExpressions: [{key: %s, operator: In, values: [...]}]", name)
			}
			errs = append(errs, Error{key.Line, fmt.Sprintf("the key %q is given twice; %s", name, fix)})
		}
		seen[name] = true
		if key.ShortTag() != "!!merge" {
			continue
		}
		for _, merged := range mergedKeys(mapping.Content[i+1]) {
			if seen[merged] {
				errs = append(errs, Error{key.Line, fmt.Sprintf("the merge key << follows the key %q, which it also sets; put << first", merged)})
			}
		}
	}
	return errs
}

// mergedKeys returns the keys that a merge key sets. The `value` parameter is the value of the
// merge key: a mapping or a sequence of mappings.
func mergedKeys(value *yamlv3.Node) (names []string) {
	if value.Kind == yamlv3.AliasNode {
		value = value.Alias
	}
	switch value.Kind {
	case yamlv3.SequenceNode:
		for _, c := range value.Content {
			names = append(names, mergedKeys(c)...)
		}
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(value.Content); i += 2 {
			if value.Content[i].ShortTag() == "!!merge" {
				names = append(names, mergedKeys(value.Content[i+1])...)
			} else {
				names = append(names, nodeName(value.Content[i]))
			}
		}
	}
	return names
}

// nodeName returns the JSON name of a YAML key. If the key has no JSON name, nodeName returns
// the text of the key.
func nodeName(key *yamlv3.Node) string {
	const quoted = yamlv3.SingleQuotedStyle | yamlv3.DoubleQuotedStyle | yamlv3.LiteralStyle | yamlv3.FoldedStyle
	var v any
	if key.Style&quoted == 0 && yaml.Unmarshal([]byte(key.Value), &v) == nil {
		if name, err := KeyName(v); err == nil {
			return name
		}
	}
	return key.Value
}

// KeyName returns the JSON name of a YAML key. A YAML key can also be a number or a boolean.
// For example, the name of the key 80 is "80".
func KeyName(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(k), nil
	default:
		return "", fmt.Errorf("the key %v is not a string", k)
	}
}
