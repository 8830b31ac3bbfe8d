package sarif_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/sarif"
)

// report contains findings about a policy in a file, about a policy in a cluster and about a namespace.
var report = &query.LintReport{Findings: []query.Finding{
	{
		Finding: lint.Finding{
			Severity: lint.Warning, Check: "no-dns", Policy: "shop/web", Field: "spec.egress", Message: "no DNS", Detail: "1 pod: shop/web", Fix: "allow DNS",
		},
		Place: inventory.Origin{File: "./a dir/web.yaml", Line: 3},
	},
	{Finding: lint.Finding{Severity: lint.Error, Check: "not-understood", Policy: "shop/db", Message: "wrong"}, Place: inventory.Origin{File: "cluster"}},
	{Finding: lint.Finding{Severity: lint.Note, Check: "no-namespace-object", Namespace: "shop", Message: "no object"}},
}}

func write(t *testing.T, r *query.LintReport) any {
	t.Helper()
	var out bytes.Buffer
	if err := sarif.Write(&out, r, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestSchema checks the output against the JSON schema of SARIF 2.1.0.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/sarif-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*query.LintReport{"findings": report, "no findings": {}} {
		if err := schema.Validate(write(t, r)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if schema.Validate(map[string]any{"version": "2.1.0"}) == nil {
		t.Error("the schema accepts a document without runs")
	}
}

func TestResults(t *testing.T) {
	var got struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Version string
					Rules   []struct{ ID, HelpURI string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations any
			}
		}
	}
	text, err := json.Marshal(write(t, report))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	r := got.Runs[0]
	checks, err := os.ReadFile("../../docs/reference/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range r.Tool.Driver.Rules {
		if want := "https://github.com/sluicenet/sluice/blob/main/docs/reference/lint.md#" + rule.ID; rule.HelpURI != want {
			t.Errorf("rule %s links to %q, want %q", rule.ID, rule.HelpURI, want)
		}
		if !strings.Contains(string(checks), "\n## "+rule.ID+"\n") {
			t.Errorf("docs/reference/lint.md has no section %s", rule.ID)
		}
	}
	for i, f := range report.Findings {
		if result := r.Results[i]; result.RuleID != f.Check || r.Tool.Driver.Rules[result.RuleIndex].ID != f.Check || result.Level != string(f.Severity) {
			t.Errorf("result %+v, want the check and the severity of %+v", result, f)
		}
	}
	if want := "spec.egress: no DNS (1 pod: shop/web). Fix: allow DNS"; r.Results[0].Message.Text != want {
		t.Errorf("message %q, want %q", r.Results[0].Message.Text, want)
	}
	place := map[string]any{
		"physicalLocation": map[string]any{"artifactLocation": map[string]any{"uri": "a%20dir/web.yaml"}, "region": map[string]any{"startLine": 3.0}},
		"logicalLocations": []any{map[string]any{"fullyQualifiedName": "shop/web spec.egress"}},
	}
	if diff := cmp.Diff([]any{place}, r.Results[0].Locations); diff != "" {
		t.Errorf("location (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{map[string]any{"logicalLocations": []any{map[string]any{"fullyQualifiedName": "shop/db"}}}}, r.Results[1].Locations); diff != "" {
		t.Errorf("location without a file (-want +got):\n%s", diff)
	}
}
