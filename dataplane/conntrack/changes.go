package conntrack

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// changesSize is how many bytes of changes are gathered before they are sent.
const changesSize = 32 << 10

// changes are marks to be set.
type changes struct {
	fd    int
	mask  uint32
	queue []byte
	reply []byte
}

func openChanges(mask uint32) (*changes, error) {
	fd, err := openSocket(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &changes{fd: fd, mask: mask, reply: make([]byte, receiveSize)}, nil
}

func (c *changes) close() error { return unix.Close(c.fd) }

// forget drops what was gathered by a walk that did not end well.
func (c *changes) forget() { c.queue = c.queue[:0] }

// add gives a connection another mark, when enough are gathered or with flush.
func (c *changes) add(e *entry, want uint32) error {
	c.queue = e.appendMark(c.queue, c.mask, want)
	if len(c.queue) < changesSize {
		return nil
	}
	return c.flush()
}

// flush sends the changes. The kernel carries them out before the call returns
// and answers only those that it cannot: a connection that has ended since is
// no error.
func (c *changes) flush() error {
	if len(c.queue) == 0 {
		return nil
	}
	if err := send(c.fd, c.queue); err != nil {
		return fmt.Errorf("setting marks: %w", err)
	}
	c.queue = c.queue[:0]
	for {
		n, _, err := unix.Recvfrom(c.fd, c.reply, unix.MSG_DONTWAIT)
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
	return eachHeader(data, func(h header, payload []byte) error {
		if h.kind != unix.NLMSG_ERROR {
			return nil
		}
		if errno := errnoOf(payload); errno != 0 && errno != unix.ENOENT {
			return errno
		}
		return nil
	})
}
