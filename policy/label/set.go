package label

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
)

// Set is an immutable set of labels. Sets with the same labels are equal with ==. They also share
// memory, because all pods of a Deployment have the same labels. The zero value is the empty set.
type Set struct {
	// fields contains the keys in ascending order, and the value after each key. appendField
	// encodes the keys and values.
	fields unique.Handle[string]
}

var _ labels.Labels = Set{}

// Of returns a set with the labels in a map.
func Of(in map[string]string) Set {
	if len(in) == 0 {
		return Set{}
	}
	var few [16]string
	var buf [512]byte
	keys, fields := few[:0], buf[:0]
	for key := range in {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		fields = appendField(appendField(fields, key), in[key])
	}
	return Set{unique.Make(string(fields))}
}

// All returns an iterator over the labels, sorted by key.
func (s Set) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if s == (Set{}) {
			return
		}
		for rest := s.fields.Value(); rest != ""; {
			var key, value string
			key, rest = cutField(rest)
			value, rest = cutField(rest)
			if !yield(key, value) {
				return
			}
		}
	}
}

// Lookup returns the value of a label and reports whether the set contains the label.
func (s Set) Lookup(label string) (value string, exists bool) {
	for key, value := range s.All() {
		if key == label {
			return value, true
		}
	}
	return "", false
}

// Has reports whether the set contains a label.
func (s Set) Has(label string) bool {
	_, exists := s.Lookup(label)
	return exists
}

// Get returns the value of a label, or "" if the set does not contain the label.
func (s Set) Get(label string) string {
	value, _ := s.Lookup(label)
	return value
}

// Size returns the length of the encoded labels in bytes.
func (s Set) Size() int {
	if s == (Set{}) {
		return 0
	}
	return len(s.fields.Value())
}

// Map returns the labels as a new map, or nil if the set is empty.
func (s Set) Map() map[string]string {
	if s == (Set{}) {
		return nil
	}
	return maps.Collect(s.All())
}

// With returns a copy of the set in which the label has the given value.
func (s Set) With(label, value string) Set {
	all := maps.Collect(s.All())
	all[label] = value
	return Of(all)
}

// String returns the labels in kubectl's syntax, such as app=web,tier=front.
func (s Set) String() string { return labels.Set(s.Map()).String() }

// appendField appends the length of a text and the text. Because of the length, different
// lists of texts have different encodings. For example, the texts app and web are encoded as
// 3app3web, where each 3 is a single byte.
func appendField(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// cutField decodes a text that appendField encoded at the start of `fields`. It returns the text
// and the rest of `fields`.
func cutField(fields string) (text, rest string) {
	size, rest := cutNumber(fields)
	return rest[:size], rest[size:]
}

// cutNumber decodes a number that binary.AppendUvarint encoded at the start of `fields`. It
// returns the number and the rest of `fields`.
func cutNumber(fields string) (n int, rest string) {
	for i := 0; ; i++ {
		n |= int(fields[i]&0x7f) << (7 * i)
		if fields[i] < 0x80 {
			return n, fields[i+1:]
		}
	}
}
