package policy

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
)

// Labels is a set of labels that never changes. Equal sets are ==, and the
// process holds each of them once, however many objects have it: the pods of a
// Deployment all have the same. The zero value is the empty set.
type Labels struct {
	// fields holds the keys, ascending, each with its value behind it.
	fields unique.Handle[string]
}

var _ labels.Labels = Labels{}

// LabelsOf gives the set that a map holds.
func LabelsOf(in map[string]string) Labels {
	if len(in) == 0 {
		return Labels{}
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
	return Labels{unique.Make(string(fields))}
}

// All gives the labels, keys ascending.
func (l Labels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if l == (Labels{}) {
			return
		}
		for rest := l.fields.Value(); rest != ""; {
			var key, value string
			key, rest = cutField(rest)
			value, rest = cutField(rest)
			if !yield(key, value) {
				return
			}
		}
	}
}

// Lookup gives the value of a label, and whether the set has it.
func (l Labels) Lookup(label string) (value string, exists bool) {
	for key, value := range l.All() {
		if key == label {
			return value, true
		}
	}
	return "", false
}

// Has reports whether the set has a label.
func (l Labels) Has(label string) bool {
	_, exists := l.Lookup(label)
	return exists
}

// Get gives the value of a label, "" when the set does not have it.
func (l Labels) Get(label string) string {
	value, _ := l.Lookup(label)
	return value
}

// Map gives the labels as a map of the caller's own, nil for the empty set.
func (l Labels) Map() map[string]string {
	if l == (Labels{}) {
		return nil
	}
	return maps.Collect(l.All())
}

// With gives the set with one label more, or another value of it.
func (l Labels) With(label, value string) Labels {
	all := maps.Collect(l.All())
	all[label] = value
	return LabelsOf(all)
}

// String writes the labels as kubectl does: app=web,tier=front.
func (l Labels) String() string { return labels.Set(l.Map()).String() }

// appendField appends a text and, ahead of it, its length, so that no two lists
// of texts give the same bytes.
func appendField(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

// cutField cuts off what appendField appended.
func cutField(fields string) (text, rest string) {
	size, rest := cutNumber(fields)
	return rest[:size], rest[size:]
}

// cutNumber cuts off a number that binary.AppendUvarint appended.
func cutNumber(fields string) (n int, rest string) {
	for i := 0; ; i++ {
		n |= int(fields[i]&0x7f) << (7 * i)
		if fields[i] < 0x80 {
			return n, fields[i+1:]
		}
	}
}
