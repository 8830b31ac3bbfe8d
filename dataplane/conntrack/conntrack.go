// Package conntrack judges established connections again: it walks the kernel's
// connections once and sets the marks that the rules act on.
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Connections is the table of a network namespace. It is not safe for
// concurrent use.
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

// Close disconnects from the table.
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

// Result is what a walk did.
type Result struct {
	// Connections is how many there were.
	Connections int
	// Accepted, Denied and Cleared are marks that changed, by what they are now.
	Accepted int
	Denied   int
	Cleared  int
	// Took is the time from the first question to the last decision.
	Took time.Duration
}

// Changed is how many marks changed.
func (r Result) Changed() int { return r.Accepted + r.Denied + r.Cleared }

// Reevaluate judges every connection and corrects its mark. When it returns nil,
// each connection that existed when it began and still does has got the mark of
// a judge that newest gave since. Connections of nobody who is isolated have
// none.
//
// It asks newest again and again, about every hundred connections, and uses a
// judge until it asks for the next or returns. After an error, or when the
// context has ended, some connections have not been judged.
func (c *Connections) Reevaluate(ctx context.Context, newest func() rule.Evaluator) (Result, error) {
	return c.walk(ctx, func() stateFunc {
		judge := newest()
		return func(e *entry) uint32 { return c.state(judge, e) }
	})
}

// Clear takes our bits from all marks.
func (c *Connections) Clear() (Result, error) {
	return c.walk(context.Background(), func() stateFunc {
		return func(*entry) uint32 { return 0 }
	})
}

// state gives the mark that a connection is to have.
func (c *Connections) state(judge rule.Evaluator, e *entry) uint32 {
	f := e.flow()
	// This node's own connections are accepted by rules, whatever address it
	// uses.
	if c.local.contains(f.Src) {
		return 0
	}
	decision := judge.Evaluate(f)
	switch {
	case !isolated(decision.Egress) && !isolated(decision.Ingress):
		return 0
	case decision.Verdict() == rule.Allow:
		return c.marks.Accepted
	case (e.pickedUp || c.marks.Of(e.mark) == c.marks.Either) && judge.Evaluate(f.Reverse()).Verdict() == rule.Allow:
		return c.marks.Either
	default:
		return c.marks.Denied
	}
}

// isolated says whether a side of a flow gives its connection a mark: policies
// had a say in it, or it is a pod's or a node's own, which would be queued again
// if it had none.
func isolated(s rule.Side) bool {
	switch s.Reason {
	case rule.Matched, rule.NoRuleMatched, rule.SamePod, rule.SameNode:
		return true
	default:
		// A refusal for whatever other reason is one.
		return s.Verdict != rule.Allow
	}
}
