// Package judge answers for a whole cluster whether a flow is allowed, and by
// what, without a cluster: it compiles every node's rules, publishes them as
// trees in a temporary directory, maps these and looks flows up in them. That
// is the very path on which a node judges packets, so an answer from here is an
// answer of the dataplane.
//
// The egress of a flow is judged in the tree of the node that the opening pod
// runs on, its ingress in that of the receiving pod's node.
package judge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/policy"
)

// Side is the answer for one direction.
type Side struct {
	Verdict rule.Verdict
	// Reason is never NoReason, and Elsewhere only from SideOf.
	Reason rule.Reason
	// Policy and Rule name the rule that decided, as "namespace/name" and its
	// place in the policy's list for the direction. Valid iff Reason is Matched.
	Policy string
	Rule   int
	// IsolatedBy names the policies that isolate the pod in this direction,
	// ascending. Valid iff Reason is Matched or NoRuleMatched.
	IsolatedBy []string
}

// Answer is the answer for a flow. It is allowed when both sides allow it.
type Answer struct {
	Verdict         rule.Verdict
	Egress, Ingress Side
}

// Cluster judges flows by a snapshot as it stands at the first flow that
// touches a node. It is not safe for concurrent use.
type Cluster struct {
	snapshot *policy.Snapshot
	nodes    map[string]*tree.Tree
}

// New prepares to judge by the snapshot. Nothing is compiled yet: that happens
// for a node when a flow first touches one of its pods. Close must be called.
func New(snapshot *policy.Snapshot) *Cluster {
	return &Cluster{snapshot: snapshot, nodes: map[string]*tree.Tree{}}
}

// Close unmaps all trees.
func (c *Cluster) Close() error {
	var errs []error
	for _, t := range c.nodes {
		errs = append(errs, t.Close())
	}
	c.nodes = nil
	return errors.Join(errs...)
}

// Judge answers for one flow. An error means that a node's rules could not be
// compiled, published or mapped; it says nothing about the flow.
func (c *Cluster) Judge(f flow.Flow) (Answer, error) {
	egress, ingress, err := c.sides(f)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Verdict: both(egress, ingress), Egress: egress.named(), Ingress: ingress.named()}
	return a, nil
}

// Verdict answers for one flow without saying why, which is cheaper. Errors are
// those of Judge.
func (c *Cluster) Verdict(f flow.Flow) (rule.Verdict, error) {
	egress, ingress, err := c.sides(f)
	if err != nil {
		return rule.Deny, err
	}
	return both(egress, ingress), nil
}

func both(egress, ingress judged) rule.Verdict {
	if egress.Verdict == rule.Allow && ingress.Verdict == rule.Allow {
		return rule.Allow
	}
	return rule.Deny
}

// judged is a side as the tree of its pod's node judged it. Where the end is no
// live pod there is no tree.
type judged struct {
	rule.Side
	tree *tree.Tree
}

func (c *Cluster) sides(f flow.Flow) (egress, ingress judged, err error) {
	if egress, err = c.side(f, rule.Egress); err != nil {
		return judged{}, judged{}, err
	}
	if ingress, err = c.side(f, rule.Ingress); err != nil {
		return judged{}, judged{}, err
	}
	return egress, ingress, nil
}

// side judges one end.
func (c *Cluster) side(f flow.Flow, d rule.Direction) (judged, error) {
	external := judged{Side: rule.Side{Verdict: rule.Allow, Reason: rule.External}}
	end := f.Src
	if d == rule.Ingress {
		end = f.Dst
	}
	pod, ok := c.snapshot.Owner(end)
	if !ok {
		return external, nil
	}
	t, err := c.Tree(pod.Node)
	if err != nil {
		return judged{}, err
	}
	decision := t.Evaluate(f)
	side := decision.Egress
	if d == rule.Ingress {
		side = decision.Ingress
	}
	// An address that is the pod's and its node's is the node's.
	if side.Reason == rule.Elsewhere {
		return external, nil
	}
	return judged{Side: side, tree: t}, nil
}

func (j judged) named() Side {
	if j.tree == nil {
		return Side{Verdict: j.Verdict, Reason: j.Reason}
	}
	return SideOf(j.tree, j.Side)
}

// SideOf gives a side of a tree's decision with its names. A side that the tree
// does not judge has reason Elsewhere.
func SideOf(t *tree.Tree, side rule.Side) Side {
	out := Side{Verdict: side.Verdict, Reason: side.Reason, IsolatedBy: t.IsolatedBy(side)}
	out.Policy, out.Rule, _ = t.Rule(side)
	return out
}

// Tree gives the mapped tree of a node; "" is the node of pods that are bound
// to none. The cluster closes it.
func (c *Cluster) Tree(node string) (*tree.Tree, error) {
	if t, ok := c.nodes[node]; ok {
		return t, nil
	}
	t, err := c.publish(node)
	if err != nil {
		return nil, fmt.Errorf("judging by the rules of node %q: %w", node, err)
	}
	c.nodes[node] = t
	return t, nil
}

// publish takes a node's rules the way they take on a node, in a directory that
// lasts only until the tree is mapped, so that a process that is ended while it
// judges leaves nothing behind.
func (c *Cluster) publish(node string) (t *tree.Tree, err error) {
	compiler := c.snapshot.Compile(node)
	defer compiler.Close()
	builder := tree.NewBuilder(node)
	if err := builder.Apply(compiler.Delta()); err != nil {
		return nil, fmt.Errorf("building tree: %w", err)
	}
	stateDir, err := os.MkdirTemp("", "sluice-judge-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the tree: %w", err)
	}
	defer func() {
		if removeErr := os.RemoveAll(stateDir); removeErr != nil && err == nil {
			err = errors.Join(removeErr, t.Close())
			t = nil
		}
	}()
	publisher, err := tree.NewPublisher(stateDir)
	if err != nil {
		return nil, err
	}
	if _, err := publisher.Publish(builder); err != nil {
		return nil, err
	}
	return tree.Open(filepath.Join(stateDir, "tree", "current"))
}
