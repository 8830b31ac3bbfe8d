package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluicenet/sluice/config/crd"
)

// crdsPage returns the page that lists the fields of all kinds.
func crdsPage(string) (string, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(header("Fields of the kinds", `This page lists the fields of every kind in the API group
		`+"`policy.sluice.dev`"+`, as the CustomResourceDefinitions in `+"`config/crd`"+` define them. It is for users and
		administrators. [kinds.md](../kinds.md) explains the kinds, and [conditions.md](conditions.md) lists the
		conditions in their statuses. `+"`[]`"+` stands for each item of a list, and `+"`{}`"+` for each value of a map. The
		tables omit the fields of conditions, which are the same in all APIs of Kubernetes.`))
	for _, unstructured := range definitions {
		var definition apiextensions.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(unstructured.Object, &definition); err != nil {
			return "", err
		}
		for _, version := range definition.Spec.Versions {
			writeKind(&out, &definition, &version)
		}
	}
	return out.String(), nil
}

// writeKind writes the section about one version of a kind.
func writeKind(out *strings.Builder, definition *apiextensions.CustomResourceDefinition, version *apiextensions.CustomResourceDefinitionVersion) {
	schema := version.Schema.OpenAPIV3Schema
	names := &definition.Spec.Names
	fmt.Fprintf(out, "\n## %s\n\n%s\n", names.Kind, wrap(schema.Description))
	fmt.Fprintf(out, "- API version: `%s/%s`\n", definition.Spec.Group, version.Name)
	fmt.Fprintf(out, "- Scope: %s\n", definition.Spec.Scope)
	fmt.Fprintf(out, "- Name of the resource: `%s`\n", names.Plural)
	for _, rule := range schema.XValidations {
		out.WriteString("- Validation: " + rule.Message + "\n")
	}
	out.WriteString("\n| field | type | default | validation | description |\n|---|---|---|---|---|\n")
	for _, part := range []string{"spec", "status"} {
		if property, found := schema.Properties[part]; found {
			writeField(out, part, &property, false)
		}
	}
}

// writeField writes the rows of a field and of the fields in it.
func writeField(out *strings.Builder, path string, schema *apiextensions.JSONSchemaProps, required bool) {
	var constraints []string
	if required {
		constraints = append(constraints, "required")
	}
	constraints = append(constraints, validations(schema)...)
	value := ""
	if schema.Default != nil {
		value = code(string(schema.Default.Raw))
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", path, typeName(schema), value, strings.Join(constraints, "; "), cell(schema.Description))
	switch {
	case strings.HasSuffix(path, ".conditions"):
	case schema.Items != nil && schema.Items.Schema != nil:
		writeFields(out, path+"[]", schema.Items.Schema)
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		writeFields(out, path+"{}", schema.AdditionalProperties.Schema)
	default:
		writeFields(out, path, schema)
	}
}

// writeFields writes the rows of the fields in an object.
func writeFields(out *strings.Builder, path string, schema *apiextensions.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		writeField(out, path+"."+name, &property, slices.Contains(schema.Required, name))
	}
}

// quantityPattern is the pattern that controller-gen writes for a resource.Quantity.
const quantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`

// typeName returns the name of a type.
func typeName(schema *apiextensions.JSONSchemaProps) string {
	switch {
	case schema.Pattern == quantityPattern:
		return "quantity"
	case schema.XIntOrString:
		return "integer or string"
	case schema.Items != nil && schema.Items.Schema != nil:
		return "list of " + typeName(schema.Items.Schema)
	case schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		return "map of " + typeName(schema.AdditionalProperties.Schema)
	case schema.Format != "":
		return schema.Type + " (" + schema.Format + ")"
	}
	return schema.Type
}

// validations returns the constraints on the values of a field, as Markdown.
func validations(schema *apiextensions.JSONSchemaProps) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	var allowed []string
	for _, value := range schema.Enum {
		allowed = append(allowed, code(string(value.Raw)))
	}
	if len(allowed) > 0 {
		add("one of %s", strings.Join(allowed, ", "))
	}
	if schema.Minimum != nil {
		add("at least %v", *schema.Minimum)
	}
	if schema.Maximum != nil {
		add("at most %v", *schema.Maximum)
	}
	for _, limit := range []struct {
		count  *int64
		format string
	}{
		{schema.MinLength, "length at least %d"},
		{schema.MaxLength, "length at most %d"},
		{schema.MinItems, "number of items at least %d"},
		{schema.MaxItems, "number of items at most %d"},
		{schema.MinProperties, "number of entries at least %d"},
		{schema.MaxProperties, "number of entries at most %d"},
	} {
		if limit.count != nil {
			add(limit.format, *limit.count)
		}
	}
	if schema.Pattern != "" && schema.Pattern != quantityPattern {
		add("matches %s", code(schema.Pattern))
	}
	for _, rule := range schema.XValidations {
		add("%s", cell(rule.Message))
	}
	return out
}
