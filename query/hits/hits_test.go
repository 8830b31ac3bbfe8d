package hits_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/query/hits"
)

const manifests = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}
  - {from: [{podSelector: {matchLabels: {app: admin}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing, namespace: idle}
spec:
  podSelector: {matchLabels: {app: none}}
  policyTypes: [Egress]
  egress: [{}]
`

func policies(t *testing.T) []*policy.Policy {
	t.Helper()
	set, err := manifest.Read([]string{"-"}, strings.NewReader(manifests))
	if err != nil {
		t.Fatal(err)
	}
	var out []*policy.Policy
	for i := range set.Policies {
		out = append(out, set.Policies[i].Policy)
	}
	return out
}

func at(minute int) time.Time { return time.Date(2026, 1, 2, 15, minute, 0, 0, time.UTC) }

// counter returns the counter of an ingress rule of shop/db, or of denied packets if rule is -1.
func counter(t *testing.T, index int, count uint64, since, last int) report.RuleHits {
	t.Helper()
	out := report.RuleHits{Policy: "shop/db", Direction: "ingress", Count: count, Since: at(since)}
	if count > 0 {
		out.Last = at(last)
	}
	if index >= 0 {
		db := policies(t)[0]
		if db.String() != "shop/db" {
			db = policies(t)[1]
		}
		out.Rule, out.Fingerprint = &index, fmt.Sprintf("%016x", fingerprint.Rules(db, rule.Ingress)[index])
	}
	return out
}

func TestHits(t *testing.T) {
	edited := counter(t, 0, 99, 0, 1)
	edited.Fingerprint = "00000000000000ff"
	gone := counter(t, 0, 2, 12, 13)
	gone.Gone = true
	nodes := []hits.Node{
		{Name: "a", Hits: &report.Hits{Since: at(0), Rules: 2, Counters: []report.RuleHits{
			counter(t, 0, 3, 5, 20), counter(t, 1, 0, 5, 0), counter(t, -1, 7, 5, 21), edited,
		}}},
		{Name: "b", Hits: &report.Hits{Since: at(10), Rules: 2, Counters: []report.RuleHits{gone, counter(t, -1, 1, 12, 13)}}},
		{Name: "c", Err: errors.New("connecting to the agent of node c: timeout")},
	}
	tests := map[string]struct {
		filter hits.Filter
		nodes  []hits.Node
		want   string
	}{
		"all": {hits.Filter{}, nodes, `NOT COMPLETE: 1 of 3 nodes did not respond, so the rules may be used there:
  c: connecting to the agent of node c: timeout
Never used: 2 of 3 rules. Counted on 2 nodes since 2026-01-02 15:10:00 UTC.

POLICY        HITS  LAST USED  COUNTED SINCE (UTC)  RULE
idle/nothing     0  never      .                    egress[0] to anywhere on every port
idle/nothing     0  .          .                    egress denied: no rule matched
shop/db          5  10m0s ago  2026-01-02 15:10:00  ingress[0] from pods app=web in namespace shop on TCP 5432
shop/db          0  never      2026-01-02 15:10:00  ingress[1] from pods app=admin in namespace shop on every port
shop/db          8  9m0s ago   2026-01-02 15:10:00  ingress denied: no rule matched

A hit is the first packet of a flow. Later packets of an accepted connection are not counted.
If a rule has no time, it has not applied to any pod on these nodes.
`},
		"unused in a namespace": {hits.Filter{Namespace: "shop", Unused: true}, nodes[:2], `Never used: 1 rule in namespace shop. Counted on 2 nodes since 2026-01-02 15:10:00 UTC.

POLICY   HITS  LAST USED  COUNTED SINCE (UTC)  RULE
shop/db     0  never      2026-01-02 15:10:00  ingress[1] from pods app=admin in namespace shop on every port

A hit is the first packet of a flow. Later packets of an accepted connection are not counted.
`},
		"no node": {hits.Filter{Namespace: "none"}, nil, "No node has counted rules.\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			h := hits.New(policies(t), tt.nodes, tt.filter, at(30))
			if err := h.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, text.String()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
			if want := len(tt.nodes) == 2; h.Complete() != want {
				t.Errorf("complete %t, want %t", h.Complete(), want)
			}
		})
	}
}

// A rule that applies to a pod whose flows are not evaluated is never reported as unused.
func TestPartlyCountedRulesAreNotUnused(t *testing.T) {
	partly := counter(t, 1, 0, 5, 0)
	partly.CountedPartly = true
	nodes := []hits.Node{{Name: "a", Hits: &report.Hits{Since: at(0), Rules: 1, Counters: []report.RuleHits{partly}}}}
	h := hits.New(policies(t), nodes, hits.Filter{Namespace: "shop", Unused: true}, at(30))
	if len(h.Rules) != 1 || *h.Rules[0].Rule != 0 {
		t.Errorf("unused rules %+v, want only the other rule", h.Rules)
	}
	var text strings.Builder
	if err := hits.New(policies(t), nodes, hits.Filter{}, at(30)).WriteText(&text); err != nil || !strings.Contains(text.String(), "0+  . ") || !strings.Contains(text.String(), "\n+ The kernel") {
		t.Errorf("%v:\n%s", err, &text)
	}
	use := hits.NewUses(nodes).Rule(fingerprint.Rules(policies(t)[0], rule.Ingress)[1])
	if got, want := use.String(), "never used since 2026-01-02 15:05:00 UTC; not all of its flows are counted"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// source is a hits.Source.
type source map[string]string

func (s source) NodeHits(_ context.Context, node string) (json.RawMessage, error) {
	if s[node] == "" {
		return nil, errors.New("no such node")
	}
	return json.RawMessage(s[node]), nil
}

func TestReadNamesTheNodesWithoutCounters(t *testing.T) {
	nodes := hits.Read(t.Context(), source{
		"counting": `{"hits": {"since": "2026-01-02T15:04:05Z", "rules": 1, "counters": [{"policy": "shop/db", "count": 3}]}}`,
		"old":      `{"generation": 7}`,
		"summary":  `{"hits": {"since": "2026-01-02T15:04:05Z", "rules": 1}}`,
	}, []string{"counting", "old", "summary", "gone"})
	for i, want := range []string{"", "too old to count rules", "too old to count rules", "no such node"} {
		n := nodes[i]
		if (n.Err == nil) != (want == "") || (n.Hits == nil) == (n.Err == nil) || n.Err != nil && !strings.Contains(n.Err.Error(), want) {
			t.Errorf("node %s: %v, want %q", n.Name, n.Err, want)
		}
	}
	if nodes[0].Hits.Counters[0].Count != 3 {
		t.Errorf("%+v", nodes[0].Hits)
	}
}
