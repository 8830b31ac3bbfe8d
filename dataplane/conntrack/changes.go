package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// changesSize is a size in bytes. When the collected requests reach this size, the `add` method
// sends them to the kernel.
const changesSize = 32 << 10

// changes collects requests that set connection marks. It sends many requests with one system
// call.
type changes struct {
	socket *netlink.Socket
	queue  []byte
	reply  []byte
}

func openChanges() (*changes, error) {
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &changes{socket: socket, reply: make([]byte, receiveSize)}, nil
}

func (c *changes) close() error { return c.socket.Close() }

// discard removes the collected requests. Each walk calls discard before it adds requests,
// because an earlier walk that failed can have left requests behind.
func (c *changes) discard() { c.queue = c.queue[:0] }

// add adds a request that changes the mark of a connection. The request clears the bits in `mask`
// and then sets the bits in `bits`. When enough requests have been collected, add calls flush.
func (c *changes) add(e *entry, mask, bits uint32) error {
	c.queue = e.appendMark(c.queue, mask, bits)
	if len(c.queue) < changesSize {
		return nil
	}
	return c.flush()
}

// flush sends the collected requests. The kernel carries out all requests before the system
// call returns, and replies only to requests that fail. If a request fails because the
// connection has ended, flush ignores the failure.
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
			// The kernel dropped replies because the socket buffer was full. Ignore this,
			// because nearly all replies report only that a connection has ended. If a lost
			// reply reported another failure, the mark is wrong, and the next walk corrects it.
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
