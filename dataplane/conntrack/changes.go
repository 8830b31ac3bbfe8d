package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// changesSize is the number of bytes after which gathered requests are sent.
const changesSize = 32 << 10

// changes gathers requests that set marks, and sends them together.
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

// discard forgets the requests of a walk that failed.
func (c *changes) discard() { c.queue = c.queue[:0] }

// add sets the state in a connection's mark. The kernel does so at the latest
// when flush returns.
func (c *changes) add(e *entry, state uint32) error {
	c.queue = e.appendMark(c.queue, c.mask, state)
	if len(c.queue) < changesSize {
		return nil
	}
	return c.flush()
}

// flush sends the gathered requests. The kernel carries them out before Send
// returns, and replies only to the requests that fail. It is not an error if a
// connection has ended meanwhile.
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
			// The kernel dropped replies. Nearly all replies are about connections
			// that have ended; the next walk finds any other mark that is wrong.
			continue
		case err != nil:
			return fmt.Errorf("setting marks: %w", err)
		}
		if err := firstFailure(c.reply[:n]); err != nil {
			return fmt.Errorf("setting marks: %w", err)
		}
	}
}

// firstFailure returns the first error of a datagram of replies, except ENOENT:
// the connection has ended.
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
