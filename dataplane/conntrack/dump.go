package conntrack

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

const (
	// buffers is how many datagrams are read ahead of the evaluation. So the
	// memory of a walk does not depend on the number of connections.
	buffers = 4
	// receiveSize is the size of a receive buffer in bytes. The kernel sends at
	// most 32 KiB at once in a dump.
	receiveSize = 64 << 10
	// receiveTimeout bounds the wait for one datagram. The kernel has the next one
	// ready when the one before is received, unless it is short of memory.
	receiveTimeout = 5 * time.Second
)

// dump reads the kernel's list of connections.
type dump struct {
	socket *netlink.Socket
	// sequence is the sequence number of the newest request.
	sequence uint32
	// free has the buffers that are not in use.
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

// read requests all connections and sends the kernel's datagrams to a channel.
// The receiver returns each buffer with putBack. read returns when the last
// datagram has been sent. After an error, or when the context has ended, read can
// be called again and then starts from the beginning.
//
// An earlier read may have left its dump unfinished. The kernel serves one dump
// of a socket at a time and rejects a request with EBUSY meanwhile, so read
// receives the rest of the unfinished dump, drops it, and repeats its request.
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

// summary is a summary of the headers of a datagram.
type summary struct {
	// connections is set if the datagram has connections of the newest request.
	connections bool
	// ended is set at the end of the newest request's dump, otherEnded at the end
	// of an earlier one. busy is set if the kernel rejected the newest request
	// because an earlier dump is unfinished.
	ended, otherEnded, busy bool
	// interrupted is set if the kernel's list changed while it was read.
	interrupted bool
}

// scan reads the headers of a datagram's messages.
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
