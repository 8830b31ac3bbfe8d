package connection_test

import (
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/dataplane/connection"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// evaluator denies flows to one destination port. Another destination port is not isolated.
type evaluator struct{ denied, free uint16 }

func (e evaluator) Evaluate(f flow.Flow) rule.Decision {
	elsewhere := rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}
	switch f.DstPort {
	case e.denied:
		return rule.Decision{Egress: elsewhere, Ingress: rule.Side{Verdict: rule.Deny, Reason: rule.NoRuleMatched}}
	case e.free:
		return rule.Decision{Egress: elsewhere, Ingress: rule.Side{Verdict: rule.Allow, Reason: rule.NotIsolated}}
	default:
		return rule.Decision{Egress: elsewhere, Ingress: rule.Side{Verdict: rule.Allow, Reason: rule.Matched}}
	}
}

func TestState(t *testing.T) {
	to := func(src, dst uint16) flow.Flow {
		return flow.Flow{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: flow.TCP, SrcPort: src, DstPort: dst}
	}
	e := evaluator{denied: 80, free: 81}
	for name, test := range map[string]struct {
		connection connection.Connection
		want       connection.State
	}{
		"allowed":                          {connection.Connection{Flow: to(40000, 443)}, connection.Accepted},
		"denied":                           {connection.Connection{Flow: to(40000, 80)}, connection.Denied},
		"not isolated":                     {connection.Connection{Flow: to(40000, 81)}, connection.None},
		"from the node":                    {connection.Connection{Flow: to(40000, 80), FromNode: true}, connection.None},
		"replies of a denied connection":   {connection.Connection{Flow: to(80, 40000)}, connection.Accepted},
		"picked up in the other direction": {connection.Connection{Flow: to(80, 40000), MidStream: true}, connection.Denied},
		"picked up, opened by the node":    {connection.Connection{Flow: to(80, 40000), MidStream: true, ToNode: true}, connection.Accepted},
		"picked up, denied":                {connection.Connection{Flow: to(40000, 80), MidStream: true}, connection.Either},
		"picked up, both denied":           {connection.Connection{Flow: to(80, 80), MidStream: true}, connection.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.connection.State(e); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
