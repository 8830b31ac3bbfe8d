package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/sluicenet/sluice/inventory"
)

// listFields are the names of the fields that a list can contain.
var listFields = []string{"apiVersion", "kind", "metadata", "items"}

// jsonUnits splits a sequence of JSON values into units. Each item of a list becomes a unit.
// Each value that is not a list becomes a unit too. If any part of the document is not JSON,
// jsonUnits returns an error.
func jsonUnits(file string, document chunk) ([]unit, *inventory.Error) {
	s := jsonSplitter{file: file, data: document.data, line: document.line}
	s.decoder = json.NewDecoder(bytes.NewReader(document.data))
	for {
		start := s.skipSpace()
		if start == len(s.data) {
			return s.units, nil
		}
		line := s.lineAt(start)
		if s.value(start) != nil {
			return nil, jsonError(file, s.data[start:], line)
		}
	}
}

// jsonSplitter reads a sequence of JSON values in one pass.
type jsonSplitter struct {
	file    string
	data    []byte
	decoder *json.Decoder
	units   []unit
	// line is the number of the line that contains the byte data[counted]. The `lineAt` method
	// advances both fields.
	line, counted int
}

// skipSpace returns the index of the next byte that is not white space.
func (s *jsonSplitter) skipSpace() int {
	rest := s.data[s.decoder.InputOffset():]
	return len(s.data) - len(bytes.TrimLeft(rest, " \t\r\n"))
}

// lineAt returns the line of the byte at an index. The index must not be less than the index
// in the previous call.
func (s *jsonSplitter) lineAt(index int) int {
	s.line += bytes.Count(s.data[s.counted:index], []byte("\n"))
	s.counted = index
	return s.line
}

// next reads one JSON value and returns a unit that contains it.
func (s *jsonSplitter) next() (unit, error) {
	var raw json.RawMessage
	if err := s.decoder.Decode(&raw); err != nil {
		return unit{}, err
	}
	end := int(s.decoder.InputOffset())
	start := end - len(raw)
	return unit{file: s.file, json: true, chunk: chunk{data: s.data[start:end], line: s.lineAt(start)}}, nil
}

// value reads the JSON value that begins at the index `start`, and appends units for the value.
func (s *jsonSplitter) value(start int) error {
	if s.data[start] != '{' {
		u, err := s.next()
		s.units = append(s.units, u)
		return err
	}
	line := s.lineAt(start)
	object, err := s.object()
	if err != nil {
		return err
	}
	if !isList(object.kind) || len(object.items) == 0 || !object.plain {
		whole := chunk{data: s.data[start:s.decoder.InputOffset()], line: line}
		s.units = append(s.units, unit{file: s.file, json: true, chunk: whole})
		return nil
	}
	for _, item := range object.items {
		item.listKind = object.kind
		s.units = append(s.units, item)
	}
	return nil
}

// jsonObject contains the parts of an object that are needed to split the object if it is a
// list.
type jsonObject struct {
	kind  string
	items []unit
	// plain is true if the object contains only the fields of a list, and contains each field
	// only once.
	plain bool
}

func (s *jsonSplitter) object() (jsonObject, error) {
	object := jsonObject{plain: true}
	if _, err := s.decoder.Token(); err != nil { // Read the opening brace.
		return object, err
	}
	seen := map[string]bool{}
	for s.decoder.More() {
		token, err := s.decoder.Token()
		if err != nil {
			return object, err
		}
		key, _ := token.(string)
		object.plain = object.plain && slices.Contains(listFields, key) && !seen[key]
		seen[key] = true
		if err := s.field(&object, key); err != nil {
			return object, err
		}
	}
	_, err := s.decoder.Token() // Read the closing brace.
	return object, err
}

// field reads the value of one field of an object. The `key` parameter is the name of the field. If
// the key is "kind" or "items", the method stores the value in the `object` parameter.
func (s *jsonSplitter) field(object *jsonObject, key string) error {
	start := bytes.TrimLeft(s.data[s.decoder.InputOffset():], " \t\r\n:")
	if key == "items" && len(start) > 0 && start[0] == '[' {
		return s.items(object)
	}
	u, err := s.next()
	if err == nil && key == "kind" {
		err = ignoreType(json.Unmarshal(u.chunk.data, &object.kind))
	}
	return err
}

func (s *jsonSplitter) items(object *jsonObject) error {
	if _, err := s.decoder.Token(); err != nil { // Read the opening bracket.
		return err
	}
	for s.decoder.More() {
		item, err := s.next()
		if err != nil {
			return err
		}
		object.items = append(object.items, item)
	}
	_, err := s.decoder.Token() // Read the closing bracket.
	return err
}

// ignoreType returns nil if err reports that a value has the wrong type. Otherwise it returns
// err. A wrong type can be ignored here, because the decoder later reports the same value
// with the path of its field.
func ignoreType(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return nil
	}
	return err
}

// jsonError returns the first syntax error in a text. The `line` parameter is the line of the
// file on which the text begins.
func jsonError(file string, text []byte, line int) *inventory.Error {
	var value json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&value)
	message := "not a JSON value"
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		offset := min(int(syntax.Offset), len(text))
		line += bytes.Count(text[:max(offset-1, 0)], []byte("\n"))
		message = syntax.Error()
	case errors.Is(err, io.ErrUnexpectedEOF):
		line += bytes.Count(bytes.TrimRight(text, " \t\r\n"), []byte("\n"))
		message = "the text ends inside a value; is the file cut off?"
	}
	return &inventory.Error{Origin: inventory.Origin{File: file, Line: line}, Message: "invalid JSON: " + message}
}
