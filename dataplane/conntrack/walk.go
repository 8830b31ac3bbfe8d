package conntrack

import (
	"context"
	"fmt"
	"time"
)

// walk sets our bits of each mark to what a state function says. It asks for one
// with each datagram. One goroutine reads what the kernel lists, which takes most
// of the time; this one judges meanwhile what was read before.
func (c *Connections) walk(ctx context.Context, next func() func(*entry) uint32) (Result, error) {
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
	c.changes.forget()
	for data := range datagrams {
		if failed == nil {
			if failed = c.judgeDatagram(data, next(), &r); failed != nil {
				stop()
			}
		}
		c.dump.putBack(data)
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
		return r, fmt.Errorf("judging connections: %w", err)
	}
	return r, nil
}

// judgeDatagram judges the connections of one datagram.
func (c *Connections) judgeDatagram(data []byte, state func(*entry) uint32, r *Result) error {
	return eachHeader(data, func(h header, payload []byte) error {
		if h.kind != messageNew {
			return nil
		}
		if len(payload) < genericSize {
			return errMessage
		}
		e := &c.entry
		if err := e.parse(payload[genericSize:]); err != nil {
			return err
		}
		r.Connections++
		want := state(e)
		if want == c.marks.Of(e.mark) {
			return nil
		}
		switch want {
		case 0:
			r.Cleared++
		case c.marks.Refused:
			r.Refused++
		default:
			r.Accepted++
		}
		return c.changes.add(e, want)
	})
}
