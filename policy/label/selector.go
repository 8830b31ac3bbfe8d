package label

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Selector selects objects whose labels meet every requirement. Selectors with the same
// requirements are equal with == and share memory. The zero value is a selector that is not set.
// It matches every object, as an empty selector does.
type Selector struct {
	// encoded contains the requirements, sorted by key and encoded by appendRequirement.
	encoded unique.Handle[string]
}

// Requirement is one condition of a selector.
type Requirement struct {
	Key string
	// Operator is Equals, In, NotIn, Exists or DoesNotExist.
	Operator selection.Operator
	// Values is sorted. It contains one value if the operator is Equals, and none if the
	// operator is Exists or DoesNotExist.
	Values []string
}

// operators lists the operators. The encoding of an operator is its index in this list.
var operators = [...]selection.Operator{selection.Equals, selection.In, selection.NotIn, selection.Exists, selection.DoesNotExist}

const (
	opEquals = iota
	opIn
	opNotIn
	opExists
	opDoesNotExist
)

// NewSelector returns a selector with the given requirements, which must be valid. It
// modifies the list: it sorts the requirements, and replaces the values of each requirement
// with a sorted copy without duplicates.
func NewSelector(requirements []Requirement) Selector {
	for i := range requirements {
		requirements[i].Values = slices.Compact(slices.Sorted(slices.Values(requirements[i].Values)))
	}
	slices.SortFunc(requirements, func(a, b Requirement) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Operator, b.Operator), slices.Compare(a.Values, b.Values))
	})
	var buf [256]byte
	encoded := buf[:0]
	for _, r := range requirements {
		encoded = appendRequirement(encoded, r)
	}
	return Selector{unique.Make(string(encoded))}
}

// appendRequirement encodes a requirement and appends the encoding. The encoding contains the
// operator as one byte, the key, the number of values, and the values.
func appendRequirement(to []byte, r Requirement) []byte {
	to = append(to, byte(slices.Index(operators[:], r.Operator)))
	to = appendField(to, r.Key)
	to = binary.AppendUvarint(to, uint64(len(r.Values)))
	for _, value := range r.Values {
		to = appendField(to, value)
	}
	return to
}

// Present reports whether the selector is set, even if it is empty.
func (s Selector) Present() bool { return s != (Selector{}) }

// Empty reports whether the selector matches every object because it has no requirements.
func (s Selector) Empty() bool { return !s.Present() || s.encoded.Value() == "" }

// Size returns the length of the encoded requirements in bytes. In the worst case, the time that
// Matches takes is proportional to the product of this size and the size of the labels.
func (s Selector) Size() int {
	if !s.Present() {
		return 0
	}
	return len(s.encoded.Value())
}

// Matches reports whether the labels meet every requirement.
func (s Selector) Matches(l Set) bool {
	if !s.Present() {
		return true
	}
	for rest := s.encoded.Value(); rest != ""; {
		op := rest[0]
		var key string
		key, rest = cutField(rest[1:])
		value, exists := l.Lookup(key)
		var among bool
		among, rest = cutValues(rest, value)
		if !meets(op, exists, exists && among) {
			return false
		}
	}
	return true
}

// meets reports whether the labels of an object meet a requirement with the operator
// operators[op]. The `exists` parameter is true if the object has the label of the requirement.
// The `among` parameter is true if, in addition, the label's value is one of the values in the
// requirement. An object without the label meets a requirement with NotIn.
func meets(op byte, exists, among bool) bool {
	switch op {
	case opEquals, opIn:
		return among
	case opNotIn:
		return !among
	case opExists:
		return exists
	default:
		return !exists
	}
}

// cutValues skips the values in an encoded requirement and returns the rest of the encoding.
// It also reports whether one of the skipped values equals the `value` parameter.
func cutValues(fields, value string) (among bool, rest string) {
	n, rest := cutNumber(fields)
	for range n {
		var v string
		v, rest = cutField(rest)
		among = among || v == value
	}
	return among, rest
}

// Requirements returns an iterator over the requirements, sorted by key.
func (s Selector) Requirements() iter.Seq[Requirement] {
	return func(yield func(Requirement) bool) {
		if !s.Present() {
			return
		}
		for rest := s.encoded.Value(); rest != ""; {
			r := Requirement{Operator: operators[rest[0]]}
			r.Key, rest = cutField(rest[1:])
			var n int
			n, rest = cutNumber(rest)
			for range n {
				var value string
				value, rest = cutField(rest)
				r.Values = append(r.Values, value)
			}
			if !yield(r) {
				return
			}
		}
	}
}

// Equal returns the value that matchLabels requires for a label. If matchLabels does not
// contain the label, Equal returns false.
func (s Selector) Equal(label string) (value string, ok bool) {
	for r := range s.Requirements() {
		if r.Key == label && r.Operator == selection.Equals {
			return r.Values[0], true
		}
	}
	return "", false
}

// String returns the selector in kubectl's syntax, such as app=web,tier in (a,b). For an
// empty selector, it returns "<none>".
func (s Selector) String() string {
	if s.Empty() {
		return "<none>"
	}
	out := labels.NewSelector()
	for r := range s.Requirements() {
		if req, err := labels.NewRequirement(r.Key, r.Operator, r.Values); err == nil {
			out = out.Add(*req)
		}
	}
	return out.String()
}
