package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sizes of a worker's socket.
const (
	// batchSize is how many packets are read at once. Their verdicts are sent
	// together.
	batchSize = 64
	// messageSize is room for a packet cut to copyRange and everything that the
	// kernel says about it.
	messageSize = 2048
	// receiveBuffer is what the kernel may keep for a worker, in bytes. A waiting
	// packet takes about 1 KiB of it.
	receiveBuffer = 16 << 20
	headerSize    = 16
)

// errNoAck: the kernel answered a configuration message with nothing. It
// answers before the write returns, so there is nothing to wait for.
var errNoAck = errors.New("no acknowledgement from the kernel")

// socket is a netlink.Socket under go-nfqueue that reads up to batchSize
// messages in one call (recvmmsg) and holds what is sent until the next read,
// to write it in one call. One goroutine uses it, but for Close and the
// deadlines.
//
//	ReceiveIter: write what is held | end the batch | wait | read | begin a batch | yield each message
//	Send, for each of them:           hold the verdict
type socket struct {
	file *os.File
	raw  syscall.RawConn
	port uint32

	// begin and end enclose a batch: from the read of its packets to the write
	// of their verdicts.
	begin, end func(packets int)
	inBatch    bool
	// failed is called for each verdict that the kernel refused.
	failed func()

	headers [batchSize]mmsghdr
	iovecs  [batchSize]unix.Iovec
	buffer  []byte
	count   int
	err     error

	held []byte
	// awaited is the sequence number of a message that must be acknowledged.
	awaiting bool
	awaited  uint32
	// pending are packets that came before an acknowledgement.
	pending []netlink.Message

	// These are kept so that a batch allocates no closures.
	read, write    func(fd uintptr) bool
	readOnce       func(fd uintptr)
	receiveMessage iter.Seq2[netlink.Message, error]

	// bound is set once the queue is served; the next acknowledgement after that
	// is for leaving it, and closes left.
	bound    atomic.Bool
	left     chan struct{}
	leftOnce sync.Once
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// newSocket opens a socket in the network namespace of the calling thread.
func newSocket(begin, end func(packets int), failed func()) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening netlink socket: %w", err)
	}
	port, err := configureSocket(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	s := &socket{
		file:   os.NewFile(uintptr(fd), "nfqueue"),
		port:   port,
		begin:  begin,
		end:    end,
		failed: failed,
		buffer: make([]byte, batchSize*messageSize),
		left:   make(chan struct{}),
	}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, fmt.Errorf("opening netlink socket: %w", err)
	}
	for i := range s.headers {
		s.iovecs[i].Base = &s.buffer[i*messageSize]
		s.iovecs[i].SetLen(messageSize)
		s.headers[i].header.Iov = &s.iovecs[i]
		s.headers[i].header.SetIovlen(1)
	}
	s.read = func(fd uintptr) bool { s.receive(fd); return !errors.Is(s.err, unix.EAGAIN) }
	s.readOnce = s.receive
	s.write = func(fd uintptr) bool { s.transmit(fd); return !errors.Is(s.err, unix.EAGAIN) }
	s.receiveMessage = s.messages
	return s, nil
}

func configureSocket(fd int) (port uint32, err error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("binding netlink socket: %w", err)
	}
	// Connected to the kernel, it hears nobody else.
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("connecting netlink socket: %w", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("naming netlink socket: %w", err)
	}
	// Above net.core.rmem_max, which needs CAP_NET_ADMIN in the first user
	// namespace; below it otherwise.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return 0, fmt.Errorf("setting receive buffer: %w", err)
		}
	}
	// A full buffer must not end a read: what it cost is counted by the queue.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return 0, fmt.Errorf("setting NETLINK_NO_ENOBUFS: %w", err)
	}
	return address.(*unix.SockaddrNetlink).Pid, nil
}

// Send implements netlink.Socket: it holds the message until the next read.
func (s *socket) Send(m netlink.Message) error {
	if m.Header.Flags&netlink.Acknowledge != 0 {
		s.awaiting, s.awaited = true, m.Header.Sequence
	}
	length := headerSize + len(m.Data)
	s.held = binary.NativeEndian.AppendUint32(s.held, uint32(length))
	s.held = binary.NativeEndian.AppendUint16(s.held, uint16(m.Header.Type))
	s.held = binary.NativeEndian.AppendUint16(s.held, uint16(m.Header.Flags))
	s.held = binary.NativeEndian.AppendUint32(s.held, m.Header.Sequence)
	s.held = binary.NativeEndian.AppendUint32(s.held, m.Header.PID)
	s.held = append(s.held, m.Data...)
	for len(s.held)%4 != 0 {
		s.held = append(s.held, 0)
	}
	return nil
}

