package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"
)

// checker compares a decoded JSON value with the Go type for which the value is meant. It reports
// each difference with the path of the field. It runs only after the JSON decoder has returned an
// error. The error of the decoder is not sufficient: it names only the first value of a wrong
// type, and its path contains no indexes.
type checker struct {
	// If strict is true, the checker also reports fields that the type does not define.
	strict bool
	report func(at path, message string)
}

// check reports each field of the JSON value `raw` that cannot be decoded into the type t.
func (c *checker) check(raw []byte, t reflect.Type) {
	var value any
	if kjson.UnmarshalCaseSensitivePreserveInts(raw, &value) != nil {
		return
	}
	c.value(value, t, nil)
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	intOrString = reflect.TypeFor[intstr.IntOrString]()
)

func (c *checker) value(v any, t reflect.Type, at path) {
	if v == nil {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		c.custom(v, t, at)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		c.object(v, t, at)
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			c.mismatch(v, "an object", at)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			c.value(m[k], t.Elem(), at.key(k))
		}
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			c.mismatch(v, "a list", at)
			return
		}
		for i, e := range list {
			c.value(e, t.Elem(), at.at(i))
		}
	case reflect.String:
		if _, ok := v.(string); !ok {
			c.mismatch(v, "a string", at)
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			c.mismatch(v, "true or false", at)
		}
	case reflect.Int32, reflect.Int64:
		n, ok := v.(int64)
		if !ok {
			c.mismatch(v, "a whole number", at)
		} else if reflect.Zero(t).OverflowInt(n) {
			c.report(at, fmt.Sprintf("%d is too large a number", n))
		}
	}
}

// custom checks a value of a type that has its own method for JSON decoding.
func (c *checker) custom(v any, t reflect.Type, at path) {
	raw, err := json.Marshal(v)
	if err != nil {
		return
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err == nil {
		return
	}
	if t == intOrString {
		c.mismatch(v, "a port number or a port name", at)
		return
	}
	c.mismatch(v, "a "+t.Name(), at)
}

func (c *checker) object(v any, t reflect.Type, at path) {
	m, ok := v.(map[string]any)
	if !ok {
		c.mismatch(v, "an object", at)
		return
	}
	fields := fieldsOf(t)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if field, known := fields[k]; known {
			c.value(m[k], field, at.key(k))
		} else if c.strict {
			c.report(at.key(k), "unknown field; "+suggest(k, fields))
		}
	}
}

// mismatch reports that a value has the wrong type. The parameter `want` describes the right
// type.
func (c *checker) mismatch(v any, want string, at path) {
	c.report(at, fmt.Sprintf("is %s, must be %s%s", describe(v), want, fixType(v, want)))
}

// describe returns a description of a JSON value for messages, such as "the number 80".
func describe(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	default:
		return fmt.Sprintf("the number %v", v)
	}
}

// fixType returns advice on how to write a value with the wanted type, or "" if there is no
// such advice.
func fixType(v any, want string) string {
	_, isString := v.(string)
	_, isList := v.([]any)
	_, isObject := v.(map[string]any)
	switch {
	case want == "a string" && !isList && !isObject:
		return "; put it in quotes"
	case (want == "a whole number" || want == "true or false") && isString:
		return "; if it is in quotes, remove them"
	case want == "a list" && isObject:
		return "; begin its entries with a dash"
	case want == "an object" && isList:
		return "; remove the dash"
	}
	return ""
}

// suggest returns advice for an unknown field: the allowed field with the most similar name,
// or all allowed fields if no name is similar.
func suggest(got string, fields map[string]reflect.Type) string {
	names := slices.Sorted(maps.Keys(fields))
	best, bestDistance := "", 3
	for _, name := range names {
		d := distance(strings.ToLower(got), strings.ToLower(name))
		if d < bestDistance && d < len(name) {
			best, bestDistance = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "want one of " + strings.Join(names, ", ")
}

// distance returns the Levenshtein distance between two names, which is the number of
// characters to insert, delete or replace. It also counts a swap of two adjacent characters
// as one edit.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
