package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Dial opens a TCP connection or a connected UDP socket from a host. If src is not valid, the
// kernel chooses the source address. The zone of a link-local address must be the index of one
// of the host's interfaces. If the kernel returns an error, the returned error wraps the errno.
// If the context ends first, the returned error wraps os.ErrDeadlineExceeded.
func (h *Host) Dial(ctx context.Context, protocol flow.Protocol, src netip.Addr, dst netip.AddrPort) (net.Conn, error) {
	conn, err := h.dial(ctx, protocol, src, dst)
	if err != nil {
		return nil, fmt.Errorf("dialing %s %s from %s: %w", protocol, dst, h.name, err)
	}
	return conn, nil
}

// dial does the work of Dial. It creates the socket on the thread of the namespace, but waits
// for the connection on the thread of the caller. Therefore, any number of calls can wait for
// connections at the same time.
func (h *Host) dial(ctx context.Context, protocol flow.Protocol, src netip.Addr, dst netip.AddrPort) (net.Conn, error) {
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
	if err := finish(ctx, file); err != nil {
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

// finish waits until a non-blocking socket is connected. It returns an error if the connection
// fails.
func finish(ctx context.Context, file *os.File) error {
	defer endWith(ctx, file)()
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

// endWith makes reads and writes on c fail when the context ends. This includes reads and writes
// that are waiting at that time. After the caller has called the returned function `stop`, the end
// of the context has no effect on c.
func endWith(ctx context.Context, c interface{ SetDeadline(time.Time) error }) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	// The zone is the index of an interface, not the name of an interface, because each
	// namespace has its own interface names.
	zone, _ := strconv.ParseUint(a.Addr().Zone(), 10, 32)
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(zone)}
}
