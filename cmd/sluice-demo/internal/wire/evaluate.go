package wire

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Side is what the policies decide in one direction.
type Side struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Policy and Rule name the rule that decided, if one did.
	Policy string `json:"policy,omitempty"`
	Rule   *int   `json:"rule,omitempty"`
	// IsolatedBy names the policies that isolate the pod in this direction.
	IsolatedBy []string `json:"isolatedBy,omitempty"`
	// NearMisses are rules that would have allowed a slightly different
	// connection.
	NearMisses []NearMiss `json:"near,omitempty"`
}

// NearMiss is a rule that would have allowed the connection to one of Ports, or,
// without ports, from another peer.
type NearMiss struct {
	Policy string   `json:"policy"`
	Rule   int      `json:"rule"`
	Ports  []string `json:"ports,omitempty"`
}

// Equal reports whether two near misses are the same.
func (n NearMiss) Equal(o NearMiss) bool {
	return n.Policy == o.Policy && n.Rule == o.Rule && slices.Equal(n.Ports, o.Ports)
}

// Allows reports whether the side allows the connection.
func (s *Side) Allows() bool { return s.Verdict == rule.Allow.String() }

// SameRule reports whether the same rule decided two sides, or no rule for the
// same reason.
func (s *Side) SameRule(o Side) bool {
	return s.Reason == o.Reason && s.Policy == o.Policy && (s.Rule == nil) == (o.Rule == nil) && (s.Rule == nil || *s.Rule == *o.Rule)
}

// Evaluate opens a tree, the file that the dataplane maps, and sets what it
// decides about every attempt. All pods are local to the node of the tree, so an
// end that is not local is not a pod.
func Evaluate(path string, attempts []*Attempt) error {
	t, err := tree.Open(path)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		f := a.Flow()
		d := t.Evaluate(f)
		a.Verdict = d.Verdict()
		a.Egress, a.Ingress = sideOf(t, d.Egress), sideOf(t, d.Ingress)
		a.Egress.NearMisses, a.Ingress.NearMisses = nearMisses(t, f, rule.Egress, d.Egress), nearMisses(t, f, rule.Ingress, d.Ingress)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("closing the tree: %w", err)
	}
	return nil
}

func sideOf(t *tree.Tree, in rule.Side) Side {
	out := Side{Verdict: in.Verdict.String(), Reason: in.Reason.String(), IsolatedBy: slices.Clone(t.IsolatedBy(in))}
	if in.Reason == rule.Elsewhere {
		out.Reason = rule.External.String()
	}
	if policy, index, ok := t.Rule(in); ok {
		out.Policy, out.Rule = policy, &index
	}
	return out
}

func nearMisses(t *tree.Tree, f flow.Flow, d rule.Direction, s rule.Side) []NearMiss {
	var out []NearMiss
	for _, m := range t.NearMisses(f, d, s) {
		n := NearMiss{Policy: m.Policy, Rule: m.Index}
		for _, p := range m.Ports {
			n.Ports = append(n.Ports, rangeText(p))
		}
		out = append(out, n)
	}
	return out
}

// rangeText returns a text such as "TCP 80", "UDP 8000-8080" or "any SCTP".
func rangeText(p rule.Ports) string {
	protocol := flow.Protocol(p.Protocol)
	switch {
	case p.First == p.Last:
		return topology.Port{Protocol: protocol, Number: p.First}.String()
	case p.First == 0 && p.Last == 65535:
		return "any " + protocol.String()
	default:
		return fmt.Sprintf("%s %d-%d", protocol, p.First, p.Last)
	}
}
