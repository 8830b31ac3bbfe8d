package judge

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Near is a rule that did not match a flow and would have but for one thing:
// the port, or the peer.
type Near struct {
	// Policy and Rule name the rule, as in Side.
	Policy string
	Rule   int
	// PeerMatches reports that the rule is for this peer, at other ports. Else
	// it is for this port, and other peers.
	PeerMatches bool
	// Ports are the ports at which the rule allows the peer. Valid iff
	// PeerMatches.
	Ports []rule.Ports
}

// Near lists the near misses of a flow in one direction: those that match the
// peer before those that match the port, each in the order of the policies. It
// is empty unless the direction's reason is NoRuleMatched.
func (c *Cluster) Near(f flow.Flow, d rule.Direction) ([]Near, error) {
	side, err := c.side(f, d)
	if err != nil || side.tree == nil {
		return nil, err
	}
	return NearIn(side.tree, f, d), nil
}

// NearIn lists the near misses of a flow in one node's tree.
func NearIn(t *tree.Tree, f flow.Flow, d rule.Direction) []Near {
	decision := t.Evaluate(f)
	side := decision.Egress
	if d == rule.Ingress {
		side = decision.Ingress
	}
	var out []Near
	for _, n := range t.NearMisses(f, d, side) {
		out = append(out, Near{Policy: n.Policy, Rule: n.Index, PeerMatches: n.Differs == rule.PortPart, Ports: n.Ports})
	}
	return out
}