// SendMessages implements netlink.Socket.
func (s *socket) SendMessages(messages []netlink.Message) error {
	for _, m := range messages {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// Receive implements netlink.Socket.
func (s *socket) Receive() ([]netlink.Message, error) {
	var out []netlink.Message
	for m, err := range s.ReceiveIter() {
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// ReceiveIter implements netlink.Socket. Messages are valid until the next
// read.
func (s *socket) ReceiveIter() iter.Seq2[netlink.Message, error] { return s.receiveMessage }

func (s *socket) messages(yield func(netlink.Message, error) bool) {
	if err := s.flush(); err != nil {
		yield(netlink.Message{}, err)
		return
	}
	if s.awaiting {
		s.awaiting = false
		yield(s.acknowledgement())
		return
	}
	if pending := s.pending; len(pending) > 0 {
		s.pending, s.count = nil, len(pending)
		s.inBatch = true
		s.begin(s.count)
		for _, m := range pending {
			if !yield(m, nil) {
				return
			}
		}
		return
	}
	s.err = nil
	if err := s.raw.Read(s.read); err != nil {
		yield(netlink.Message{}, err)
		return
	}
	if s.err != nil {
		yield(netlink.Message{}, os.NewSyscallError("recvmmsg", s.err))
		return
	}
	s.inBatch = true
	s.begin(s.count)
	for i := range s.count {
		for m := range s.parse(i) {
			// An error would end the batch for go-nfqueue, and leave the packets
			// behind it waiting.
			if m.Header.Type == netlink.Error {
				s.failed()
				continue
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// flush writes what is held and ends the batch: the kernel acts on each message
// before the write returns.
func (s *socket) flush() error {
	s.err = nil
	if len(s.held) > 0 {
		if err := s.raw.Write(s.write); err != nil {
			return err
		}
		s.held = s.held[:0]
	}
	err := s.err
	if s.inBatch {
		s.inBatch = false
		s.end(s.count)
	}
	return os.NewSyscallError("write", err)
}

// quickWrite is how many bytes of verdicts are written without telling Go's
// scheduler, about sixteen of them. The kernel needs some microseconds for each.
const quickWrite = 16 * 40

// transmit writes what is held. Before a system call Go's scheduler wakes the
// thread that looks after long ones; with packets that come one by one, this
// costs more than the verdict. So it is not told of short calls.
func (s *socket) transmit(fd uintptr) {
	errno := unix.EINTR
	for errno == unix.EINTR {
		if len(s.held) > quickWrite {
			_, _, errno = unix.Syscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&s.held[0])), uintptr(len(s.held)))
		} else {
			_, _, errno = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&s.held[0])), uintptr(len(s.held)))
		}
	}
	s.err = nil
	if errno != 0 {
		s.err = errno
	}
}

// receive reads what is there. It does not wait, so Go's scheduler is not told.
func (s *socket) receive(fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		s.count, s.err = int(n), nil
		if errno != 0 {
			s.count, s.err = 0, errno
		}
		return
	}
}

// parse gives the netlink messages of the i-th datagram.
func (s *socket) parse(i int) iter.Seq[netlink.Message] {
	return func(yield func(netlink.Message) bool) {
		data := s.buffer[i*messageSize:][:min(int(s.headers[i].length), messageSize)]
		for len(data) >= headerSize {
			length := int(binary.NativeEndian.Uint32(data))
			if length < headerSize || length > len(data) {
				return
			}
			m := netlink.Message{Header: netlink.Header{
				Length:   uint32(length),
				Type:     netlink.HeaderType(binary.NativeEndian.Uint16(data[4:])),
				Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(data[6:])),
				Sequence: binary.NativeEndian.Uint32(data[8:]),
				PID:      binary.NativeEndian.Uint32(data[12:]),
			}, Data: data[headerSize:length]}
			if !yield(m) {
				return
			}
			data = data[min((length+3)&^3, len(data)):]
		}
	}
}

// acknowledgement gives the answer to the message that was just written.
// Packets that came before it are kept for the next read.
func (s *socket) acknowledgement() (netlink.Message, error) {
	if s.bound.Load() {
		defer s.leftOnce.Do(func() { close(s.left) })
	}
	for {
		// Not a read that waits: its deadline is over when the queue is left.
		if err := s.raw.Control(s.readOnce); err != nil {
			return netlink.Message{}, err
		}
		if s.count == 0 {
			return netlink.Message{}, errNoAck
		}
		var answer netlink.Message
		found := false
		for i := range s.count {
			for m := range s.parse(i) {
				m.Data = append([]byte(nil), m.Data...)
				switch {
				case m.Header.Type == netlink.Error && m.Header.Sequence == s.awaited:
					answer, found = m, true
				case m.Header.Type != netlink.Error:
					s.pending = append(s.pending, m)
				}
			}
		}
		if found {
			return answer, nil
		}
	}
}

// Close implements netlink.Socket.
func (s *socket) Close() error { return s.file.Close() }

// SetDeadline lets go-nfqueue stop a read.
func (s *socket) SetDeadline(t time.Time) error { return s.file.SetDeadline(t) }

// SetReadDeadline lets go-nfqueue stop a read.
func (s *socket) SetReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// SetWriteDeadline completes what netlink.Conn asks for beside SetReadDeadline.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }
