package diff

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluicenet/sluice/dataplane/connection"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/compiled"
	"github.com/sluicenet/sluice/query/internal/ruletext"
)

// Nodes evaluates connections and flows with the trees that their nodes have before the change, and
// with the trees that they would have after it. It is not safe for concurrent use.
type Nodes struct {
	before, after *snapshot
	nodes         map[string]*comparison
}

// snapshot is a snapshot with its policies by name.
type snapshot struct {
	*policy.Snapshot
	policies map[string]*policy.Policy
}

// Connections lists the open connections that a change would cut.
type Connections struct {
	// Evaluated is the number of connections that the nodes reported.
	Evaluated int `json:"evaluated"`
	// Cut lists the connections that the change would cut. A connection between two nodes is listed
	// only once, even if both nodes report it.
	Cut []Flow `json:"cut"`
	// Errors describes the nodes whose connections are missing.
	Errors []string `json:"errors,omitempty"`
}

// Flow is a flow or an open connection whose verdict changes.
type Flow struct {
	// Effect is Gain or Lose. Open connections can only be lost.
	Effect string `json:"effect"`
	// Node is the node that reported the flow.
	Node     string     `json:"node"`
	Protocol string     `json:"protocol"`
	Src      netip.Addr `json:"src"`
	SrcPort  uint16     `json:"srcPort,omitempty"`
	// SrcPod and DstPod are the names of pods, in the form "namespace/name". A name is empty if the
	// address does not belong to a pod.
	SrcPod  string     `json:"srcPod,omitempty"`
	Dst     netip.Addr `json:"dst"`
	DstPort uint16     `json:"dstPort,omitempty"`
	DstPod  string     `json:"dstPod,omitempty"`
	Causes  []Cause    `json:"causes"`
}

// NewNodes returns the nodes of a cluster. The parameters are those of Of. The caller must call Close.
func NewNodes(base, draft *inventory.Set, deleted []string) (*Nodes, error) {
	before, after, err := states(base, draft, deleted)
	if err != nil {
		return nil, err
	}
	return &Nodes{before: newSnapshot(&before.Set), after: newSnapshot(&after.Set), nodes: map[string]*comparison{}}, nil
}

func newSnapshot(in *inventory.Set) *snapshot {
	s := in.Snapshot()
	return &snapshot{s, ruletext.Of(s).Policies}
}

// Close unmaps the trees.
func (n *Nodes) Close() error {
	var errs []error
	for _, c := range n.nodes {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// Connection evaluates an open connection that a node reported. If the node would cut the connection
// after the change, but not because of the policies before the change, `cut` is true.
func (n *Nodes) Connection(node string, in *report.Connection) (f Flow, cut bool, err error) {
	c, err := n.node(node)
	if err != nil {
		return Flow{}, false, err
	}
	protocol, err := flow.ParseProtocol(in.Protocol)
	if err != nil {
		return Flow{}, false, err
	}
	of := connection.Connection{
		Flow:      flow.Flow{Src: in.Src, Dst: in.Dst, Protocol: protocol, SrcPort: in.SrcPort, DstPort: in.DstPort},
		MidStream: in.MidStream, ToNode: in.ToNode,
	}
	if of.State(c.before.tree) == connection.Denied || of.State(c.after.tree) != connection.Denied {
		return Flow{}, false, nil
	}
	out := n.flow(node, of.Flow, Lose)
	if out.Causes = c.causesOf(of.Flow, rule.Deny); len(out.Causes) == 0 { // The connection is reversed.
		out.Causes = c.causesOf(of.Flow.Reverse(), rule.Deny)
	}
	return out, true, nil
}

// Event evaluates a flow event of a node. If the verdict changes, `changed` is true.
func (n *Nodes) Event(node string, e *report.Event) (f Flow, changed bool, err error) {
	if !e.Src.IsValid() { // The packet could not be decoded.
		return Flow{}, false, nil
	}
	protocol, err := flow.ParseProtocol(e.Protocol)
	if err != nil {
		return Flow{}, false, err
	}
	c, err := n.node(node)
	if err != nil {
		return Flow{}, false, err
	}
	of := flow.Flow{Src: e.Src, Dst: e.Dst, Protocol: protocol, SrcPort: e.SrcPort, DstPort: e.DstPort}
	before, after := c.before.tree.Evaluate(of).Verdict(), c.after.tree.Evaluate(of).Verdict()
	if before == after {
		return Flow{}, false, nil
	}
	effect := Lose
	if after == rule.Allow {
		effect = Gain
	}
	out := n.flow(node, of, effect)
	out.Causes = c.causesOf(of, after)
	return out, true, nil
}

func (n *Nodes) flow(node string, f flow.Flow, effect string) Flow {
	return Flow{
		Effect: effect, Node: node, Protocol: f.Protocol.String(), Src: f.Src, SrcPort: f.SrcPort, SrcPod: n.podAt(f.Src),
		Dst: f.Dst, DstPort: f.DstPort, DstPod: n.podAt(f.Dst),
	}
}

func (n *Nodes) podAt(a netip.Addr) string {
	if p, ok := n.before.Owner(a); ok {
		return p.String()
	}
	return ""
}

// node returns the comparison of the trees of a node. It compiles them when it is first called for
// the node.
func (n *Nodes) node(name string) (*comparison, error) {
	if c := n.nodes[name]; c != nil {
		return c, nil
	}
	c := &comparison{before: &state{policies: n.before.policies}, after: &state{policies: n.after.policies}, causeOf: map[causeKey]*Cause{}, causes: map[string]*Cause{}}
	var err error
	if c.before.tree, err = compiled.Tree(n.before.Snapshot, name); err != nil {
		return nil, fmt.Errorf("compiling the policies for node %s: %w", name, err)
	}
	if c.after.tree, err = compiled.Tree(n.after.Snapshot, name); err != nil {
		return nil, errors.Join(fmt.Errorf("compiling the policies for node %s: %w", name, err), c.before.close())
	}
	n.nodes[name] = c
	return c, nil
}

// causesOf returns the causes because of which the verdict of a flow changes.
func (c *comparison) causesOf(f flow.Flow, verdict rule.Verdict) (out []Cause) {
	before, after := c.before.tree.Evaluate(f), c.after.tree.Evaluate(f)
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		if cause := c.cause(d, &span{before: before.Side(d), after: after.Side(d)}, verdict); cause != nil {
			out = append(out, *cause)
		}
	}
	return out
}

// String describes the flow in one line.
func (f *Flow) String() string {
	end := func(pod string, a netip.Addr, port uint16) string {
		text := a.String()
		if protocol, err := flow.ParseProtocol(f.Protocol); err == nil && protocol.HasPorts() {
			text = netip.AddrPortFrom(a, port).String()
		}
		if pod != "" {
			return fmt.Sprintf("%s (%s)", pod, text)
		}
		return text
	}
	var causes []string
	for i := range f.Causes {
		causes = append(causes, f.Causes[i].Text)
	}
	return fmt.Sprintf("%s %s -> %s: %s", f.Protocol, end(f.SrcPod, f.Src, f.SrcPort), end(f.DstPod, f.Dst, f.DstPort), strings.Join(causes, "; "))
}
