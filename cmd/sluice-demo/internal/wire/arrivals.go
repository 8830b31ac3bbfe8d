package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// arrivals reads data and packet arrival times from a TCP connection or a connected UDP
// socket. It uses the kernel's timestamps (SO_TIMESTAMPNS, for TCP since Linux 4.15), because
// the process can read a packet long after its arrival if the machine is busy.
type arrivals struct {
	raw     syscall.RawConn
	control []byte
}

// timestampSize is the size of struct __kernel_timespec in bytes: 8 bytes for the seconds and
// 8 bytes for the nanoseconds.
const timestampSize = 16

func newArrivals(conn net.Conn) (*arrivals, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("reading arrival times: %T has no socket", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reading arrival times: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1) })
	if err = errors.Join(err, set); err != nil {
		return nil, fmt.Errorf("enabling arrival times: %w", err)
	}
	return &arrivals{raw: raw, control: make([]byte, unix.CmsgSpace(timestampSize))}, nil
}

// read waits for data, and returns the time at which the last of the returned bytes arrived.
// If read returns an error, no more data will arrive. If a system call fails but the socket
// stays usable, for example because of an ICMP message, read returns 0 bytes and no error.
func (a *arrivals) read(buf []byte) (n int, at time.Time, err error) {
	var control int
	var failed error
	err = a.raw.Read(func(fd uintptr) bool {
		n, control, _, _, failed = unix.Recvmsg(int(fd), buf, a.control, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err == nil && failed == nil && n == 0 {
		err = io.EOF
	}
	if n <= 0 || err != nil {
		return 0, at, err
	}
	at = time.Now()
	if arrived, ok := timestamp(a.control[:control]); ok {
		// Convert the timestamp from wall clock time to the monotonic clock, because this
		// package compares times of the monotonic clock.
		at = at.Add(-max(0, time.Duration(at.UnixNano()-arrived.UnixNano())))
	}
	return n, at, nil
}

func timestamp(control []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS_NEW && len(m.Data) >= timestampSize {
			seconds, nanoseconds := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(seconds), int64(nanoseconds)), true
		}
	}
	return time.Time{}, false
}
