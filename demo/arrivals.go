package demo

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

// arrivals reads a TCP connection or connected UDP socket together with the
// times at which packets came: the kernel's own (SO_TIMESTAMPNS, for TCP since
// Linux 4.15), because a busy machine reads long after they came.
type arrivals struct {
	raw     syscall.RawConn
	control []byte
}

// stampSize is the size of a struct __kernel_timespec: seconds and nanoseconds.
const stampSize = 16

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
		return nil, fmt.Errorf("asking for arrival times: %w", err)
	}
	return &arrivals{raw: raw, control: make([]byte, unix.CmsgSpace(stampSize))}, nil
}

// read waits for bytes. Of those it gives, at is when the last came. The error
// says that no more will come; an error of the socket that ends nothing, such as
// that of an ICMP message, gives 0 bytes.
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
	if stamp, ok := stampOf(a.control[:control]); ok {
		// The stamp is of the wall clock; what is told is counted by the monotonic.
		at = at.Add(-max(0, time.Duration(at.UnixNano()-stamp.UnixNano())))
	}
	return n, at, nil
}

func stampOf(control []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS_NEW && len(m.Data) >= stampSize {
			seconds, nanoseconds := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(seconds), int64(nanoseconds)), true
		}
	}
	return time.Time{}, false
}
