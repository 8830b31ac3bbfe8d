package query_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/test/cluster"
)

// TestWideExplanation checks that the wide text contains the near misses that the text omits.
func TestWideExplanation(t *testing.T) {
	text := cluster.TwoNodes
	for i := range 9 {
		text += fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: more-%d}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}], ports: [{port: %d}]}]}
`, i, 7000+i)
	}
	e, err := newCluster(t, text).Explain(query.ExplainQuestion{From: "web", To: "db", Target: query.Target{Port: "80", Protocol: "TCP"}})
	if err != nil {
		t.Fatal(err)
	}
	var short, wide strings.Builder
	if err := e.WriteText(&short); err != nil {
		t.Fatal(err)
	}
	if err := e.WriteWide(&wide); err != nil {
		t.Fatal(err)
	}
	const last, hint = "(TCP 7008)", "6 more rules almost match (-o wide lists all).\n"
	if strings.Contains(short.String(), last) || !strings.Contains(short.String(), hint) {
		t.Errorf("text:\n%s", &short)
	}
	if !strings.Contains(wide.String(), last) || strings.Contains(wide.String(), "-o wide") {
		t.Errorf("wide:\n%s", &wide)
	}
}

// TestWideMatrix checks that the wide text is a table with names, however wide it is.
func TestWideMatrix(t *testing.T) {
	text := cluster.TwoNodes
	for i := range 60 {
		text += strings.Replace(deployment(fmt.Sprintf("app%d", i), 1, byte(10+i)), "controller: true", "controller: false", 1)
	}
	m, err := newCluster(t, text).Matrix(&query.MatrixQuestion{Target: query.Target{Port: "80", Protocol: "TCP"}})
	if err != nil {
		t.Fatal(err)
	}
	var wide strings.Builder
	if err := m.WriteWide(&wide); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(wide.String(), "\n")
	if !strings.Contains(lines[2], "  default/app9-abc-1  ") || !strings.Contains(lines[2], "  default/web") || !strings.HasPrefix(lines[3], "default/app0-abc-1") {
		t.Errorf("wide:\n%s", &wide)
	}
}

// TestWideLintReport checks that each finding is one line of a table.
func TestWideLintReport(t *testing.T) {
	r, err := newCluster(t, strings.Replace(cluster.TwoNodes, "port: 5432", "port: sql", 1)).Lint(query.LintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wide strings.Builder
	if err := r.WriteWide(&wide); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(wide.String()), "\n")
	if len(lines) != 1+len(r.Findings) || len(r.Findings) == 0 || !strings.HasPrefix(lines[0], "SEVERITY  CHECK") || !strings.Contains(wide.String(), "\nwarning   no-such-port") {
		t.Errorf("%d findings:\n%s", len(r.Findings), &wide)
	}
}
