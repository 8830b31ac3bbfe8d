package query

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/query/internal/family"
	"github.com/sluicenet/sluice/query/internal/ruletext"
	"github.com/sluicenet/sluice/query/question"
	"github.com/sluicenet/sluice/query/target"
)

// ExplainQuestion is a question about one flow.
type ExplainQuestion struct {
	// From and To are the ends of the flow. Each end is an IP address, a pod (namespace/name
	// or only name), or a workload, such as deploy/web. A workload stands for one of its pods. To
	// can also be a Service, such as svc/db, or the address of a Service. See target.Parse for all
	// forms.
	From, To string
	Target
	// Namespace is the namespace in which to look up a pod if its name contains no namespace.
	// If Namespace is empty, the pod is looked up in all namespaces.
	Namespace string
}

// Mixed is the verdict of an Explanation if the flows that it describes have different verdicts.
const Mixed = "Mixed"

// Explanation contains the decision for one flow and the reasons for the decision. If the
// destination is a Service, the explanation describes a flow to one of the Service's backends.
type Explanation struct {
	TypeMeta
	// Verdict is Allow or Deny. It is Mixed if the verdicts for IPv4 and IPv6 differ, or if the
	// verdicts for the backends of a Service differ.
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
	// OtherFamily describes the flow between the IPv6 addresses of the same ends. It is nil if
	// this flow does not exist, or if it has the same verdict as the flow between the IPv4
	// addresses.
	OtherFamily *Explanation `json:"otherFamily,omitempty"`
	// Service is the Service to which the client connects. It is nil if the destination is not a
	// Service. If it is set, Backends describes the flow to each backend. The other fields then
	// describe the flow to the first denied backend. If no backend is denied, they describe the
	// flow to the first backend.
	Service  *ServiceEnd   `json:"service,omitempty"`
	Backends []Explanation `json:"backends,omitempty"`
	// Hints are sentences about a probable cause of a verdict that the user does not expect.
	Hints []string `json:"hints,omitempty"`

	// If all is true, the text contains all near misses.
	all bool
}

func newExplanation(f flow.Flow, from, to *End) *Explanation {
	e := &Explanation{TypeMeta: NewTypeMeta("Explanation"), From: *from, To: *to, Protocol: f.Protocol.String()}
	if f.Protocol.HasPorts() {
		port := int(f.DstPort)
		e.Port = &port
	}
	return e
}

// Explain evaluates one flow and returns the reasons for the decision. If the destination is a
// Service, Explain evaluates a flow to each of its backends. If neither end is a pod, Explain returns
// an *InputError, because no policy applies to such a flow.
func (c *Cluster) Explain(q ExplainQuestion) (*Explanation, error) {
	from, err := c.findEnd("from", q.From, q.Namespace)
	if err != nil {
		return nil, err
	}
	if s, address, err := c.findService(&q); err != nil {
		return nil, err
	} else if s != nil {
		return c.explainService(&q, from, s, address)
	}
	to, err := c.findEnd("to", q.To, q.Namespace)
	if err != nil {
		return nil, err
	}
	protocol, port, err := q.Split()
	if err != nil {
		return nil, err
	}
	nodePorts := target.NodePortHints(c.set, to.addresses, protocol, port)
	if from.Pod == "" && to.Pod == "" && len(nodePorts) > 0 {
		return nil, question.Errorf("to", q.To, "%s", nodePorts[0])
	}
	e, err := c.explainEnds(from, to, q.Target)
	if err == nil {
		e.Hints = slices.Concat(e.Hints, c.portHints(e), nodePorts)
	}
	return e, err
}

// explainEnds explains the flow between two ends for each address family.
func (c *Cluster) explainEnds(from, to *End, t Target) (*Explanation, error) {
	if from.Pod == "" && to.Pod == "" {
		return nil, question.Errorf("", "", "neither %s nor %s is the address of a pod, so no policy applies and nothing is evaluated; "+
			"give a pod (name or namespace/name) or its address for at least one end", from, to)
	}
	return eachFamily(from, to, t, c.explainFlow)
}

// eachFamily explains the flow between two ends for each address family, and combines the results.
func eachFamily(from, to *End, t Target, explain func(f flow.Flow, from, to *End) (*Explanation, error)) (*Explanation, error) {
	var out *Explanation
	for src, dst := range family.Pairs(from.addresses, to.addresses, from.assigned || to.assigned) {
		f, err := t.Flow(src, dst, &question.Destination{Name: to.String(), Ports: to.ports})
		if err != nil {
			return nil, err
		}
		a, b := *from, *to
		a.Address, b.Address = src, dst
		e, err := explain(f, &a, &b)
		if err != nil {
			return nil, err
		}
		switch {
		case out == nil:
			out = e
		case e.Verdict != out.Verdict:
			out.Verdict, out.OtherFamily = Mixed, e
		}
	}
	if out == nil {
		return nil, question.Errorf("", "", "%s and %s have no address family in common", from, to)
	}
	return out, nil
}

func (c *Cluster) explainFlow(f flow.Flow, from, to *End) (*Explanation, error) {
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
	c.addUnmatched(e, f)
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
	if from.Pod == "" && to.Pod == "" {
		return nil, question.Errorf("", "", "neither %s nor %s is the address of a pod of node %s, so its tree does not evaluate this flow; "+
			"give a pod of this node for at least one end, or use the tree of another node", from, to, t.Node())
	}
	return eachFamily(from, to, q.Target, func(f flow.Flow, from, to *End) (*Explanation, error) {
		d := t.Evaluate(f)
		e := newExplanation(f, from, to)
		e.Node = t.Node()
		e.Verdict, e.Egress, e.Ingress = d.Verdict().String(), report.SideOf(t, d.Egress), report.SideOf(t, d.Ingress)
		for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
			e.side(direction).NearMisses = report.NearMissesOf(t.NearMisses(f, direction, d.Side(direction)))
		}
		e.addTexts(nil)
		return e, nil
	})
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
func (e *Explanation) addTexts(texts *ruletext.Texts) {
	for _, direction := range []rule.Direction{rule.Egress, rule.Ingress} {
		side, other := e.side(direction), e.To.Address
		if direction == rule.Ingress {
			other = e.From.Address
		}
		if side.Policy != nil {
			side.RuleDetails = texts.Rule(*side.Policy, direction, *side.Rule, other)
			side.Fingerprint = texts.Fingerprint(*side.Policy, direction, *side.Rule)
		}
		for i := range side.Passed {
			p := &side.Passed[i]
			p.RuleDetails = texts.Rule(p.Policy, direction, p.Rule, other)
		}
		for i := range side.NearMisses {
			miss := &side.NearMisses[i]
			matching := other
			if miss.Differs == rule.PeerPart.String() {
				matching = netip.Addr{}
			}
			miss.RuleDetails = texts.Rule(miss.Policy, direction, miss.Rule, matching)
		}
	}
}
