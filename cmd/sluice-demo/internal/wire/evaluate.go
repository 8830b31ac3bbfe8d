package wire

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Allows reports whether the verdict of a side is Allow.
func Allows(s *report.Side) bool { return s.Verdict == rule.Allow.String() }

// SameRule reports whether two sides have the same reason, and either the same deciding rule or
// both no deciding rule. The lists of rules with action Pass that matched must also be the same.
func SameRule(a, b *report.Side) bool {
	if a.Reason != b.Reason || (a.Rule == nil) != (b.Rule == nil) || !slices.EqualFunc(a.Passed, b.Passed, samePass) {
		return false
	}
	return a.Rule == nil || *a.Policy == *b.Policy && *a.Rule == *b.Rule
}

func samePass(a, b report.Passed) bool { return a.Policy == b.Policy && a.Rule == b.Rule }

// Evaluate opens a published tree and sets the decision of every attempt. The tree contains
// all pods, because all pods run on the node of the tree. An end that is not in the tree is
// therefore not a pod.
func Evaluate(path string, attempts []*Attempt) error {
	t, err := tree.Open(path)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		f := a.Flow()
		d := t.Evaluate(f)
		a.Verdict = d.Verdict()
		a.Egress, a.Ingress = sideOf(t, f, rule.Egress, d.Egress), sideOf(t, f, rule.Ingress, d.Ingress)
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("closing the tree: %w", err)
	}
	return nil
}

func sideOf(t *tree.Tree, f flow.Flow, d rule.Direction, s rule.Side) report.Side {
	out := report.SideOf(t, s)
	if s.Reason == rule.Elsewhere {
		out.Reason = rule.External.String()
	}
	out.NearMisses = report.NearMissesOf(t.NearMisses(f, d, s))
	return out
}
