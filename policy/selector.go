package policy

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"unique"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Selector selects objects by their labels: every requirement must hold. Equal
// selectors are == and share memory. The zero value is an absent selector. It
// matches every object, as an empty selector does.
type Selector struct {
	// encoded has the requirements, sorted by key. See appendRequirement.
	encoded unique.Handle[string]
}

// Requirement is one condition of a selector.
type Requirement struct {
	Key string
	// Operator is Equals, In, NotIn, Exists or DoesNotExist.
	Operator selection.Operator
	// Values are sorted. Equals has one value, Exists and DoesNotExist have none.
	Values []string
}

// operators lists the operators by their encoding.
var operators = [...]selection.Operator{selection.Equals, selection.In, selection.NotIn, selection.Exists, selection.DoesNotExist}

const (
	opEquals = iota
	opIn
	opNotIn
	opExists
	opDoesNotExist
)

// newSelector returns the selector of valid requirements. It sorts the list.
func newSelector(requirements []Requirement) Selector {
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

// appendRequirement appends the operator as one byte, the key, the number of
// values and the values.
func appendRequirement(to []byte, r Requirement) []byte {
	to = append(to, byte(slices.Index(operators[:], r.Operator)))
	to = appendField(to, r.Key)
	to = binary.AppendUvarint(to, uint64(len(r.Values)))
	for _, value := range r.Values {
		to = appendField(to, value)
	}
	return to
}

// Present reports whether the selector exists in the object.
func (s Selector) Present() bool { return s != (Selector{}) }

// Empty reports whether the selector has no requirement, so that it matches
// every object.
func (s Selector) Empty() bool { return !s.Present() || s.encoded.Value() == "" }

// Matches reports whether every requirement holds for the labels.
func (s Selector) Matches(l Labels) bool {
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

// meets reports whether a requirement holds for a label. among reports that the
// label exists and has one of the values of the requirement. NotIn holds for a
// label that does not exist.
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

// cutValues cuts the values of a requirement. It reports whether value is one of
// them.
func cutValues(fields, value string) (among bool, rest string) {
	n, rest := cutNumber(fields)
	for range n {
		var v string
		v, rest = cutField(rest)
		among = among || v == value
	}
	return among, rest
}

// Requirements returns the requirements, sorted by key.
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

// Equal returns the value that matchLabels of the selector requires for a label.
func (s Selector) Equal(label string) (value string, ok bool) {
	for r := range s.Requirements() {
		if r.Key == label && r.Operator == selection.Equals {
			return r.Values[0], true
		}
	}
	return "", false
}

// String returns the selector in the syntax of kubectl, such as
// app=web,tier in (a,b). An empty selector is "<none>".
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
