package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/sluicenet/sluice/manifest/internal/yamltext"
)

// This package reads only some fields of Pods, Namespaces and Nodes. readFields contains the names
// and types of these fields, by kind.
var readFields = map[string]map[string]reflect.Type{
	"Pod":       fieldsOf(reflect.TypeFor[podObject]()),
	"Namespace": fieldsOf(reflect.TypeFor[namespaceObject]()),
	"Node":      fieldsOf(reflect.TypeFor[nodeObject]()),

	"Service":               fieldsOf(reflect.TypeFor[serviceObject]()),
	"Endpoints":             fieldsOf(reflect.TypeFor[endpointsObject]()),
	"EndpointSlice":         fieldsOf(reflect.TypeFor[sliceObject]()),
	"Deployment":            fieldsOf(reflect.TypeFor[workloadObject]()),
	"StatefulSet":           fieldsOf(reflect.TypeFor[workloadObject]()),
	"DaemonSet":             fieldsOf(reflect.TypeFor[workloadObject]()),
	"ReplicaSet":            fieldsOf(reflect.TypeFor[workloadObject]()),
	"ReplicationController": fieldsOf(reflect.TypeFor[workloadObject]()),
	"Job":                   fieldsOf(reflect.TypeFor[workloadObject]()),
	"CronJob":               fieldsOf(reflect.TypeFor[workloadObject]()),
}

// headerFields contains the names and types of the fields that every Kubernetes object has.
var headerFields = fieldsOf(reflect.TypeFor[header]())

// yamlToJSON converts a YAML document to JSON. To save time, it omits fields that are not
// needed. Objects that specify no kind have the kind defaultKind.
func yamlToJSON(text []byte, defaultKind string) ([]byte, error) {
	v, err := yamltext.Parse(text)
	if err != nil {
		return nil, err
	}
	out, err := prune(v, defaultKind)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// fieldCache contains earlier results of fieldsOf, by struct type.
var fieldCache sync.Map

// fieldsOf returns the type of each field of a struct. The key of the result is the JSON name
// of the field.
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

// prune converts an object, or a sequence of objects, to values that package
// encoding/json can marshal. It omits fields that are not needed.
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
	out := make(map[string]any, len(object))
	for k, e := range object {
		name, ok := k.(string)
		if !ok {
			return nil, fmt.Errorf("the key %v is not a string", k)
		}
		value, keep, err := pruneField(kind, name, e)
		if err != nil {
			return nil, err
		}
		if keep {
			out[name] = value
		}
	}
	return out, nil
}

// pruneField converts one field of an object. If the field is not needed, keep is false.
func pruneField(kind, name string, v any) (value any, keep bool, err error) {
	fields := readFields[kind]
	switch {
	case isList(kind) && name == "items":
		value, err = prune(v, itemKind(kind))
		return value, true, err
	case isList(kind), kind == "NetworkPolicy", kind == "ClusterNetworkPolicy":
		value, err = convert(v, nil)
		return value, true, err
	case fields == nil:
		fields = headerFields
	}
	if fields[name] == nil {
		return nil, false, nil
	}
	value, err = convert(v, fields[name])
	return value, true, err
}

// convert converts a value from the YAML parser to a value that package encoding/json can
// marshal. If t is a struct type, convert omits keys that are not fields of t. If t is nil,
// convert keeps all keys.
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
		return convertMap(v, t)
	default:
		return v, nil
	}
}

func convertMap(m map[any]any, t reflect.Type) (any, error) {
	var fields map[string]reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		fields = fieldsOf(t)
	}
	out := make(map[string]any, len(m))
	for k, e := range m {
		name, err := yamltext.KeyName(k)
		if err != nil {
			return nil, err
		}
		field := fields[name]
		if fields != nil && field == nil {
			continue
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("the key %q is given twice, with and without quotes; keep one", name)
		}
		if out[name], err = convert(e, field); err != nil {
			return nil, err
		}
	}
	return out, nil
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
