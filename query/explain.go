package query

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// ExplainQuestion is a question about one flow.
type ExplainQuestion struct {
	// From and To are the ends of the flow. Each end is an IP address, a pod (namespace/name
	// or only name), or a workload, such as the name of a Deployment. A workload stands for
	// one of its pods.
	From, To string
	Target
	// Namespace is the namespace in which to look up a pod if its name contains no namespace.
	// If Namespace is empty, the pod is looked up in all namespaces.
	Namespace string
}

// Explanation contains the decision for one flow and the reasons for the decision.
type Explanation struct {
	TypeMeta
	// Verdict is Allow or Deny.
	Verdict string `json:"verdict"`
	// Node is set only by ExplainInTree, which evaluates both sides of the flow with the tree of
	// this node. Otherwise, each side is evaluated with the tree of its own pod's node, and Node is
	// empty.
	Node     string `json:"node,omitempty"`
	From     End    `json:"from"`
	To       End    `json:"to"`
	Protocol string `json:"protocol"`
	// Port is the destination port, or null if the protocol has no ports.
	Port    *int        `json:"port"`
	Egress  report.Side `json:"egress"`
	Ingress report.Side `json:"ingress"`
}

func newExplanation(f flow.Flow, from, to *End) *Explanation {
	e := &Explanation{TypeMeta: NewTypeMeta("Explanation"), From: *from, To: *to, Protocol: f.Protocol.String()}
	if f.Protocol.HasPorts() {
		port := int(f.DstPort)
		e.Port = &port
	}
	return e
}

// Explain evaluates one flow and returns the reasons for the decision. If neither end is a
// pod, Explain returns an *InputError, because no policy applies to such a flow.
func (c *Cluster) Explain(q ExplainQuestion) (*Explanation, error) {
	from, err := c.findEnd("from", q.From, q.Namespace)
	if err != nil {
		return nil, err
	}
	to, err := c.findEnd("to", q.To, q.Namespace)
	if err != nil {
		return nil, err
	}
	f, err := q.flow(from, to)
	if err != nil {
		return nil, err
	}
	if from.Pod == "" && to.Pod == "" {
		return nil, inputErrorf("", "", "neither %s nor %s is the address of a pod, so no policy applies and nothing is evaluated; "+
			"give a pod (name or namespace/name) or its address for at least one end", from, to)
	}
	d, err := c.Evaluate(f)
	if err != nil {
		return nil, err
	}
	e := newExplanation(f, from, to)
	e.Verdict, e.Egress, e.Ingress = d.Verdict, d.Egress, d.Ingress
	for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
		misses, err := c.NearMisses(f, direction)
		if err != nil {
			return nil, err
		}
		e.side(direction).NearMisses = report.NearMissesOf(misses)
	}
	e.addTexts(c.ruleTexts())
	return e, nil
}

// ExplainInTree evaluates one flow with the tree of one node. The tree contains only the
// names and rules of this node's pods, so ExplainInTree evaluates only the sides of these
// pods. If neither end is a pod of this node, ExplainInTree returns an *InputError.
func ExplainInTree(t *tree.Tree, q ExplainQuestion) (*Explanation, error) {
	from, err := findInTree(t, "from", q.From, q.Namespace)
	if err != nil {
		return nil, err
	}
	to, err := findInTree(t, "to", q.To, q.Namespace)
	if err != nil {
		return nil, err
	}
	f, err := q.flow(from, to)
	if err != nil {
		return nil, err
	}
	if from.Pod == "" && to.Pod == "" {
		return nil, inputErrorf("", "", "neither %s nor %s is the address of a pod of node %s, so its tree does not evaluate this flow; "+
			"give a pod of this node for at least one end, or use the tree of another node", from, to, t.Node())
	}
	d := t.Evaluate(f)
	e := newExplanation(f, from, to)
	e.Node = t.Node()
	e.Verdict, e.Egress, e.Ingress = d.Verdict().String(), report.SideOf(t, d.Egress), report.SideOf(t, d.Ingress)
	for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
		e.side(direction).NearMisses = report.NearMissesOf(t.NearMisses(f, direction, d.Side(direction)))
	}
	e.addTexts(nil)
	return e, nil
}

func (q *ExplainQuestion) flow(from, to *End) (flow.Flow, error) {
	if err := chooseFamily(from, to); err != nil {
		return flow.Flow{}, err
	}
	return q.Target.flow(from, to)
}

func (e *Explanation) side(d rule.Direction) *report.Side {
	if d == rule.Ingress {
		return &e.Ingress
	}
	return &e.Egress
}

// addTexts adds a description of each rule to the explanation. If at least one peer of a rule
// matches the other end of the flow, the description lists only the matching peers. If the
// rule is a near miss because no peer matches, the description lists all peers.
func (e *Explanation) addTexts(texts *ruleTexts) {
	for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
		side, other := e.side(direction), &e.To
		if direction == rule.Ingress {
			other = &e.From
		}
		if side.Policy != nil {
			side.RuleDetails = texts.rule(*side.Policy, direction, *side.Rule, other)
		}
		for i := range side.Passed {
			p := &side.Passed[i]
			p.RuleDetails = texts.rule(p.Policy, direction, p.Rule, other)
		}
		for i := range side.NearMisses {
			miss := &side.NearMisses[i]
			matching := other
			if miss.Differs == rule.PeerPart.String() {
				matching = nil
			}
			miss.RuleDetails = texts.rule(miss.Policy, direction, miss.Rule, matching)
		}
	}
}
