package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/policy/lint"
)

// TestPagesAreUpToDate compares the pages in docs/reference with the output of their generators.
func TestPagesAreUpToDate(t *testing.T) {
	const project = "../.."
	for name, generate := range generators {
		want, err := generate(project)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(project, folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s/%s is out of date; `make generate` writes it (-want +got):\n%s", folder, name, diff)
		}
	}
}

// TestMetricsWithoutValue checks that the generator returns an error for a metric without a value,
// because the table would not contain this metric.
func TestMetricsWithoutValue(t *testing.T) {
	err := writeMetrics(nil, func(registry prometheus.Registerer) error {
		return registry.Register(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hidden", Help: "Has no value."}, []string{"label"}))
	})
	if err == nil || err.Error() != "1 metrics are described, but only 0 have a value" {
		t.Error(err)
	}
}

// TestLintExamples checks that each lint check that can have an example has one, and that each file
// in the folder belongs to a check.
func TestLintExamples(t *testing.T) {
	want := map[string]bool{sharedExample: true}
	for _, c := range lint.Checks() {
		if !withoutExample[c.Name] {
			want[c.Name+".yaml"] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join("../..", examples))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, entry := range entries {
		got[entry.Name()] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files in %s (-want +got):\n%s", examples, diff)
	}
}

// TestLintExampleWithoutFinding checks that the generator returns an error if lint does not find
// the mistake that the example must contain.
func TestLintExampleWithoutFinding(t *testing.T) {
	folder := filepath.Join("../..", examples)
	check := lint.Check{Name: "host-bits"}
	for _, file := range []string{sharedExample, "no-dns.yaml"} {
		_, err := findingOf(&check, filepath.Join(folder, sharedExample), filepath.Join(folder, file))
		if err == nil || !strings.HasPrefix(err.Error(), "lint must have one finding host-bits about the example") {
			t.Errorf("%s: error %v", file, err)
		}
	}
}

func TestConditions(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", `package v1alpha1

const NotACondition = "other"

// Conditions of a Valve.
const (
	// ConditionOpen is True while the valve is open. See ConditionShut.
	ConditionOpen ConditionType = "Open"
)

// Reasons of a Valve's conditions.
const (
	// ReasonTurned: the user turned it, unlike ReasonStuck.
	ReasonTurned Reason = "Turned"
	// ReasonStuck: spec.stuck is true.
	ReasonStuck Reason = "Stuck"
)

// ConditionShut is True while it is shut.
const ConditionShut ConditionType = "valve.example/Shut"
`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, of := range []string{"ConditionType", "Reason"} {
		for _, g := range groups(file, of) {
			got = append(got, g.intro)
			for _, c := range g.constants {
				got = append(got, c.value+": "+meaning(c, constantNames(file)))
			}
		}
	}
	want := []string{
		"Conditions of a Valve:",
		"Open: `Open` is True while the valve is open. See `valve.example/Shut`.",
		"Others:",
		"valve.example/Shut: `valve.example/Shut` is True while it is shut.",
		"Reasons of a Valve's conditions:",
		"Turned: The user turned it, unlike `Stuck`.",
		"Stuck: spec.stuck is true.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFields(t *testing.T) {
	schema := &apiextensions.JSONSchemaProps{
		Type: "object", Description: "valve is a part.", Required: []string{"sizes"},
		Properties: map[string]apiextensions.JSONSchemaProps{
			"sizes": {Type: "array", MinItems: ptr.To[int64](2), Items: &apiextensions.JSONSchemaPropsOrArray{
				Schema: &apiextensions.JSONSchemaProps{Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
					"inch": {Type: "integer", Format: "int32", Minimum: ptr.To(1.), Maximum: ptr.To(8.), Default: &apiextensions.JSON{Raw: []byte("4")}},
				}},
			}},
			"limits": {Type: "object", AdditionalProperties: &apiextensions.JSONSchemaPropsOrBool{
				Schema: &apiextensions.JSONSchemaProps{XIntOrString: true, Pattern: quantityPattern},
			}},
			"mode": {
				Type: "string", Pattern: "a|b", Enum: []apiextensions.JSON{{Raw: []byte(`"a"`)}},
				XValidations: apiextensions.ValidationRules{{Message: "write a, not <b>"}},
			},
		},
	}
	var out strings.Builder
	writeField(&out, "spec", schema, false)
	want := "| `spec` | object |  |  | valve is a part. |\n" +
		"| `spec.limits` | map of quantity |  |  |  |\n" +
		"| `spec.mode` | string |  | one of `\"a\"`; matches `a\\|b`; write a, not &lt;b> |  |\n" +
		"| `spec.sizes` | list of object |  | required; number of items at least 2 |  |\n" +
		"| `spec.sizes[].inch` | integer (int32) | `4` | at least 1; at most 8 |  |\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
