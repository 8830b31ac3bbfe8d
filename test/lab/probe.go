package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Result is what a probe found.
type Result uint8

// The results.
const (
	// TimedOut: no answer in time. Something dropped the packets.
	TimedOut Result = iota
	// Connected: a server at the other end answered.
	Connected
	// Refused: an answer said no: a TCP reset or an ICMP error.
	Refused
)

// String gives the result in one word.
func (r Result) String() string {
	switch r {
	case Connected:
		return "connected"
	case Refused:
		return "refused"
	default:
		return "timeout"
	}
}

// Probe opens a connection to a Server and waits for its answer. The source
// address is the kernel's choice unless src is valid. A UDP probe sends its
// datagram three times in the time it has. The error is about the lab itself,
// never about what became of the packets.
func (h *Host) Probe(protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, timeout time.Duration) (Result, error) {
	err := h.probe(protocol, src, dst, timeout)
	switch {
	case err == nil:
		return Connected, nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return TimedOut, nil
	case slices.ContainsFunc(refusals, func(no unix.Errno) bool { return errors.Is(err, no) }):
		return Refused, nil
	default:
		return TimedOut, fmt.Errorf("probing %s %s from %s: %w", protocol, dst, h.name, err)
	}
}

// refusals are the errors of connect(2), recv(2) and send(2) that stand for a
// packet which came back. EPERM is a packet dropped in the host's own output
// hook.
var refusals = []unix.Errno{
	unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EPERM, unix.ENOPROTOOPT,
}

func (h *Host) probe(protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	conn, err := h.dial(protocol, src, dst, deadline)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if protocol == flow.UDP {
		return exchange(conn, timeout)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	var greeting [1]byte
	if _, err := conn.Read(greeting[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return unix.ECONNRESET
		}
		return err
	}
	return nil
}

const datagrams = 3

// exchange sends a number and waits until it comes back.
func exchange(conn net.Conn, timeout time.Duration) error {
	number := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	answer := make([]byte, len(number))
	var err error
	for range datagrams {
		if err = conn.SetDeadline(time.Now().Add(timeout / datagrams)); err != nil {
			return err
		}
		if _, err = conn.Write(number); err != nil {
			return err
		}
		if _, err = io.ReadFull(conn, answer); err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return err
}
