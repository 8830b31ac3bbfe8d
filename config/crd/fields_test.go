package crd_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// candidates are values for strings. For each string field, example uses the first value that its
// schema allows.
var candidates = []string{"example", "Example", strings.Repeat("0", 64)}

// example returns a value that a schema allows. The value of an object has all properties, and the
// value of an array has one item.
func example(t *testing.T, path string, s apiextensionsv1.JSONSchemaProps) any {
	t.Helper()
	switch {
	case len(s.Enum) > 0:
		var value any
		if err := json.Unmarshal(s.Enum[0].Raw, &value); err != nil {
			t.Fatal(err)
		}
		return value
	case s.Type == "object" && s.AdditionalProperties != nil:
		return map[string]any{"key": example(t, path+".key", *s.AdditionalProperties.Schema)}
	case s.Type == "object":
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = example(t, path+"."+name, property)
		}
		return object
	case s.Type == "array":
		return []any{example(t, path+"[0]", *s.Items.Schema)}
	case s.Type == "boolean":
		return true
	case s.Type == "integer":
		if s.Minimum != nil {
			return max(1, int64(*s.Minimum))
		}
		return int64(1)
	case s.Format == "date-time":
		return "2026-11-29T00:00:00.000000Z"
	case s.Format == "byte":
		return "AAAA"
	case s.Type == "string":
		pattern := regexp.MustCompile(s.Pattern)
		if i := slices.IndexFunc(candidates, pattern.MatchString); i >= 0 {
			return candidates[i]
		}
	}
	t.Fatalf("no value for %s, type %q, format %q, pattern %q", path, s.Type, s.Format, s.Pattern)
	return nil
}

// withoutValue returns the paths of the fields of a schema that have no value.
func withoutValue(path string, s apiextensionsv1.JSONSchemaProps, value any) (out []string) {
	switch value := value.(type) {
	case nil:
		return []string{path}
	case map[string]any:
		for name, property := range s.Properties {
			out = append(out, withoutValue(path+"."+name, property, value[name])...)
		}
	case []any:
		if len(value) == 0 {
			return []string{path}
		}
		for i, item := range value {
			out = append(out, withoutValue(fmt.Sprintf("%s[%d]", path, i), *s.Items.Schema, item)...)
		}
	}
	return out
}

// lost returns the paths of the values that are missing or different after a change. Additional
// fields may exist after the change.
func lost(path string, before, after any) (out []string) {
	switch old := before.(type) {
	case map[string]any:
		now, _ := after.(map[string]any)
		for name, value := range old {
			out = append(out, lost(path+"."+name, value, now[name])...)
		}
		return out
	case []any:
		now, _ := after.([]any)
		if len(now) != len(old) {
			return []string{path}
		}
		for i, value := range old {
			out = append(out, lost(fmt.Sprintf("%s[%d]", path, i), value, now[i])...)
		}
		return out
	}
	if reflect.DeepEqual(before, after) || sameTime(before, after) {
		return nil
	}
	return []string{path}
}

// sameTime reports whether both values are the same time, in the same format or in another one.
func sameTime(a, b any) bool {
	first, err := time.Parse(time.RFC3339, fmt.Sprint(a))
	if err != nil {
		return false
	}
	second, err := time.Parse(time.RFC3339, fmt.Sprint(b))
	return err == nil && first.Equal(second)
}
