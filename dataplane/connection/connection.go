// Package connection determines what the policies decide about an open connection. The walk of the
// dataplane through the open connections and the preview of a change use the same rules.
package connection

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// Connection is an entry of connection tracking.
type Connection struct {
	// Flow is the flow for which policies are evaluated: the original direction of the entry, after
	// DNAT.
	Flow flow.Flow
	// FromNode is true if the source is an address of the node itself. ToNode is true if the
	// destination is one. ToNode is used only if MidStream is set.
	FromNode, ToNode bool
	// MidStream is true if connection tracking picked up a TCP connection in mid-stream, without
	// seeing its start. The entry can then be reversed.
	MidStream bool
}

// State is the decision about a connection.
type State uint8

// The states of connections.
const (
	// None means that no policy applies.
	None State = iota
	// Accepted means that policies allow the connection in its original direction.
	Accepted
	// Either means that policies allow the connection only if the entry is reversed.
	Either
	// Denied means that the node drops all packets of the connection.
	Denied
)

// State returns the decision of an evaluator about the connection.
func (c *Connection) State(evaluator rule.Evaluator) State {
	// The nftables rules accept all connections that this node opens, so these connections need
	// no mark. The node can use any of its addresses as the source, so check all of them.
	if c.FromNode {
		return None
	}
	if c.MidStream && isReversed(c.Flow) && !c.ToNode && evaluator.Evaluate(c.Flow.Reverse()).Verdict() == rule.Deny {
		return Denied
	}
	decision := evaluator.Evaluate(c.Flow)
	switch {
	case !needsMark(decision.Egress) && !needsMark(decision.Ingress):
		return None
	case decision.Verdict() == rule.Allow:
		return Accepted
	case c.MidStream && evaluator.Evaluate(c.Flow.Reverse()).Verdict() == rule.Allow:
		return Either
	default:
		return Denied
	}
}

// firstEphemeralPort is the lowest port that Linux assigns to clients by default. See
// net.ipv4.ip_local_port_range in Documentation/networking/ip-sysctl.rst.
const firstEphemeralPort = 32768

// isReversed reports whether the conntrack entry of a picked-up connection is probably
// reversed. In a reversed entry, the source is the server, because the first packet that
// connection tracking saw came from the server. isReversed returns true if the destination port
// is ephemeral and the source port is not, as in 10.0.0.2:80 -> 10.0.0.1:40000.
func isReversed(f flow.Flow) bool {
	return f.SrcPort < firstEphemeralPort && f.DstPort >= firstEphemeralPort
}

// needsMark reports whether a side of a decision requires a mark on the connection. Without a
// mark, the rules also queue later packets of the connection. The egress side requires a mark if
// policies isolate the source pod for egress, and the ingress side requires a mark if policies
// isolate the destination pod for ingress. A connection from a pod to itself, or from a node to a
// pod on the node, also needs a mark.
func needsMark(s rule.Side) bool {
	switch s.Reason {
	case rule.Matched, rule.NoRuleMatched, rule.SamePod, rule.SameNode:
		return true
	default:
		// A denied side always needs a mark, whatever its reason is.
		return s.Verdict != rule.Allow
	}
}
