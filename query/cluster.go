package query

import (
	"errors"
	"fmt"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/compiled"
	"github.com/sluicenet/sluice/query/internal/ruletext"
)

// Cluster answers questions about a set of objects. It evaluates the egress side of a flow
// with the tree of the source pod's node, and the ingress side with the tree of the
// destination pod's node.
//
// A Cluster is not safe for concurrent use. The set must not change while the Cluster is in
// use.
type Cluster struct {
	set      *inventory.Set
	snapshot *policy.Snapshot
	trees    map[string]*tree.Tree
	// texts is nil until the first explanation.
	texts *ruletext.Texts
}

// NewCluster returns a Cluster for the objects of a set. The Cluster compiles the tree of a
// node when it first evaluates a flow with this tree. The caller must call Close.
func NewCluster(set *inventory.Set) *Cluster {
	return &Cluster{set: set, snapshot: set.Snapshot(), trees: map[string]*tree.Tree{}}
}

// ruleTexts returns the texts of all rules. A single question can need them for many flows.
func (c *Cluster) ruleTexts() *ruletext.Texts {
	if c.texts == nil {
		c.texts = ruletext.Of(c.snapshot)
	}
	return c.texts
}

// Close releases the trees of all nodes.
func (c *Cluster) Close() error {
	var errs []error
	for _, t := range c.trees {
		errs = append(errs, t.Close())
	}
	c.trees = nil
	return errors.Join(errs...)
}

// Decision is the decision for a flow, with the names of policies and rules. It combines the
// egress side from the source pod's node with the ingress side from the destination pod's
// node. EvaluateLines writes each Decision as one JSON line.
type Decision struct {
	// Verdict is Allow if both sides allow the flow, otherwise Deny.
	Verdict string      `json:"verdict"`
	Egress  report.Side `json:"egress"`
	Ingress report.Side `json:"ingress"`
}

// Evaluate returns the decision for a flow. It evaluates the side of each pod with the tree
// of that pod's node, so no side has the reason NoReason or Elsewhere. If Evaluate cannot
// compile a tree, it returns an error.
func (c *Cluster) Evaluate(f flow.Flow) (Decision, error) {
	egress, ingress, err := c.sides(f)
	if err != nil {
		return Decision{}, err
	}
	return Decision{Verdict: both(egress, ingress).String(), Egress: egress.named(), Ingress: ingress.named()}, nil
}

// Verdict returns only the verdict for a flow. It is faster than Evaluate because it does not
// look up the names of policies and rules. It returns an error in the same cases as Evaluate.
func (c *Cluster) Verdict(f flow.Flow) (rule.Verdict, error) {
	egress, ingress, err := c.sides(f)
	if err != nil {
		return rule.Deny, err
	}
	return both(egress, ingress), nil
}

func both(egress, ingress evaluatedSide) rule.Verdict {
	return rule.Decision{Egress: egress.Side, Ingress: ingress.Side}.Verdict()
}

// evaluatedSide is one side of a decision. The `tree` field is the tree that was used for the
// evaluation. If the address on this side does not belong to a pod, the field is nil.
type evaluatedSide struct {
	rule.Side
	tree *tree.Tree
}

func (s evaluatedSide) named() report.Side {
	if s.tree == nil {
		return report.SideOf(nil, s.Side) // Do not pass s.tree: as an interface value, a nil *tree.Tree is not equal to nil.
	}
	return report.SideOf(s.tree, s.Side)
}

func (c *Cluster) sides(f flow.Flow) (egress, ingress evaluatedSide, err error) {
	if egress, err = c.side(f, rule.Egress); err != nil {
		return evaluatedSide{}, evaluatedSide{}, err
	}
	if ingress, err = c.side(f, rule.Ingress); err != nil {
		return evaluatedSide{}, evaluatedSide{}, err
	}
	return egress, ingress, nil
}

// side evaluates one side of a flow: the egress side with the tree of the source pod's node,
// or the ingress side with the tree of the destination pod's node.
func (c *Cluster) side(f flow.Flow, d rule.Direction) (evaluatedSide, error) {
	external := evaluatedSide{Side: rule.Side{Verdict: rule.Allow, Reason: rule.External}}
	end := f.Src
	if d == rule.Ingress {
		end = f.Dst
	}
	pod, ok := c.snapshot.Owner(end)
	if !ok {
		return external, nil
	}
	t, err := c.tree(pod.Node)
	if err != nil {
		return evaluatedSide{}, err
	}
	side := t.Evaluate(f).Side(d)
	// If a pod and its node share an address, the tree assigns the address to the
	// node, to which no policy applies.
	if side.Reason == rule.Elsewhere {
		return external, nil
	}
	return evaluatedSide{Side: side, tree: t}, nil
}

// NearMisses returns the near misses of a flow in one direction. First come the rules that match
// the peer but not the port. Then come the rules that match the port but not the peer. Each group
// is in the order of the policies. If the reason in this direction is not NoRuleMatched, the
// result is empty.
func (c *Cluster) NearMisses(f flow.Flow, d rule.Direction) ([]rule.NearMiss, error) {
	side, err := c.side(f, d)
	if err != nil || side.tree == nil {
		return nil, err
	}
	return side.tree.NearMisses(f, d, side.Side), nil
}

// tree returns the tree of a node. If the Cluster does not have the tree yet, it compiles the tree
// first. If the `node` parameter is empty, the tree contains the pods that are not bound to a node.
func (c *Cluster) tree(node string) (*tree.Tree, error) {
	if t, ok := c.trees[node]; ok {
		return t, nil
	}
	t, err := compiled.Tree(c.snapshot, node)
	if err != nil {
		return nil, fmt.Errorf("preparing the tree of node %q: %w", node, err)
	}
	c.trees[node] = t
	return t, nil
}
