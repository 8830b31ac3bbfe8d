package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// buffers is how many datagrams of a dump are read ahead of the judge, and
	// receiveSize what each takes at most, in bytes: above the 32 KiB that the
	// kernel sends at once in a dump. The memory of a walk does not depend on the
	// number of connections.
	buffers     = 4
	receiveSize = 64 << 10
	// silence is how long the kernel may take for one datagram. It answers at
	// once, unless it had no memory for the next one.
	silence = 5 * time.Second
)

// errInterrupted: the kernel says that what it listed changed meanwhile, so that
// something may be missing.
var errInterrupted = errors.New("the kernel's list was interrupted")

// dump reads the kernel's connections.
type dump struct {
	fd       int
	sequence uint32
	// free are buffers that nobody uses.
	free chan []byte
}

func openDump() (*dump, error) {
	fd, err := openSocket(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(silence.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("limiting how long a netlink socket waits: %w", err), unix.Close(fd))
	}
	d := &dump{fd: fd, free: make(chan []byte, buffers)}
	for range buffers {
		d.free <- make([]byte, receiveSize)
	}
	return d, nil
}

func (d *dump) close() error { return unix.Close(d.fd) }

// read asks for all connections and sends the kernel's datagrams to whoever
// works on them and puts each buffer back. It returns when the last is sent.
// After an error, or when the context has ended, the dump can be read again from
// its beginning.
func (d *dump) read(ctx context.Context, datagrams chan<- []byte) error {
	if err := d.ask(); err != nil {
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
		n, err := receive(d.fd, buffer)
		if err != nil {
			d.putBack(buffer)
			return err
		}
		a, err := d.look(buffer[:n])
		if a.connections {
			datagrams <- buffer[:n]
		} else {
			d.putBack(buffer)
		}
		if err != nil {
			return err
		}
		busy, interrupted = busy || a.busy, interrupted || a.interrupted
		switch {
		case a.ended && interrupted:
			return errInterrupted
		case a.ended:
			return nil
		case a.otherEnded && busy:
			if err := d.ask(); err != nil {
				return err
			}
			busy = false
		}
	}
}

// ask requests all connections. What the kernel sends to this request has its
// sequence.
func (d *dump) ask() error {
	d.sequence++
	request := appendHeader(nil, messageGet, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, unix.AF_UNSPEC)
	binary.NativeEndian.PutUint32(request[sequenceAt:], d.sequence)
	endMessage(request, 0)
	return send(d.fd, request)
}

func (d *dump) putBack(buffer []byte) { d.free <- buffer[:cap(buffer)] }

// answer is what a datagram says.
type answer struct {
	// connections: it has some, of the dump that was asked for last.
	connections bool
	// ended is the end of this dump, otherEnded of one that was given up. The
	// kernel is busy with that one until it was read.
	ended, otherEnded, busy bool
	interrupted             bool
}

// look reads the headers of a datagram's messages.
func (d *dump) look(data []byte) (a answer, err error) {
	err = eachHeader(data, func(h header, payload []byte) error {
		if h.sequence != d.sequence {
			a.otherEnded = a.otherEnded || h.kind == unix.NLMSG_DONE
			return nil
		}
		a.interrupted = a.interrupted || h.flags&unix.NLM_F_DUMP_INTR != 0
		if h.kind != unix.NLMSG_DONE && h.kind != unix.NLMSG_ERROR {
			a.connections = true
			return nil
		}
		switch errno := errnoOf(payload); {
		case h.kind == unix.NLMSG_ERROR && errno == unix.EBUSY:
			a.busy = true
			return nil
		case errno != 0:
			return errno
		}
		a.ended = true
		return nil
	})
	return a, err
}
