package netlink

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a netlink socket. It belongs to the network namespace of the thread
// that opened it. One goroutine may send, one may receive, and any may close it.
type Socket struct {
	file *os.File
	raw  syscall.RawConn
	port uint32
}

// Open opens a socket that receives replies from the kernel only. The protocol
// is one of unix.NETLINK_*.
func Open(protocol int) (*Socket, error) {
	// The descriptor does not block, so that Go's poller waits for it: Close and
	// deadlines end a Receive.
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening netlink socket: %w", err)
	}
	port, err := bind(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	s := &Socket{file: os.NewFile(uintptr(fd), "netlink"), port: port}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening netlink socket: %w", err), s.file.Close())
	}
	return s, nil
}

// bind lets the kernel choose a port, and connects the socket to the kernel.
func bind(fd int) (port uint32, err error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("binding netlink socket: %w", err)
	}
	// Without this, other processes could send to the socket.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("connecting netlink socket: %w", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("reading the port of a netlink socket: %w", err)
	}
	own, ok := address.(*unix.SockaddrNetlink)
	if !ok {
		return 0, fmt.Errorf("reading the port of a netlink socket: address of type %T", address)
	}
	return own.Pid, nil
}

// Port returns the port that the kernel chose for the socket.
func (s *Socket) Port() uint32 { return s.port }

// Raw returns access to the descriptor, for system calls that Socket does not
// offer.
func (s *Socket) Raw() syscall.RawConn { return s.raw }

// Join subscribes to multicast groups. Events from now on are received.
func (s *Socket) Join(groups ...uint32) error {
	for _, group := range groups {
		if err := s.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
			return fmt.Errorf("joining netlink group %d: %w", group, err)
		}
	}
	return nil
}

// SetOption sets a socket option to an integer.
func (s *Socket) SetOption(level, option, value int) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}

// Send sends one or more messages. The kernel acts on them before Send returns.
func (s *Socket) Send(messages []byte) error {
	var err error
	e := s.raw.Write(func(fd uintptr) bool {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			_, err = unix.Write(int(fd), messages)
		}
		return !errors.Is(err, unix.EAGAIN)
	})
	if e != nil {
		return rawError(e)
	}
	return os.NewSyscallError("write", err)
}

// Receive waits for a datagram and returns its size. A datagram that is larger
// than the buffer is cut, and its last message is malformed.
//
// The error is unix.ENOBUFS if the kernel dropped events because they came
// faster than they were received, os.ErrClosed after Close and
// os.ErrDeadlineExceeded after a deadline.
func (s *Socket) Receive(buffer []byte) (int, error) { return s.receive(buffer, true) }

// TryReceive is Receive but does not wait. The error is unix.EAGAIN if no
// datagram is there.
func (s *Socket) TryReceive(buffer []byte) (int, error) { return s.receive(buffer, false) }

func (s *Socket) receive(buffer []byte, wait bool) (n int, err error) {
	e := s.raw.Read(func(fd uintptr) bool {
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			n, err = unix.Read(int(fd), buffer)
		}
		return !wait || !errors.Is(err, unix.EAGAIN)
	})
	if e != nil {
		return 0, rawError(e)
	}
	return max(n, 0), os.NewSyscallError("read", err)
}

// rawError returns os.ErrClosed for an error of a RawConn that is not about a
// deadline. RawConn has an unexported error for a closed file.
func rawError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", os.ErrClosed, err)
}

// SetDeadline sets the time after which sending and receiving fail.
func (s *Socket) SetDeadline(t time.Time) error { return s.file.SetDeadline(t) }

// SetReadDeadline sets the time after which receiving fails.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// SetWriteDeadline sets the time after which sending fails.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }

// Close closes the socket and ends a Receive that waits.
func (s *Socket) Close() error { return s.file.Close() }

// Dump reads the reply to a dump request to its end and calls each with every
// message. After an error of each it reads the rest of the reply without further
// calls, so that the socket can be used again. The error is ErrInterrupted if
// the kernel's list changed while it was read.
func (s *Socket) Dump(buffer []byte, each func(h Header, payload []byte) error) error {
	var failed error
	for {
		n, err := s.Receive(buffer)
		if err != nil {
			return errors.Join(failed, err)
		}
		messages := ReadMessages(buffer[:n])
		for messages.Next() {
			if messages.Header.Flags&unix.NLM_F_DUMP_INTR != 0 && failed == nil {
				failed = ErrInterrupted
			}
			switch messages.Header.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if errno := Errno(messages.Payload); errno != 0 {
					return errors.Join(failed, errno)
				}
				return failed
			}
			if failed == nil {
				failed = each(messages.Header, messages.Payload)
			}
		}
		if err := messages.Err(); err != nil {
			return errors.Join(failed, err)
		}
	}
}

// ErrInterrupted reports that the list behind a dump changed while the kernel
// sent it (NLM_F_DUMP_INTR), so that entries may be missing.
var ErrInterrupted = errors.New("the kernel's list changed while it was read")
