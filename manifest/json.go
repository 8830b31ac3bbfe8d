package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/sluicenet/sluice/inventory"
)

// listFields are the fields of a list.
var listFields = []string{"apiVersion", "kind", "metadata", "items"}

// jsonUnits splits a sequence of JSON values into units: one for each value,
// and one for each item of a list. All of the document must be JSON.
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

// jsonSplitter reads a sequence of JSON values once, from front to back.
type jsonSplitter struct {
	file    string
	data    []byte
	decoder *json.Decoder
	units   []unit
	// line is the line of the byte at index counted.
	line, counted int
}

// skipSpace returns the index of the next byte that is not white space.
func (s *jsonSplitter) skipSpace() int {
	rest := s.data[s.decoder.InputOffset():]
	return len(s.data) - len(bytes.TrimLeft(rest, " \t\r\n"))
}

// lineAt returns the line of the byte at an index. Indexes must not decrease
// from call to call.
func (s *jsonSplitter) lineAt(index int) int {
	s.line += bytes.Count(s.data[s.counted:index], []byte("\n"))
	s.counted = index
	return s.line
}

// next reads one value and returns it as a unit.
func (s *jsonSplitter) next() (unit, error) {
	var raw json.RawMessage
	if err := s.decoder.Decode(&raw); err != nil {
		return unit{}, err
	}
	end := int(s.decoder.InputOffset())
	start := end - len(raw)
	return unit{file: s.file, json: true, chunk: chunk{data: s.data[start:end], line: s.lineAt(start)}}, nil
}

// value reads the value that begins at start and appends its units.
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

// jsonObject is an object in case it is a list.
type jsonObject struct {
	kind  string
	items []unit
	// plain reports whether the object has only the fields of a list, each
	// once.
	plain bool
}

func (s *jsonSplitter) object() (jsonObject, error) {
	object := jsonObject{plain: true}
	if _, err := s.decoder.Token(); err != nil { // {
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
	_, err := s.decoder.Token() // }
	return object, err
}

// field reads the value of one field of the object.
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
	if _, err := s.decoder.Token(); err != nil { // [
		return err
	}
	for s.decoder.More() {
		item, err := s.next()
		if err != nil {
			return err
		}
		object.items = append(object.items, item)
	}
	_, err := s.decoder.Token() // ]
	return err
}

// ignoreType returns nil for a value of the wrong type. The decoder reports it
// with its field.
func ignoreType(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return nil
	}
	return err
}

// jsonError returns the first syntax error in a text that begins on a line of
// the file.
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
