package query_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query"
)

// Manifests of a chart: the pods of the policy are in no manifest.
const chart = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], egress: [{}]}
`

func TestLintOfManifests(t *testing.T) {
	const running = "status: {phase: Running, podIP: 10.0.0.1}\n---\napiVersion: networking"
	tests := map[string]struct {
		manifests string
		options   query.LintOptions
		want      []string
		uncertain bool
	}{
		"manifests":          {chart, query.LintOptions{}, []string{"note no-pod-selected", "warning dead-rules"}, true},
		"complete manifests": {chart, query.LintOptions{Complete: true}, []string{"warning no-pod-selected", "warning dead-rules"}, false},
		"a dump of a cluster": {
			strings.Replace(chart, "---\napiVersion: networking", running, 1), query.LintOptions{}, []string{"warning no-pod-selected", "warning dead-rules"}, false,
		},
		"ignored checks": {chart, query.LintOptions{Ignore: []string{"no-pod-selected"}}, []string{"warning dead-rules"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := newCluster(t, test.manifests).Lint(test.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Findings {
				got = append(got, string(f.Severity)+" "+f.Check)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || r.Uncertain != test.uncertain {
				t.Errorf("uncertain %t, findings (-want +got):\n%s", r.Uncertain, diff)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "--complete") != test.uncertain {
				t.Errorf("text %s, want the flag --complete: %t", &text, test.uncertain)
			}
		})
	}
	if _, err := newCluster(t, chart).Lint(query.LintOptions{Ignore: []string{"dns"}}); err == nil {
		t.Error("no error for an unknown check")
	}
}

func TestLintFails(t *testing.T) {
	warning := &query.LintReport{Warnings: 1, Findings: make([]query.Finding, 1)}
	for severity, want := range map[lint.Severity]bool{lint.Error: false, lint.Warning: true, lint.Note: true, "never": false} {
		if got := warning.Fails(severity); got != want {
			t.Errorf("Fails(%s) = %t, want %t", severity, got, want)
		}
	}
}

// TestLintReadsServices checks that Lint uses the Services, EndpointSlices and pod templates of the
// input.
func TestLintReadsServices(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		want []string
	}{
		"addresses": {"17-service-address-as-peer", []string{"warning service-address", "warning service-address", "warning no-dns"}},
		"ports":     {"18-service-port-not-pod-port", []string{"warning service-port"}},
		"templates": {"21-cronjob-between-runs", []string{"note runs-sometimes", "note runs-sometimes"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := caseCluster(t, filepath.Join("testdata", "cases", tt.file+".yaml")).Lint(query.LintOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Findings {
				got = append(got, string(f.Severity)+" "+f.Check)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
