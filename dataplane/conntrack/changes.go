package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// changesSize is the size in bytes at which the collected requests are sent to the kernel.
const changesSize = 32 << 10

// changes collects requests that set connection marks, and sends many requests with one
// system call.
type changes struct {
	socket *netlink.Socket
	mask   uint32
	queue  []byte
	reply  []byte
}

func openChanges(mask uint32) (*changes, error) {
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &changes{socket: socket, mask: mask, reply: make([]byte, receiveSize)}, nil
}

func (c *changes) close() error { return c.socket.Close() }

// discard drops the collected requests. It is used after a walk has failed.
func (c *changes) discard() { c.queue = c.queue[:0] }

// add adds a request that sets the state bits in the mark of a connection. The kernel has
// carried out the request when flush returns, or earlier.
func (c *changes) add(e *entry, state uint32) error {
	c.queue = e.appendMark(c.queue, c.mask, state)
	if len(c.queue) < changesSize {
		return nil
	}
	return c.flush()
}

// flush sends the collected requests. The kernel carries out the requests before Send
// returns, and replies only to requests that fail. If a connection has ended in the
// meantime, flush does not return an error.
func (c *changes) flush() error {
	if len(c.queue) == 0 {
		return nil
	}
	if err := c.socket.Send(c.queue); err != nil {
		return fmt.Errorf("setting marks: %w", err)
	}
	c.queue = c.queue[:0]
	for {
		n, err := c.socket.TryReceive(c.reply)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// The kernel dropped replies. Nearly all replies report connections that have
			// ended. If a reply reported another failure, the next walk finds the wrong
			// mark and corrects it.
			continue
		case err != nil:
			return fmt.Errorf("setting marks: %w", err)
		}
		if err := firstFailure(c.reply[:n]); err != nil {
			return fmt.Errorf("setting marks: %w", err)
		}
	}
}

// firstFailure returns the first error in a datagram of replies. It ignores ENOENT, which
// means that the connection has ended.
func firstFailure(datagram []byte) error {
	replies := netlink.ReadMessages(datagram)
	for replies.Next() {
		if replies.Header.Type != unix.NLMSG_ERROR {
			continue
		}
		if errno := netlink.Errno(replies.Payload); errno != 0 && errno != unix.ENOENT {
			return errno
		}
	}
	return replies.Err()
}
