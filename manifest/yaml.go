package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"go.yaml.in/yaml/v2"
)

// readFields are the kinds of which only some fields are read, with the types
// of those fields. A pod from a cluster is mostly others.
var readFields = map[string]map[string]reflect.Type{
	"Pod":       fieldsOf(reflect.TypeFor[podObject]()),
	"Namespace": fieldsOf(reflect.TypeFor[namespaceObject]()),
	"Node":      fieldsOf(reflect.TypeFor[nodeObject]()),
}

// headerFields are what is read of an object of any other kind.
var headerFields = fieldsOf(reflect.TypeFor[header]())

// yamlToJSON gives a YAML document as JSON, as far as its kind is read at all:
// of an object whose kind decides nothing the header is left, of others the
// fields that are read. defaultKind is the kind of objects that do not say one.
// A key given twice is an error, as YAML has it.
func yamlToJSON(text []byte, defaultKind string) ([]byte, error) {
	var v any
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		return nil, err
	}
	out, err := prune(v, defaultKind)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// fieldCache holds fieldsOf of the struct types that were asked for.
var fieldCache sync.Map

// fieldsOf gives a struct's fields by the name they have in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if fields, ok := fieldCache.Load(t); ok {
		return fields.(map[string]reflect.Type)
	}
	fields := map[string]reflect.Type{}
	collectFields(t, fields)
	fieldCache.Store(t, fields)
	return fields
}

func collectFields(t reflect.Type, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			collectFields(f.Type, into)
		case name != "" && name != "-":
			into[name] = f.Type
		}
	}
}

// prune converts an object, or a sequence of objects.
func prune(v any, defaultKind string) (any, error) {
	if list, ok := v.([]any); ok {
		return convertList(list, func(item any) (any, error) { return prune(item, defaultKind) })
	}
	object, ok := v.(map[any]any)
	if !ok {
		return convert(v, nil)
	}
	kind, _ := object["kind"].(string)
	if kind == "" {
		kind = defaultKind
	}
	list := isList(kind)
	fields := readFields[kind]
	if fields == nil {
		fields = headerFields
	}
	out := make(map[string]any, len(object))
	for k, e := range object {
		name, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("the key %v is no string", k)
		}
		var value any
		var err error
		switch field := fields[name]; {
		case list && name == "items":
			value, err = prune(e, itemKind(kind))
		case kind == "NetworkPolicy":
			value, err = convert(e, nil)
		case field != nil:
			value, err = convert(e, field)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}

// convert makes a value of the YAML parser one that JSON can hold. Where t is
// a struct, keys that it has no field for are left out; nil keeps all.
func convert(v any, t reflect.Type) (any, error) {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case []any:
		var element reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			element = t.Elem()
		}
		return convertList(v, func(item any) (any, error) { return convert(item, element) })
	case map[any]any:
		var fields map[string]reflect.Type
		if t != nil && t.Kind() == reflect.Struct {
			fields = fieldsOf(t)
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			name, err := keyName(k)
			if err != nil {
				return nil, err
			}
			field := fields[name]
			if fields != nil && field == nil {
				continue
			}
			if out[name], err = convert(e, field); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return v, nil
	}
}

func convertList(list []any, one func(any) (any, error)) (any, error) {
	out := make([]any, len(list))
	for i, item := range list {
		var err error
		if out[i], err = one(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyName gives a mapping's key as JSON has it: numbers and booleans are keys
// too in YAML.
func keyName(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case int, int64, uint64, float64, bool:
		return fmt.Sprint(k), nil
	default:
		return "", fmt.Errorf("the key %v is no string", k)
	}
}
