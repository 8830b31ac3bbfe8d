package ui_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/query/hits"
	"github.com/sluicenet/sluice/ui/source"
)

// withHits is a source of manifests whose counters come from a test.
type withHits struct {
	*source.Files
	nodes []hits.Node
}

func (h withHits) Hits(context.Context, []string) ([]hits.Node, error) { return h.nodes, nil }

// TestHits shows how often the rules of a policy were used. One of two nodes does not respond.
func TestHits(t *testing.T) {
	s := withHits{Files: files(t, shop)}
	set, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	counted := &report.Hits{Since: since}
	for i := range set.Policies {
		if p := set.Policies[i].Policy; p.String() == "shop/db" {
			for j, sum := range fingerprint.Rules(p, rule.Ingress) {
				counted.Counters = append(counted.Counters, report.RuleHits{
					Policy: "shop/db", Direction: "ingress", Rule: &j, Fingerprint: report.FingerprintText(sum), Count: uint64(3 * j), Since: since,
				})
			}
		}
	}
	counted.Counters = append(counted.Counters, report.RuleHits{Policy: "shop/db", Direction: "ingress", Count: 12, Since: since})
	s.nodes = []hits.Node{{Name: "node-1", Hits: counted}, {Name: "node-2", Err: errors.New("no response")}}

	b := open(t, s)
	b.Visit("#/policies?name=shop/db", ".use")
	b.See(".rules", "never used since 2026-01-02 15:04:05 UTC")
	b.See(".rules", "used 3 times since 2026-01-02 15:04:05 UTC")
	b.See(".details", "ingress: packets denied because no rule matched: 12 since")
	b.See(".details", "1 of 2 nodes are not counted")
	b.Shoot("hits")
}
