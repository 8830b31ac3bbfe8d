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

	"github.com/sluicenet/sluice/dataplane/connection"
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
	of := c.connection(e)
	switch of.State(evaluator) {
	case connection.Accepted:
		return c.marks.Accepted
	case connection.Either:
		return c.marks.Either
	case connection.Denied:
		return c.marks.Denied
	default:
		return 0
	}
}

// connection returns what a decision about a connection depends on.
func (c *Connections) connection(e *entry) connection.Connection {
	f, midStream := e.flow(), e.pickedUp || c.isEither(e.mark)
	return connection.Connection{Flow: f, FromNode: c.local.contains(f.Src), ToNode: midStream && c.local.contains(f.Dst), MidStream: midStream}
}

// isEither reports whether a connection mark has the value Marks.Either of the current marks or
// of an earlier dataplane's marks.
func (c *Connections) isEither(mark uint32) bool {
	return c.marks.Of(mark) == c.marks.Either ||
		slices.ContainsFunc(c.former, func(f ruleset.Marks) bool { return f.Of(mark) == f.Either })
}
