// Package conntrack judges established connections again: it walks the kernel's
// connections once and sets the marks that the rules act on.
package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Sizes in bytes. The memory of a walk does not depend on the number of
// connections.
const (
	// receiveSize is above the 32 KiB that the kernel sends at once in a dump.
	receiveSize = 64 << 10
	// updateSize is how many changes are gathered before they are sent.
	updateSize = 32 << 10
)

// Connections is the table of a network namespace. It is not safe for
// concurrent use.
type Connections struct {
	marks          ruleset.Marks
	dump, update   int
	local          *localAddresses
	receive, reply []byte
	changes        []byte
	entry          entry
}

// Open connects to the table of the calling thread's network namespace.
func Open(marks ruleset.Marks) (*Connections, error) {
	c := &Connections{
		marks: marks, dump: -1, update: -1,
		receive: make([]byte, receiveSize),
		reply:   make([]byte, receiveSize),
	}
	var err error
	if c.dump, err = openSocket(unix.NETLINK_NETFILTER); err != nil {
		return nil, err
	}
	if c.update, err = openSocket(unix.NETLINK_NETFILTER); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if c.local, err = openLocalAddresses(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close disconnects from the table.
func (c *Connections) Close() error {
	var err error
	for _, fd := range []int{c.dump, c.update} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
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
	Connections int `json:"connections"`
	// Accepted, Refused and Cleared are marks that changed, by what they are now.
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Cleared  int `json:"cleared"`
	// Took is the time from the first question to the last decision.
	Took time.Duration `json:"tookNanoseconds"`
}

// JudgeAll judges every connection and corrects its mark. When it returns, each
// connection that existed when it began and still does has the mark that the
// judge gives it. Connections of nobody who is isolated have none.
func (c *Connections) JudgeAll(judge queue.Judge) (Result, error) {
	return c.walk(func(e *entry) uint32 { return c.state(judge, e) })
}

// Clear takes our bits from all marks.
func (c *Connections) Clear() (Result, error) {
	return c.walk(func(*entry) uint32 { return 0 })
}

// state gives the mark that a connection is to have.
func (c *Connections) state(judge queue.Judge, e *entry) uint32 {
	f := e.flow()
	// This node's own connections are accepted by rules, whatever address it
	// uses.
	if c.local.has(f.Src) {
		return 0
	}
	decision := judge.Lookup(f)
	switch {
	case !isolated(decision.Egress) && !isolated(decision.Ingress):
		return 0
	case decision.Verdict() == rule.Allow:
		return c.marks.Accepted
	case (e.pickedUp || c.marks.Of(e.mark) == c.marks.Either) && judge.Lookup(f.Reverse()).Verdict() == rule.Allow:
		return c.marks.Either
	default:
		return c.marks.Refused
	}
}

// isolated says whether a side of a flow gives its connection a mark: policies
// had a say in it, or it is a pod's or a node's own, which would be queued again
// if it had none.
func isolated(s tree.Side) bool {
	switch s.Reason {
	case rule.Matched, rule.NoRuleMatched, rule.SamePod, rule.SameNode:
		return true
	default:
		// A refusal for whatever other reason is one.
		return s.Verdict != rule.Allow
	}
}

// walk asks for all connections and sets our bits of each mark to what state
// says.
func (c *Connections) walk(state func(*entry) uint32) (Result, error) {
	begin := time.Now()
	if err := c.local.read(); err != nil {
		return Result{}, err
	}
	request := appendHeader(nil, messageGet, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, unix.AF_UNSPEC)
	endMessage(request, 0)
	if err := send(c.dump, request); err != nil {
		return Result{}, fmt.Errorf("listing connections: %w", err)
	}
	var r Result
	c.changes = c.changes[:0]
	err := eachMessage(c.dump, c.receive, func(_ uint16, data []byte) error {
		if len(data) < genericSize {
			return errMessage
		}
		e := &c.entry
		if err := e.parse(data[genericSize:]); err != nil {
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
		c.changes = e.appendMark(c.changes, c.marks.Mask, want)
		if len(c.changes) < updateSize {
			return nil
		}
		return c.flush()
	})
	if err == nil {
		err = c.flush()
	}
	r.Took = time.Since(begin)
	if err != nil {
		return r, fmt.Errorf("judging connections: %w", err)
	}
	return r, nil
}

// flush sends the changes. The kernel carries them out before the call returns
// and answers only those that it cannot: a connection that has ended since is
// no error.
func (c *Connections) flush() error {
	if len(c.changes) == 0 {
		return nil
	}
	if err := send(c.update, c.changes); err != nil {
		return fmt.Errorf("setting marks: %w", err)
	}
	c.changes = c.changes[:0]
	for {
		n, _, err := unix.Recvfrom(c.update, c.reply, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			// Answers that found no room are about connections that have ended.
			continue
		case err != nil:
			return fmt.Errorf("setting marks: %w", err)
		}
		if err := refusals(c.reply[:n]); err != nil {
			return fmt.Errorf("setting marks: %w", err)
		}
	}
}

// refusals gives the first error of a datagram of answers.
func refusals(data []byte) error {
	for len(data) >= headerSize+4 {
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerSize+4 || length > len(data) {
			return errMessage
		}
		if binary.NativeEndian.Uint16(data[4:]) == unix.NLMSG_ERROR {
			if errno := errnoOf(data[headerSize:]); errno != 0 && errno != unix.ENOENT {
				return errno
			}
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return nil
}
