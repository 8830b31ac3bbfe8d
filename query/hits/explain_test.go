package hits_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/hits"
)

const pods = `
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: n1}, status: {podIPs: [{ip: 10.0.1.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop}, spec: {nodeName: n2}, status: {podIPs: [{ip: 10.0.2.1}]}}
`

func TestExplainShowsHowOftenTheRuleWasUsed(t *testing.T) {
	set, err := manifest.Read([]string{"-"}, strings.NewReader(manifests+pods))
	if err != nil {
		t.Fatal(err)
	}
	cluster := query.NewCluster(set)
	defer func() { _ = cluster.Close() }()
	explain := func(port string, s source) (string, error) {
		e, err := cluster.Explain(query.ExplainQuestion{From: "shop/web", To: "shop/db", Target: query.Target{Protocol: "TCP", Port: port}})
		if err != nil {
			t.Fatal(err)
		}
		failed := hits.Explain(t.Context(), s, e)
		var text strings.Builder
		if err := e.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		return text.String(), failed
	}
	status, err := json.Marshal(report.Status{Hits: &report.Hits{Since: at(0), Rules: 2, Counters: []report.RuleHits{counter(t, 0, 3, 5, 20)}}})
	if err != nil {
		t.Fatal(err)
	}
	counting := source{"n2": string(status)}
	const want = "    The rule was used 3 times on node n2 since 2026-01-02 15:05:00 UTC.\n"
	if text, err := explain("5432", counting); err != nil || !strings.Contains(text, "on TCP 5432\n"+want) {
		t.Errorf("%v, want %q:\n%s", err, want, text)
	}
	if text, err := explain("80", counting); err != nil || strings.Contains(text, "The rule was") {
		t.Errorf("%v for a flow that no rule matches:\n%s", err, text)
	}
	if text, err := explain("5432", nil); err == nil || !strings.Contains(err.Error(), "node n2: no such node") || strings.Contains(text, "The rule was") {
		t.Errorf("%v for a node that does not respond:\n%s", err, text)
	}
}
