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

// These constants are types, codes and header lengths of ICMP and ICMPv6 messages.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8

	unreachable4, portUnreachable4 = 3, 3
	unreachable6, portUnreachable6 = 1, 4
)

// DialEcho opens a socket for ICMP or ICMPv6 echo requests (icmp(7),
// net.ipv4.ping_group_range). The kernel assigns an identifier to each socket. The kernel of
// the destination replies to the requests. If src is not valid, the kernel chooses the source
// address.
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

// Echo sends one echo request and waits for the reply to this request. The caller sets the
// deadlines of the connection.
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
	response := make([]byte, len(message))
	for {
		n, err := conn.Read(response)
		if err != nil {
			return err
		}
		if n == len(message) && response[0] == reply && binary.BigEndian.Uint16(response[6:]) == number {
			return nil
		}
	}
}

// probeEcho sends echo requests until a reply arrives.
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

// SendUnreachable sends the ICMP error "port unreachable" to the address of src. The error quotes
// a datagram from src to dst, and thus claims that no program uses the port of dst. The `from`
// parameter is the source address of the error. It must be an address of this host.
func (h *Host) SendUnreachable(from netip.Addr, src, dst netip.AddrPort) error {
	protocol, message := flow.ICMP, []byte{unreachable4, portUnreachable4, 0, 0, 0, 0, 0, 0}
	if from.Is6() {
		protocol, message = flow.ICMPv6, []byte{unreachable6, portUnreachable6, 0, 0, 0, 0, 0, 0}
	}
	message = append(message, Datagram(src, dst, nil)...)
	if from.Is4() {
		// Compute the checksum, because the kernel does so only for ICMPv6 messages.
		binary.BigEndian.PutUint16(message[2:], checksum(message))
	}
	conn, err := h.dialRaw(protocol, from, src.Addr())
	if err != nil {
		return fmt.Errorf("sending an ICMP error from %s: %w", h.name, err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(message); err != nil {
		return fmt.Errorf("sending an ICMP error from %s: %w", h.name, err)
	}
	return nil
}
