// Package conntrack re-evaluates open connections. It walks the kernel's list of
// connections and sets the connection marks by which the nftables rules accept or drop
// packets.
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

// Close closes the sockets. The connections in the kernel keep their marks.
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

// Result is the result of a walk.
type Result struct {
	// Connections is the number of connections in the table.
	Connections int
	// Accepted, Denied and Cleared count the changed marks by their new state.
	Accepted int
	Denied   int
	Cleared  int
	// Took is the duration of the walk.
	Took time.Duration
}

// Changed returns the number of marks that changed.
func (r Result) Changed() int { return r.Accepted + r.Denied + r.Cleared }

// Reevaluate evaluates every connection and corrects the connection's mark. During the
// walk, Reevaluate calls newest about every hundred connections to get the newest
// evaluator. It uses an evaluator until the next call of newest, or until Reevaluate
// returns.
//
// If Reevaluate returns nil, every connection that existed at the start and still exists
// was marked by an evaluator that newest returned during this call. The mark of a
// connection between two ends that are not isolated is cleared.
//
// Reevaluate returns an error if the context ends or if the walk fails. Then some
// connections were not evaluated.
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

// state returns the value that Sluice's bits must have in a connection's mark.
func (c *Connections) state(evaluator rule.Evaluator, e *entry) uint32 {
	f := e.flow()
	// The rules accept all connections that this node opens, so these connections need no
	// mark. The node may use any of its addresses as the source.
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

// isReversed reports whether the conntrack entry of a picked-up connection is reversed:
// the server is recorded as the source, because connection tracking first saw a packet
// from the server. isReversed assumes this if only the destination port is ephemeral. For
// example, 10.0.0.2:80 -> 10.0.0.1:40000 is reversed.
func isReversed(f flow.Flow) bool {
	return f.SrcPort < firstEphemeralPort && f.DstPort >= firstEphemeralPort
}

// needsMark reports whether a connection needs a mark because of one side of its flow. A
// side needs a mark if policies were evaluated for the side. A connection from a pod to
// itself, or from a node to its own pod, also needs a mark. Without a mark, packets of
// such a connection would be queued again.
func needsMark(s rule.Side) bool {
	switch s.Reason {
	case rule.Matched, rule.NoRuleMatched, rule.SamePod, rule.SameNode:
		return true
	default:
		// A denied side needs a mark, whatever its reason.
		return s.Verdict != rule.Allow
	}
}
