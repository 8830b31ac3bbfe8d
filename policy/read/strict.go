package read

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/policy/internal/field"
)

// unknownField is the message about a field that this version of Sluice does not support.
const unknownField = "the field is unknown: remove it, or use a version of Sluice that supports it"

// onlyFields reports whether an object has no fields other than the given ones. It adds an error for
// each other field.
func (r *reader) onlyFields(at string, in map[string]any, fields ...string) bool {
	only := true
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !slices.Contains(fields, name) {
			r.errors.Add(at+"."+name, unknownField)
			only = false
		}
	}
	return only
}

// decode stores a part of an object in the variable to which the parameter `to` points. If the part
// has an unknown field or a value of the wrong type, decode adds errors and returns false.
func (r *reader) decode(at field.Path, in, to any) bool {
	data, err := json.Marshal(in)
	if err != nil {
		r.errors.Add(at.String(), "%v: write the value as JSON or YAML", err)
		return false
	}
	strict, err := kjson.UnmarshalStrict(data, to)
	if err != nil {
		message := "the value has the wrong type"
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			if wrong.Field != "" {
				at = at.Child(wrong.Field)
			}
			message = fmt.Sprintf("the value is a JSON %s", wrong.Value)
		}
		r.errors.Add(at.String(), "%s: see `kubectl explain clusternetworkpolicy --recursive` for the types of all fields", message)
		return false
	}
	for _, e := range strict {
		var unknown kjson.FieldError
		if errors.As(e, &unknown) {
			r.errors.Add(at.Child(unknown.FieldPath()).String(), unknownField)
		}
	}
	return len(strict) == 0
}

// explain appends a consequence to the messages of all errors except the first n.
func (r *reader) explain(n int, consequence string) {
	for i := n; i < len(r.errors); i++ {
		r.errors[i].Message += "; " + consequence
	}
}

// The function `found` describes the value of a field that must be a string.
func found(in any) string {
	switch in := in.(type) {
	case nil:
		return "the field is missing"
	case string:
		return fmt.Sprintf("%q", in)
	default:
		return "the value is not a string"
	}
}
