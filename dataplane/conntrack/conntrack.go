// Package conntrack re-evaluates open connections after the tree has changed. It reads the
// kernel's connection tracking table and corrects the connection marks. The nftables rules
// accept or drop the packets of a connection according to its mark.
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Connections reads and changes the connection tracking table of a network namespace.
// Connections is not safe for concurrent use.
type Connections struct {
	marks ruleset.Marks
	// former contains the ruleset.Marks of earlier dataplanes. Connections may still have bits of
	// these marks. cleared contains the bits that a walk clears in every connection mark.
	former  []ruleset.Marks
	cleared uint32
	dump    *dump
	changes *changes
	local   *localAddresses
	entry   entry
}

// Open opens the connection tracking table of the calling thread's network namespace. The `former`
// parameter contains the ruleset.Marks of earlier dataplanes. Connections may still have bits of
// these marks. Walks clear these bits until Forget is called.
func Open(marks ruleset.Marks, former ...ruleset.Marks) (*Connections, error) {
	c := &Connections{marks: marks, former: former}
	for _, f := range former {
		c.cleared |= f.Mask
	}
	var err error
	if c.dump, err = openDump(); err != nil {
		return nil, err
	}
	if c.changes, err = openChanges(); err != nil {
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
	// Former is the number of connections that still had mark bits of earlier dataplanes. The walk
	// cleared these bits.
	Former int
	// Took is the duration of the walk.
	Took time.Duration
}

// Changed returns the number of changes that the walk made. If the walk cleared bits of an
// earlier dataplane in a mark and also changed Sluice's current bits, it made two changes.
func (r Result) Changed() int { return r.Accepted + r.Denied + r.Cleared + r.Former }

// Reevaluate evaluates every connection and corrects its mark. It reads the connections in
// datagrams with about a hundred connections each. For each datagram, it calls `newest` and
// evaluates the connections with the result. It uses this evaluator until it calls `newest`
// again or returns.
//
// If Reevaluate returns no error, it has evaluated every connection that existed at the start
// of the call and still exists. It has used only evaluators that `newest` returned during this
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

// Adopt prepares all connection marks for rules that use the current marks. Call it before these
// rules are installed. The `installed` parameter contains the marks that the currently installed
// rules use. It must be one of the former marks and must not share a bit with the current marks.
// If no rules are installed, it is the zero value.
//
// Adopt translates the verdict of each connection from the installed marks to the current marks.
// It keeps the bits of the installed marks, and clears the bits of all other former marks.
func (c *Connections) Adopt(installed ruleset.Marks) error {
	all := c.cleared
	defer func() { c.cleared = all }()
	c.cleared &^= installed.Mask
	_, err := c.walk(context.Background(), func() stateFunc {
		return func(e *entry) uint32 { return c.marks.From(installed, e.mark) }
	})
	return err
}

// Forget forgets the former marks. Later walks do not change the bits of these marks, because
// another program may use these bits from now on.
func (c *Connections) Forget() { c.former, c.cleared = nil, 0 }

// Clear clears Sluice's bits and the bits of former marks in all connection marks.
func (c *Connections) Clear() (Result, error) {
	return c.walk(context.Background(), func() stateFunc {
		return func(*entry) uint32 { return 0 }
	})
}

// Marked returns the number of connections, and how many of them have Sluice's bits in their
// mark. It changes nothing.
func (c *Connections) Marked(ctx context.Context) (connections, marked int, err error) {
	r, err := c.walk(ctx, func() stateFunc {
		return func(e *entry) uint32 {
			bits := c.marks.Of(e.mark)
			if bits != 0 {
				marked++
			}
			return bits
		}
	})
	return r.Connections, marked, err
}

// state returns the correct value of Sluice's bits in the mark of a connection.
func (c *Connections) state(evaluator rule.Evaluator, e *entry) uint32 {
	f := e.flow()
	// The nftables rules accept all connections that this node opens, so these connections need
	// no mark. The node can use any of its addresses as the source, so check all of them.
	if c.local.contains(f.Src) {
		return 0
	}
	midStream := e.pickedUp || c.isEither(e.mark)
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

// isEither reports whether a connection mark has the value Marks.Either of the current marks or
// of an earlier dataplane's marks.
func (c *Connections) isEither(mark uint32) bool {
	return c.marks.Of(mark) == c.marks.Either ||
		slices.ContainsFunc(c.former, func(f ruleset.Marks) bool { return f.Of(mark) == f.Either })
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
