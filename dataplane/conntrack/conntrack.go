// Package conntrack re-evaluates open connections after the tree has changed. It reads the
// kernel's connection tracking table and corrects the connection marks. The nftables rules
// accept or drop the packets of a connection according to its mark.
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Connections reads and changes the connection tracking table of a network namespace.
// Connections is not safe for concurrent use.
type Connections struct {
	marks   ruleset.Marks
	dump    *dump
	changes *changes
	local   *localAddresses
	entry   entry
}

// Open opens the connection tracking table of the calling thread's network namespace.
func Open(marks ruleset.Marks) (*Connections, error) {
	c := &Connections{marks: marks}
	var err error
	if c.dump, err = openDump(); err != nil {
		return nil, err
	}
	if c.changes, err = openChanges(marks.Mask); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if c.local, err = openLocalAddresses(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close closes the sockets. It does not change the marks of connections.
func (c *Connections) Close() error {
	err := c.dump.close()
	if c.changes != nil {
		err = errors.Join(err, c.changes.close())
	}
	if c.local != nil {
		err = errors.Join(err, c.local.close())
	}
	if err != nil {
		return fmt.Errorf("closing connection tracking: %w", err)
	}
	return nil
}

// Result is the result of a walk. A walk is one pass over the connection tracking table.
type Result struct {
	// Connections is the number of connections that were read from the table.
	Connections int
	// Accepted is the number of connections whose mark the walk changed to Marks.Accepted or
	// Marks.Either. Denied is the number of changes to Marks.Denied, and Cleared the number of
	// cleared marks.
	Accepted int
	Denied   int
	Cleared  int
	// Took is the duration of the walk.
	Took time.Duration
}

// Changed returns the number of connections whose marks the walk changed.
func (r Result) Changed() int { return r.Accepted + r.Denied + r.Cleared }

// Reevaluate evaluates every connection and corrects its mark. For each datagram, which
// contains about a hundred connections, Reevaluate calls the function newest to get the newest
// evaluator. It uses an evaluator until the next call of newest, or until Reevaluate returns.
//
// If Reevaluate returns no error, it has evaluated every connection that existed at the start
// of the call and still exists. It has used only evaluators that newest returned during the
// call. Reevaluate clears the mark of a connection if neither the source is isolated for egress
// nor the destination for ingress.
//
// If the context ends or the walk fails, Reevaluate returns an error. In this case, some
// connections have not been evaluated.
func (c *Connections) Reevaluate(ctx context.Context, newest func() rule.Evaluator) (Result, error) {
	return c.walk(ctx, func() stateFunc {
		evaluator := newest()
		return func(e *entry) uint32 { return c.state(evaluator, e) }
	})
}

// Clear clears Sluice's bits in all connection marks.
func (c *Connections) Clear() (Result, error) {
	return c.walk(context.Background(), func() stateFunc {
		return func(*entry) uint32 { return 0 }
	})
}

// state returns the correct value of Sluice's bits in the mark of a connection.
func (c *Connections) state(evaluator rule.Evaluator, e *entry) uint32 {
	f := e.flow()
	// The nftables rules accept all connections that this node opens, so these connections need
	// no mark. The node can use any of its addresses as the source, so check all of them.
	if c.local.contains(f.Src) {
		return 0
	}
	midStream := e.pickedUp || c.marks.Of(e.mark) == c.marks.Either
	if midStream && isReversed(f) && !c.local.contains(f.Dst) && evaluator.Evaluate(f.Reverse()).Verdict() == rule.Deny {
		return c.marks.Denied
	}
	decision := evaluator.Evaluate(f)
	switch {
	case !needsMark(decision.Egress) && !needsMark(decision.Ingress):
		return 0
	case decision.Verdict() == rule.Allow:
		return c.marks.Accepted
	case midStream && evaluator.Evaluate(f.Reverse()).Verdict() == rule.Allow:
		return c.marks.Either
	default:
		return c.marks.Denied
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
// mark, the rules also queue later packets of the connection. A connection needs a mark if
// policies isolate the pod of the side. A connection from a pod to itself, or from a node to a
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
