package label

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
)

// Set is an immutable set of labels. Equal sets compare equal with == and share memory,
// which matters because all pods of a Deployment have the same labels. The zero value is
// the empty set.
type Set struct {
	// fields contains the keys in ascending order. Each key is followed by its value. See
	// appendField for the encoding.
	fields unique.Handle[string]
}

var _ labels.Labels = Set{}

// Of returns the labels in a map.
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

// Map returns the labels as a new map, or nil for the empty set.
func (s Set) Map() map[string]string {
	if s == (Set{}) {
		return nil
	}
	return maps.Collect(s.All())
}

// With returns a copy of the set in which one label is added or replaced.
func (s Set) With(label, value string) Set {
	all := maps.Collect(s.All())
	all[label] = value
	return Of(all)
}

// String returns the labels in the syntax of kubectl, such as app=web,tier=front.
func (s Set) String() string { return labels.Set(s.Map()).String() }

// appendField appends the length of a text, followed by the text, so that different lists
// of texts have different encodings. For example, app and web are encoded as 3app3web,
// where 3 is a single byte.
func appendField(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// cutField returns the first text of an encoding by appendField, and the rest of the
// encoding.
func cutField(fields string) (text, rest string) {
	size, rest := cutNumber(fields)
	return rest[:size], rest[size:]
}

// cutNumber returns the first number of an encoding by binary.AppendUvarint, and the rest
// of the encoding.
func cutNumber(fields string) (n int, rest string) {
	for i := 0; ; i++ {
		n |= int(fields[i]&0x7f) << (7 * i)
		if fields[i] < 0x80 {
			return n, fields[i+1:]
		}
	}
}
