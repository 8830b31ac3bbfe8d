// Package conntrack re-evaluates open connections. It walks the kernel's list of
// connections and sets the marks that the rules act on.
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

// Connections is the connection tracking table of a network namespace. It is not
// safe for concurrent use.
type Connections struct {
	marks   ruleset.Marks
	dump    *dump
	changes *changes
	local   *localAddresses
	entry   entry
}

// Open connects to the table of the calling thread's network namespace.
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

// Close closes the sockets. The table keeps its marks.
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
	// Accepted, Denied and Cleared count the marks that changed, by their new state.
	Accepted int
	Denied   int
	Cleared  int
	// Took is the duration of the walk.
	Took time.Duration
}

// Changed returns the number of marks that changed.
func (r Result) Changed() int { return r.Accepted + r.Denied + r.Cleared }

// Reevaluate evaluates every connection and corrects its mark. When it returns nil,
// each connection that existed at the start and still exists has the mark of an
// evaluator that newest returned since. The mark of a connection without an isolated
// pod is cleared.
//
// It calls newest about every hundred connections, and uses an evaluator until it
// calls newest again or returns. If it returns an error, which it also does when the
// context ends, some connections were not evaluated.
func (c *Connections) Reevaluate(ctx context.Context, newest func() rule.Evaluator) (Result, error) {
	return c.walk(ctx, func() stateFunc {
		evaluator := newest()
		return func(e *entry) uint32 { return c.state(evaluator, e) }
	})
}

// Clear clears our bits in all marks.
func (c *Connections) Clear() (Result, error) {
	return c.walk(context.Background(), func() stateFunc {
		return func(*entry) uint32 { return 0 }
	})
}

// state returns the state that a connection's mark must have.
func (c *Connections) state(evaluator rule.Evaluator, e *entry) uint32 {
	f := e.flow()
	// The rules accept the connections that this node opens, from each of its
	// addresses.
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

// firstEphemeralPort is the first port that Linux assigns to clients by default:
// net.ipv4.ip_local_port_range, Documentation/networking/ip-sysctl.rst.
const firstEphemeralPort = 32768

// isReversed reports whether the ports of a connection that was picked up show that
// its entry is reversed: only the destination has an ephemeral port, so the
// destination is the client. The entry then began with a packet of the server.
func isReversed(f flow.Flow) bool {
	return f.SrcPort < firstEphemeralPort && f.DstPort >= firstEphemeralPort
}

// needsMark reports whether a side of a flow requires a mark for its connection. It
// does if policies apply to the side. It also does for a pod's connection to itself
// and for its node's connection to it: without a mark, their packets would be queued
// again.
func needsMark(s rule.Side) bool {
	switch s.Reason {
	case rule.Matched, rule.NoRuleMatched, rule.SamePod, rule.SameNode:
		return true
	default:
		// A denied side requires a mark, whatever its reason.
		return s.Verdict != rule.Allow
	}
}
