package conntrack

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// stateFunc returns the correct value of Sluice's bits in the mark of a connection.
type stateFunc func(*entry) uint32

// walk reads all connections, and sets Sluice's bits in the mark of each connection to the value
// that a stateFunc returns. It also clears the bits of former marks. For each datagram, walk calls
// the function `next` to get the stateFunc for the connections in the datagram. Reading the table
// from the kernel takes most of the time, so a separate goroutine reads the table. Meanwhile, the
// calling goroutine evaluates the connections that have already been read.
func (c *Connections) walk(ctx context.Context, next func() stateFunc) (Result, error) {
	begin := time.Now()
	if err := c.local.read(); err != nil {
		return Result{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	datagrams, read := make(chan []byte, buffers), make(chan error, 1)
	go func() {
		read <- c.dump.read(ctx, datagrams)
		close(datagrams)
	}()
	var r Result
	var failed error
	c.changes.discard()
	for datagram := range datagrams {
		if failed == nil {
			if failed = c.update(datagram, next(), &r); failed != nil {
				stop()
			}
		}
		c.dump.putBack(datagram)
	}
	err := <-read
	if failed != nil {
		err = failed
	}
	if err == nil {
		err = c.changes.flush()
	}
	r.Took = time.Since(begin)
	if err != nil {
		return r, fmt.Errorf("walking over the connections: %w", err)
	}
	return r, nil
}

// update corrects the marks of the connections in one datagram.
func (c *Connections) update(datagram []byte, state stateFunc, r *Result) error {
	messages := netlink.ReadMessages(datagram)
	for messages.Next() {
		if messages.Header.Type != messageNew {
			continue
		}
		if err := c.updateOne(messages.Payload, state, r); err != nil {
			return err
		}
	}
	return messages.Err()
}

func (c *Connections) updateOne(payload []byte, state stateFunc, r *Result) error {
	if len(payload) < netlink.NetfilterHeaderSize {
		return netlink.ErrMalformed
	}
	e := &c.entry
	if err := e.parse(payload[netlink.NetfilterHeaderSize:]); err != nil {
		return err
	}
	r.Connections++
	want := state(e)
	changed, former := want != c.marks.Of(e.mark), e.mark&c.cleared&^c.marks.Mask != 0
	if !changed && !former {
		return nil
	}
	if former {
		r.Former++
	}
	if changed {
		r.count(want, c.marks)
	}
	return c.changes.add(e, c.marks.Mask|c.cleared, want)
}

// count counts one changed mark. The `want` parameter is the new value of Sluice's bits in the
// mark.
func (r *Result) count(want uint32, marks ruleset.Marks) {
	switch want {
	case 0:
		r.Cleared++
	case marks.Denied:
		r.Denied++
	default:
		r.Accepted++
	}
}
