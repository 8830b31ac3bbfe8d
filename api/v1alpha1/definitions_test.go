package v1alpha1_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const definitions = "../../config/crd"

// definition contains the parts of a custom resource definition that these tests check.
type definition struct {
	Spec struct {
		Group    string
		Names    struct{ Kind string }
		Versions []struct {
			Schema struct {
				OpenAPIV3Schema property `json:"openAPIV3Schema"`
			}
		}
	}
}

type property struct {
	Description string
	Default     any
	Type        string
	Properties  map[string]property
	Items       *property
}

func parse(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func definitionFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(definitions, "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions in %s: %v", definitions, err)
	}
	return files
}

// TestFieldsAreDocumented checks that each field has a description for `kubectl explain`,
// and that the description of each optional field in a spec states the default.
func TestFieldsAreDocumented(t *testing.T) {
	for _, file := range definitionFiles(t) {
		var d definition
		parse(t, file, &d)
		schema := d.Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			walk(d.Spec.Names.Kind+"."+part, schema.Properties[part], func(path string, p property) {
				if p.Description == "" {
					t.Errorf("%s is not documented", path)
				}
				leaf := len(p.Properties) == 0
				if part == "spec" && leaf && !strings.Contains(p.Description, "Default:") {
					t.Errorf("the description of %s has no default: %q", path, p.Description)
				}
			})
		}
	}
}

// walk calls the function `visit` with a field and with all fields below it, each with its path.
func walk(path string, p property, visit func(path string, p property)) {
	for name, child := range p.Properties {
		visit(path+"."+name, child)
		walk(path+"."+name, child, visit)
	}
	if p.Items != nil {
		walk(path+"[]", *p.Items, visit)
	}
}

// TestDefinitionsAreListed checks that the kustomization and the file PROJECT list all
// generated definitions.
func TestDefinitionsAreListed(t *testing.T) {
	var files, kinds []string
	for _, file := range definitionFiles(t) {
		var d definition
		parse(t, file, &d)
		files = append(files, "bases/"+filepath.Base(file))
		kinds = append(kinds, d.Spec.Names.Kind+"."+d.Spec.Group)
	}
	var kustomization struct{ Resources []string }
	parse(t, filepath.Join(definitions, "kustomization.yaml"), &kustomization)
	if diff := cmp.Diff(files, kustomization.Resources); diff != "" {
		t.Errorf("resources of the kustomization (-generated +listed):\n%s", diff)
	}
	var project struct {
		Resources []struct{ Domain, Group, Kind string }
	}
	parse(t, "../../PROJECT", &project)
	var listed []string
	for _, r := range project.Resources {
		listed = append(listed, r.Kind+"."+r.Group+"."+r.Domain)
	}
	slices.Sort(kinds)
	slices.Sort(listed)
	if diff := cmp.Diff(kinds, listed); diff != "" {
		t.Errorf("kinds in PROJECT (-generated +listed):\n%s", diff)
	}
}
