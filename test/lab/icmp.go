package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Types of ICMP messages.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8
)

// DialEcho opens a socket for ICMP or ICMPv6 echoes (icmp(7),
// net.ipv4.ping_group_range): the kernel gives each socket an identifier of its
// own, and answers for the other end. The source address is the kernel's choice
// unless src is valid.
func (h *Host) DialEcho(src, dst netip.Addr) (net.Conn, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if dst.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	var fd int
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	if err == nil {
		if err = start(fd, src, netip.AddrPortFrom(dst, 0)); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("dialing %s %s from %s: %w", flow.Protocol(protocol), dst, h.name, err)
	}
	file := os.NewFile(uintptr(fd), dst.String())
	defer func() { _ = file.Close() }()
	return net.FileConn(file)
}

// Echo sends one echo request and reads until its answer comes. Deadlines are
// the caller's.
func Echo(conn net.Conn, dst netip.Addr, size int) error {
	request, reply := byte(echoRequest4), byte(echoReply4)
	if dst.Is6() {
		request, reply = echoRequest6, echoReply6
	}
	number := uint16(rand.Uint32())
	message := make([]byte, echoHeader+size)
	message[0] = request
	binary.BigEndian.PutUint16(message[6:], number)
	if _, err := conn.Write(message); err != nil {
		return err
	}
	answer := make([]byte, len(message))
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return err
		}
		if n == len(message) && answer[0] == reply && binary.BigEndian.Uint16(answer[6:]) == number {
			return nil
		}
	}
}

// probeEcho sends a request, again after a while, until a reply comes.
func (h *Host) probeEcho(ctx context.Context, src, dst netip.Addr, again time.Duration) error {
	conn, err := h.DialEcho(src, dst)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(again)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
		if err := Echo(conn, dst, echoHeader); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}
