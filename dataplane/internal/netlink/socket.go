package netlink

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a netlink socket in the network namespace of the thread that called Open. One
// goroutine may send while another receives. Any goroutine may close the socket.
type Socket struct {
	file *os.File
	raw  syscall.RawConn
	port uint32
}

// Open opens a socket that receives messages only from the kernel. The protocol is one of the
// constants unix.NETLINK_*.
func Open(protocol int) (*Socket, error) {
	// With a non-blocking descriptor, the Go runtime waits for data with its poller, so Close
	// and deadlines can interrupt Receive.
	return open(protocol, unix.SOCK_NONBLOCK)
}

// OpenBlocking opens a socket like Open, but with a blocking descriptor. A goroutine that waits
// for data then blocks its thread. Such a wait takes fewer system calls than a wait with the
// poller of the Go runtime. Calls that set a deadline fail, and Close does not interrupt
// Receive. Use Wake to interrupt Receive.
func OpenBlocking(protocol int) (*Socket, error) { return open(protocol, 0) }

func open(protocol, flags int) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, protocol)
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

// bind binds the socket to a port that the kernel chooses, connects the socket to the kernel,
// and returns the port.
func bind(fd int) (port uint32, err error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("binding netlink socket: %w", err)
	}
	// Connect the socket, so that other processes cannot send messages to it.
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

// Raw returns access to the descriptor, for system calls that Socket does not provide.
func (s *Socket) Raw() syscall.RawConn { return s.raw }

// Join subscribes the socket to multicast groups. After Join has returned, the socket receives
// all events of these groups.
func (s *Socket) Join(groups ...uint32) error {
	for _, group := range groups {
		if err := s.SetOption(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
			return fmt.Errorf("joining netlink group %d: %w", group, err)
		}
	}
	return nil
}

// SetOption sets a socket option to an integer value.
func (s *Socket) SetOption(level, option, value int) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}

// Send sends one or more messages. The kernel carries out the messages before Send
// returns.
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

// Receive waits for a datagram and returns its size. If the datagram is larger than the buffer,
// the rest of the datagram is lost, and the last message in the buffer is malformed.
//
// Receive returns unix.ENOBUFS if the kernel dropped messages because the socket's
// receive buffer was full. It returns os.ErrClosed after Close, and
// os.ErrDeadlineExceeded after the deadline has passed.
func (s *Socket) Receive(buffer []byte) (int, error) { return s.receive(buffer, true) }

// TryReceive works like Receive but does not wait. It returns unix.EAGAIN if no datagram
// has arrived.
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

// rawError converts an error of a RawConn. If a deadline has passed, rawError returns the error
// unchanged. Every other error means that the file is closed, and rawError returns os.ErrClosed
// instead, because the original error is not exported.
func rawError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", os.ErrClosed, err)
}

// Wake makes the kernel send an acknowledgement with sequence number 0 to the socket. This
// acknowledgement ends a call of Receive that waits for data. Any goroutine may call Wake.
func (s *Socket) Wake() error {
	return s.Send(End(Begin(nil, Header{Type: unix.NLMSG_NOOP, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}), 0))
}

// SetDeadline sets the time after which calls of Send and Receive fail.
func (s *Socket) SetDeadline(t time.Time) error { return s.file.SetDeadline(t) }

// SetReadDeadline sets the time after which Receive fails.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// SetWriteDeadline sets the time after which Send fails.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }

// Close closes the socket. A call of Receive that waits for data returns an error, unless the
// socket was opened with OpenBlocking.
func (s *Socket) Close() error { return s.file.Close() }

// Dump receives the complete reply to a dump request and calls `handle` for each message. If
// `handle` returns an error, Dump receives the rest of the reply without calling `handle` again,
// and then returns the error. So the socket can be used for further requests. Dump returns
// ErrInterrupted if the listed objects changed while the kernel sent the reply.
func (s *Socket) Dump(buffer []byte, handle func(h Header, payload []byte) error) error {
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
				failed = handle(messages.Header, messages.Payload)
			}
		}
		if err := messages.Err(); err != nil {
			return errors.Join(failed, err)
		}
	}
}

// ErrInterrupted means that the listed objects changed while the kernel sent a dump
// (NLM_F_DUMP_INTR). The dump may then lack some entries.
var ErrInterrupted = errors.New("the kernel's list changed while it was read")
