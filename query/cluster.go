package query

import (
	"errors"
	"fmt"
	"os"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// Cluster answers questions about a set of objects. It evaluates the egress side
// of a flow in the tree of the source pod's node, and the ingress side in the
// tree of the destination pod's node.
//
// A Cluster is not safe for concurrent use. The set must not change while the
// Cluster is in use.
type Cluster struct {
	set      *inventory.Set
	snapshot *policy.Snapshot
	trees    map[string]*tree.Tree
}

// NewCluster returns a Cluster for the objects of a set. It compiles the tree of
// a node when the first flow needs it. The caller must call Close.
func NewCluster(set *inventory.Set) *Cluster {
	return &Cluster{set: set, snapshot: set.Snapshot(), trees: map[string]*tree.Tree{}}
}

// Close unmaps all trees.
func (c *Cluster) Close() error {
	var errs []error
	for _, t := range c.trees {
		errs = append(errs, t.Close())
	}
	c.trees = nil
	return errors.Join(errs...)
}

// Decision is the decision of both ends' nodes about a flow, with the names of
// policies and rules. It is the JSON line that EvaluateLines writes.
type Decision struct {
	// Verdict is Allow if both sides allow the flow, otherwise Deny.
	Verdict string      `json:"verdict"`
	Egress  report.Side `json:"egress"`
	Ingress report.Side `json:"ingress"`
}

// Evaluate returns the decision about a flow. The reason of a side is never
// NoReason or Elsewhere. An error means that the tree of a node could not be
// compiled, published or mapped.
func (c *Cluster) Evaluate(f flow.Flow) (Decision, error) {
	egress, ingress, err := c.sides(f)
	if err != nil {
		return Decision{}, err
	}
	return Decision{Verdict: both(egress, ingress).String(), Egress: egress.named(), Ingress: ingress.named()}, nil
}

// Verdict returns the verdict about a flow without its reasons, which costs
// less. Its errors are those of Evaluate.
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

// evaluatedSide is one side of a decision and the tree that it comes from, nil
// if the end is not a pod.
type evaluatedSide struct {
	rule.Side
	tree *tree.Tree
}

func (s evaluatedSide) named() report.Side {
	if s.tree == nil {
		return report.SideOf(nil, s.Side) // A nil *tree.Tree would be a namer that is not nil.
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

// side evaluates a flow in the tree of one end's node.
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
	// An address that both a pod and its node have counts as the node's.
	if side.Reason == rule.Elsewhere {
		return external, nil
	}
	return evaluatedSide{Side: side, tree: t}, nil
}

// NearMisses returns the near misses of a flow in one direction: first the rules
// that match the peer, then the rules that match the port, each in the order of
// the policies. There are none unless the reason of that side is NoRuleMatched.
func (c *Cluster) NearMisses(f flow.Flow, d rule.Direction) ([]rule.NearMiss, error) {
	side, err := c.side(f, d)
	if err != nil || side.tree == nil {
		return nil, err
	}
	return side.tree.NearMisses(f, d, side.Side), nil
}

// tree returns the mapped tree of a node. Pods that are not bound to a node have
// the node "".
func (c *Cluster) tree(node string) (*tree.Tree, error) {
	if t, ok := c.trees[node]; ok {
		return t, nil
	}
	t, err := c.open(node)
	if err != nil {
		return nil, fmt.Errorf("preparing the tree of node %q: %w", node, err)
	}
	c.trees[node] = t
	return t, nil
}

// open publishes the tree of a node and maps it, as on a node. It removes the
// directory for the tree as soon as the tree is mapped, so that a process that is
// killed later leaves nothing behind.
func (c *Cluster) open(node string) (t *tree.Tree, err error) {
	stateDir, err := os.MkdirTemp("", "sluice-query-")
	if err != nil {
		return nil, fmt.Errorf("creating a directory for the tree: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(stateDir); removeErr != nil && err == nil {
			err = errors.Join(removeErr, t.Close())
			t = nil
		}
	}()
	if _, err := c.publish(node, stateDir); err != nil {
		return nil, err
	}
	return statedir.OpenCurrent(stateDir)
}
