package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// addSchema adds the JSON schema of the values.
func addSchema(root string, files map[string][]byte) error {
	spec, err := enforcerSchema(root)
	if err != nil {
		return err
	}
	comments, err := descriptions(filepath.Join(chartDirectory(root), "values.yaml"))
	if err != nil {
		return err
	}
	schema := schemaOf(reflect.TypeFor[values](), "", comments)
	spec["description"] = comments["enforcer.spec"]
	schema["properties"].(map[string]any)["enforcer"].(map[string]any)["properties"].(map[string]any)["spec"] = spec
	schema["$schema"], schema["title"] = "http://json-schema.org/draft-07/schema#", "Values of the chart sluice"
	content, err := json.MarshalIndent(schema, "", "  ")
	files["values.schema.json"] = append(content, '\n')
	return err
}

// schemaOf returns the schema of a Go type. The schema allows no other fields than those of the
// type.
func schemaOf(of reflect.Type, path string, comments map[string]string) map[string]any {
	schema := map[string]any{}
	switch {
	case of == reflect.TypeFor[resource.Quantity]():
		schema = map[string]any{"type": []any{"string", "number"}}
	case of.Kind() == reflect.Pointer:
		return schemaOf(of.Elem(), path, comments)
	case of.Kind() == reflect.Struct:
		properties := map[string]any{}
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			properties[name] = schemaOf(field.Type, strings.TrimPrefix(path+"."+name, "."), comments)
		}
		schema = map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	case of.Kind() == reflect.Slice:
		schema = map[string]any{"type": "array", "items": schemaOf(of.Elem(), path+"[]", comments)}
	case of.Kind() == reflect.Map:
		schema = map[string]any{"type": "object", "additionalProperties": schemaOf(of.Elem(), path+"{}", comments)}
	case of.Kind() == reflect.String:
		schema["type"] = "string"
	case of.Kind() == reflect.Bool:
		schema["type"] = "boolean"
	case of.Kind() == reflect.Int32, of.Kind() == reflect.Int64:
		schema["type"] = "integer"
	}
	maps.Copy(schema, constraints[path])
	if text, ok := comments[path]; ok {
		schema["description"] = text
	}
	return schema
}

// enforcerSchema returns the schema of the field spec of the kind Enforcer.
func enforcerSchema(root string) (map[string]any, error) {
	definitions, err := base(root, "crd")
	if err != nil {
		return nil, err
	}
	for _, definition := range definitions {
		if definition.GetName() != "enforcers.policy.sluice.dev" {
			continue
		}
		versions, _, err := unstructured.NestedSlice(definition.Object, "spec", "versions")
		if err != nil || len(versions) != 1 {
			return nil, fmt.Errorf("%s: %d versions, want one: %w", definition.GetName(), len(versions), err)
		}
		schema, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec")
		if err != nil {
			return nil, err
		}
		return strict(schema), nil
	}
	return nil, errors.New("config/crd does not define the kind Enforcer")
}

// strict converts a schema of a CRD to a JSON schema. It removes Kubernetes' extensions and the
// defaults, which the API server sets. The result allows no fields that the schema does not define.
func strict(schema map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range schema {
		switch {
		case key == "default", key == "format", strings.HasPrefix(key, "x-kubernetes-"):
		case key == "properties":
			properties := map[string]any{}
			for name, property := range value.(map[string]any) {
				properties[name] = strict(property.(map[string]any))
			}
			out[key] = properties
			out["additionalProperties"] = false
		case key == "items", key == "additionalProperties":
			out[key] = strict(value.(map[string]any))
		default:
			out[key] = value
		}
	}
	return out
}

// descriptions returns the comments in values.yaml by the path of the value that they describe.
func descriptions(path string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := map[string]string{}
	describe(document.Content[0], "", out)
	return out, nil
}

// describe adds the comments of the values below a node to the map `out`. The keys are the paths of
// the values.
func describe(node *yamlv3.Node, path string, out map[string]string) {
	if node.Kind != yamlv3.MappingNode {
		return
	}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		below := strings.TrimPrefix(path+"."+key.Value, ".")
		// A blank line separates a comment about the file from the comment about its first value.
		blocks := strings.Split(key.HeadComment, "\n\n")
		if text := strings.Join(strings.Fields(strings.ReplaceAll(blocks[len(blocks)-1], "#", " ")), " "); text != "" {
			out[below] = text
		}
		describe(value, below, out)
	}
}
