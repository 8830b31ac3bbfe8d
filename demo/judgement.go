package demo

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// side is what the policies say in one direction, as the commands write it.
type side struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Policy and Rule name the rule that decided, if one did.
	Policy string `json:"policy,omitempty"`
	Rule   *int   `json:"rule,omitempty"`
	// IsolatedBy names the policies that isolate the pod in this direction.
	IsolatedBy []string `json:"isolatedBy,omitempty"`
	// Near are the rules that a refusal missed by a little.
	Near []miss `json:"near,omitempty"`
}

func (s *side) allows() bool { return s.Verdict == rule.Allow.String() }

// judge asks the published tree for every cell: the very file that the
// dataplane maps. All pods are pods of its node, so an end that is elsewhere is
// no pod at all.
func judge(path string, cells []*Cell) error {
	t, err := tree.Open(path)
	if err != nil {
		return err
	}
	for _, c := range cells {
		f := c.flow()
		d := t.Evaluate(f)
		c.Policies = d.Verdict()
		c.Egress, c.Ingress = sideOf(t, d.Egress), sideOf(t, d.Ingress)
		c.Egress.Near, c.Ingress.Near = nearOf(t, f, rule.Egress, d.Egress), nearOf(t, f, rule.Ingress, d.Ingress)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("closing the tree: %w", err)
	}
	return nil
}

func sideOf(t *tree.Tree, in rule.Side) side {
	out := side{Verdict: in.Verdict.String(), Reason: in.Reason.String(), IsolatedBy: slices.Clone(t.IsolatedBy(in))}
	if in.Reason == rule.Elsewhere {
		out.Reason = rule.External.String()
	}
	if policy, index, ok := t.Rule(in); ok {
		out.Policy, out.Rule = policy, &index
	}
	return out
}
