package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// described contains, for each kind, the display name and the kinds of related resources. A console
// shows the related resources together with the object.
var described = map[string]struct {
	displayName string
	resources   []string
}{
	"Enforcer":            {"Enforcer", []string{"v1 DaemonSet", "v1 Service", "v1 ServiceAccount", "v1 ClusterRole", "v1 ClusterRoleBinding"}},
	"NodeEnforcer":        {"Node Enforcer", nil},
	"PolicyStatus":        {"Policy Status", []string{"v1 NetworkPolicy"}},
	"ClusterPolicyStatus": {"Cluster Policy Status", []string{"v1beta1 ClusterNetworkPolicy"}},
}

// ownedKind returns the ClusterServiceVersion's entry for a kind. The entry
// describes all fields of the kind's spec and status.
func ownedKind(definition *unstructured.Unstructured) (map[string]any, error) {
	kind, _, err := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	if err != nil {
		return nil, err
	}
	versions, _, err := unstructured.NestedSlice(definition.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		return nil, fmt.Errorf("%s: %d versions, want one: %w", kind, len(versions), err)
	}
	version := versions[0].(map[string]any)
	schema, _, err := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
	if err != nil {
		return nil, err
	}
	text, ok := described[kind]
	if !ok {
		return nil, fmt.Errorf("kind %s is not described: add it to hack/bundle/descriptors.go", kind)
	}
	out := map[string]any{
		"name": definition.GetName(), "kind": kind, "version": version["name"],
		"displayName": text.displayName, "description": sentence(schema),
	}
	for _, resource := range text.resources {
		version, kind, _ := strings.Cut(resource, " ")
		out["resources"] = append(listed(out["resources"]), map[string]any{"kind": kind, "version": version, "name": ""})
	}
	for part, list := range map[string]string{"spec": "specDescriptors", "status": "statusDescriptors"} {
		fields, ok, err := unstructured.NestedMap(schema, "properties", part)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		descriptors := descriptorsOf("", fields)
		slices.SortFunc(descriptors, func(a, b any) int {
			return cmp.Compare(a.(map[string]any)["path"].(string), b.(map[string]any)["path"].(string))
		})
		out[list] = descriptors
	}
	return out, nil
}

// descriptorsOf returns the descriptors of all fields below a path, including nested fields.
// The path of a list item contains the index 0.
func descriptorsOf(path string, schema map[string]any) []any {
	properties, _, _ := unstructured.NestedMap(schema, "properties")
	var out []any
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		field := properties[name].(map[string]any)
		below := strings.TrimPrefix(path+"."+name, ".")
		descriptor := map[string]any{"path": below, "displayName": title(name), "description": sentence(field)}
		if x := widget(below, field); len(x) > 0 {
			descriptor["x-descriptors"] = x
		}
		out = append(out, descriptor)
		if items, ok, _ := unstructured.NestedMap(field, "items"); ok {
			field, below = items, below+"[0]"
		}
		out = append(out, descriptorsOf(below, field)...)
	}
	return out
}

const prefix = "urn:alm:descriptor:"

// widget returns the descriptors that determine how a console displays a field.
func widget(path string, field map[string]any) []any {
	if values, ok := field["enum"].([]any); ok {
		var out []any
		for _, value := range values {
			out = append(out, fmt.Sprintf("%scom.tectonic.ui:select:%v", prefix, value))
		}
		return out
	}
	switch {
	case path == "conditions":
		return []any{prefix + "io.kubernetes.conditions"}
	case strings.HasSuffix(path, "resources"):
		return []any{prefix + "com.tectonic.ui:resourceRequirements"}
	}
	switch field["type"] {
	case "boolean":
		return []any{prefix + "com.tectonic.ui:booleanSwitch"}
	case "integer":
		return []any{prefix + "com.tectonic.ui:number"}
	case "string":
		return []any{prefix + "text"}
	}
	return nil
}

// sentence returns the description in a schema as one line.
func sentence(schema map[string]any) string {
	text, _ := schema["description"].(string)
	return strings.Join(strings.Fields(text), " ")
}

// title converts a field name to a title: failurePolicy becomes "Failure Policy".
func title(name string) string {
	var out strings.Builder
	for i, r := range name {
		switch {
		case i == 0:
			r = unicode.ToUpper(r)
		case unicode.IsUpper(r):
			out.WriteByte(' ')
		}
		out.WriteRune(r)
	}
	return out.String()
}
