package conntrack

import (
	"context"
	"errors"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// List calls a function with each open connection in the network namespace of the calling thread. It
// omits connections that this node opened itself, connections whose packets Sluice already drops, and
// TCP connections that have ended. List changes nothing. If the function returns an error, List
// returns this error.
func List(ctx context.Context, marks ruleset.Marks, f func(*report.Connection) error) (err error) {
	c, err := Open(marks)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	_, err = c.walk(ctx, func() stateFunc {
		return func(e *entry) uint32 {
			if ctx.Err() == nil {
				if failed := c.list(e, f); failed != nil {
					cancel(failed)
				}
			}
			return marks.Of(e.mark) // The mark does not change.
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// list calls a function with a connection, unless List omits the connection.
func (c *Connections) list(e *entry, f func(*report.Connection) error) error {
	bits := c.marks.Of(e.mark)
	if e.ended || bits == c.marks.Denied {
		return nil
	}
	of := c.connection(e)
	if of.FromNode {
		return nil
	}
	out := &report.Connection{
		Protocol: of.Flow.Protocol.String(), Src: of.Flow.Src, Dst: of.Flow.Dst,
		SrcPort: of.Flow.SrcPort, DstPort: of.Flow.DstPort, MidStream: of.MidStream, ToNode: of.ToNode,
	}
	if bits != 0 {
		out.Verdict = rule.Allow.String()
	}
	return f(out)
}
