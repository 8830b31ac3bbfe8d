package lab

import (
	"context"
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

// Result describes what happened to the packets of a probe.
type Result uint8

// The results.
const (
	// TimedOut means that no reply arrived in time, because packets were dropped.
	TimedOut Result = iota
	// Connected means that the server replied.
	Connected
	// Rejected means that a TCP reset or an ICMP error arrived.
	Rejected
)

// String returns the result in one word.
func (r Result) String() string {
	switch r {
	case Connected:
		return "connected"
	case Rejected:
		return "rejected"
	default:
		return "timeout"
	}
}

// Probe opens a connection to a Server and waits for a reply. For ICMP and ICMPv6, it sends echo
// requests, to which every host replies. For protocols without ports, it ignores the port of dst.
// If src is not valid, the kernel chooses the source address. TCP retransmits lost packets. For
// other protocols, Probe sends three packets before the timeout. The result describes what
// happened to the packets. Probe returns an error only if the lab fails or the context ends.
func (h *Host) Probe(ctx context.Context, protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, timeout time.Duration) (Result, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := h.probe(limited, protocol, src, dst, timeout/datagrams)
	if ctx.Err() != nil {
		return TimedOut, ctx.Err()
	}
	switch {
	case err == nil:
		return Connected, nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return TimedOut, nil
	case slices.ContainsFunc(rejections, func(no unix.Errno) bool { return errors.Is(err, no) }):
		return Rejected, nil
	default:
		return TimedOut, fmt.Errorf("probing %s %s from %s: %w", protocol, dst, h.name, err)
	}
}

// rejections contains the errors that connect(2), recv(2) and send(2) return after a packet was
// rejected. If an output rule on the sending host has dropped the packet, the kernel returns
// EPERM.
var rejections = []unix.Errno{
	unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EPERM, unix.ENOPROTOOPT,
}

func (h *Host) probe(ctx context.Context, protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, again time.Duration) error {
	switch protocol {
	case flow.TCP, flow.UDP:
	case flow.SCTP:
		return h.probeSCTP(ctx, src, dst, again)
	case flow.ICMP, flow.ICMPv6:
		return h.probeEcho(ctx, src, dst.Addr(), again)
	default:
		return h.probeRaw(ctx, protocol, src, dst.Addr(), again)
	}
	conn, err := h.dial(ctx, protocol, src, dst)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	if protocol == flow.UDP {
		return exchange(ctx, conn, again)
	}
	var greeting [1]byte
	if _, err := conn.Read(greeting[:]); errors.Is(err, io.EOF) {
		return unix.ECONNRESET
	} else if err != nil {
		return err
	}
	return nil
}

const datagrams = 3

// exchange repeatedly sends a datagram with a random number, until the server has sent the same
// number back.
func exchange(ctx context.Context, conn net.Conn, again time.Duration) error {
	number := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	reply := make([]byte, len(number))
	for {
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
		if _, err := conn.Write(number); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, reply); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}
