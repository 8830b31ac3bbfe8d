package conntrack

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

const (
	// buffers is the maximum number of datagrams that have been read but not yet
	// evaluated. This limit keeps the memory of a walk independent of the number of
	// connections.
	buffers = 4
	// receiveSize is the size of a receive buffer in bytes. During a dump, the kernel
	// sends datagrams of at most 32 KiB.
	receiveSize = 64 << 10
	// receiveTimeout is the maximum time to wait for one datagram. Usually a datagram arrives
	// at once, because the kernel prepares it when it delivers the previous datagram. It
	// arrives later only if the kernel is short of memory.
	receiveTimeout = 5 * time.Second
)

// dump reads the kernel's connection tracking table. The kernel sends the table in many
// datagrams.
type dump struct {
	socket *netlink.Socket
	// sequence is the sequence number of the latest request.
	sequence uint32
	// free contains the receive buffers that are not in use.
	free chan []byte
}

func openDump() (*dump, error) {
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	d := &dump{socket: socket, free: make(chan []byte, buffers)}
	for range buffers {
		d.free <- make([]byte, receiveSize)
	}
	return d, nil
}

func (d *dump) close() error { return d.socket.Close() }

// `read` requests all connections and sends the kernel's datagrams to a channel. The receiver must
// return each buffer by calling putBack. `read` returns after it has sent the last datagram to the
// channel. If `read` fails or the context ends, the caller may call `read` again. The new call
// reads the table from the beginning.
//
// After a failed call, the kernel may still have to send a part of the earlier dump. The kernel
// sends only one dump per socket at a time, and rejects a second request with EBUSY. In this case,
// `read` receives and discards the rest of the earlier dump, and then sends its request again.
func (d *dump) read(ctx context.Context, datagrams chan<- []byte) error {
	if err := d.request(); err != nil {
		return err
	}
	var busy, interrupted bool
	for {
		var buffer []byte
		select {
		case buffer = <-d.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := d.receive(buffer)
		if err != nil {
			d.putBack(buffer)
			return err
		}
		s, err := d.scan(buffer[:n])
		if s.connections {
			datagrams <- buffer[:n]
		} else {
			d.putBack(buffer)
		}
		if err != nil {
			return err
		}
		busy, interrupted = busy || s.busy, interrupted || s.interrupted
		switch {
		case s.ended && interrupted:
			return netlink.ErrInterrupted
		case s.ended:
			return nil
		case s.otherEnded && busy:
			if err := d.request(); err != nil {
				return err
			}
			busy = false
		}
	}
}

// request sends a request for all connections.
func (d *dump) request() error {
	d.sequence++
	return d.socket.Send(appendListRequest(nil, d.sequence))
}

func (d *dump) receive(buffer []byte) (int, error) {
	if err := d.socket.SetReadDeadline(time.Now().Add(receiveTimeout)); err != nil {
		return 0, err
	}
	return d.socket.Receive(buffer)
}

func (d *dump) putBack(buffer []byte) { d.free <- buffer[:cap(buffer)] }

// summary describes the messages in one datagram of a dump.
type summary struct {
	// connections is set if the datagram contains connections of the latest request.
	connections bool
	// `ended` is set if the datagram contains the end of the dump for the latest request.
	// `otherEnded` is set if the datagram contains the end of the dump for an earlier request.
	// `busy` is set if the kernel rejected the latest request because the dump for an earlier
	// request has not ended.
	ended, otherEnded, busy bool
	// interrupted is set if the table changed during the dump. The dump then may not contain all
	// connections.
	interrupted bool
}

// scan reads the headers of all messages in a datagram.
func (d *dump) scan(datagram []byte) (s summary, err error) {
	messages := netlink.ReadMessages(datagram)
	for messages.Next() {
		h := messages.Header
		if h.Sequence != d.sequence {
			s.otherEnded = s.otherEnded || h.Type == unix.NLMSG_DONE
			continue
		}
		s.interrupted = s.interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
		if h.Type != unix.NLMSG_DONE && h.Type != unix.NLMSG_ERROR {
			s.connections = true
			continue
		}
		switch errno := netlink.Errno(messages.Payload); {
		case h.Type == unix.NLMSG_ERROR && errno == unix.EBUSY:
			s.busy = true
		case errno != 0:
			return s, errno
		default:
			s.ended = true
		}
	}
	return s, messages.Err()
}
