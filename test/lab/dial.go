package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Dial opens a TCP connection, or a connected UDP socket, from a host. The
// source address is the kernel's choice unless src is valid. The error wraps
// the kernel's errno, or os.ErrDeadlineExceeded.
func (h *Host) Dial(protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	conn, err := h.dial(protocol, src, dst, time.Now().Add(timeout))
	if err != nil {
		return nil, fmt.Errorf("dialing %s %s from %s: %w", protocol, dst, h.name, err)
	}
	return conn, nil
}

// dial needs the namespace only for the moment in which the socket is made, so
// that any number of dials can wait at once.
func (h *Host) dial(protocol flow.Protocol, src netip.Addr, dst netip.AddrPort, deadline time.Time) (net.Conn, error) {
	var kind int
	switch protocol {
	case flow.TCP:
		kind = unix.SOCK_STREAM
	case flow.UDP:
		kind = unix.SOCK_DGRAM
	default:
		return nil, fmt.Errorf("no client for protocol %s", protocol)
	}
	family := unix.AF_INET
	if dst.Addr().Is6() {
		family = unix.AF_INET6
	}
	var fd int
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	if err := start(fd, src, dst); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), dst.String())
	defer func() { _ = file.Close() }()
	if err := finish(file, deadline); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

func start(fd int, src netip.Addr, dst netip.AddrPort) error {
	if src.IsValid() {
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(src, 0))); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	if err := unix.Connect(fd, sockaddr(dst)); err != nil && err != unix.EINPROGRESS {
		return os.NewSyscallError("connect", err)
	}
	return nil
}

// finish waits until the socket is connected or knows why not.
func finish(file *os.File, deadline time.Time) error {
	if err := file.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			outcome = os.NewSyscallError("getsockopt", err)
		case errno != 0:
			outcome = os.NewSyscallError("connect", unix.Errno(errno))
		default:
			_, err := unix.Getpeername(int(fd))
			return err == nil
		}
		return true
	})
	if err != nil {
		return err
	}
	return outcome
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
