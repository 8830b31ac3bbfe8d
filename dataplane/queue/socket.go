package queue

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// Sizes of a worker's socket.
const (
	// batchSize is the maximum number of packets in a batch. A worker reads all packets of a
	// batch with one system call, and writes all verdicts for these packets with another system
	// call.
	batchSize = 64
	// messageSize is the size in bytes of the buffer for one packet and its metadata. The
	// packet is truncated to copyRange bytes.
	messageSize = 2048
	// receiveBuffer is the size in bytes of the kernel's receive buffer for one worker. A
	// packet uses about 1 KiB of this buffer.
	receiveBuffer = 16 << 20
)

// errNoAck means that the kernel did not acknowledge a configuration message. The socket does
// not wait for the acknowledgement, because the kernel sends it before the write returns.
var errNoAck = errors.New("no acknowledgement from the kernel")

// handler handles the packets that a socket reads. The socket calls the methods of its handler
// from the goroutine that reads packets.
type handler interface {
	// begin is called after the packets of a batch have been read.
	begin()
	// handle is called with the payload of each message about a packet. The payload is valid
	// until the next batch. The handler appends its verdicts to socket.unsent.
	handle(payload []byte)
	// end is called after the verdicts of the batch have been written.
	end()
	// reject is called for each verdict that the kernel rejected, and for each message that the
	// socket cannot read.
	reject()
}

// socket is the mdlayher.Socket that go-nfqueue uses. It reads up to batchSize packets with one
// call of recvmmsg, and passes the packets to its handler. Before the next read, it writes the
// handler's verdicts with one system call. go-nfqueue receives only acknowledgements and
// errors, so no memory is allocated for a packet. All methods run on go-nfqueue's goroutine,
// except Close and SetReadDeadline, which other goroutines call.
//
// The thread of the goroutine blocks in recvmmsg until a packet arrives. If packets arrive one
// by one, the socket makes two system calls per packet. With Go's poller, it would make four or
// five system calls.
//
//	Send:        append a configuration message
//	ReceiveIter: write the messages | yield the acknowledgement, or, if none is expected:
//	             wait | read packets | begin a batch | handle each packet | write the verdicts | end the batch | wait | ...
type socket struct {
	kernel  *netlink.Socket
	raw     syscall.RawConn
	handler handler

	// batch is the maximum number of packets in a batch of this socket.
	batch   int
	headers [batchSize]mmsghdr
	iovecs  [batchSize]unix.Iovec
	buffer  []byte
	count   int
	err     error

	// unsent contains the messages that must be written before the next read.
	unsent []byte
	// awaitsAck is set if unsent contains a message that the kernel must acknowledge.
	// ackSequence is the sequence number of this message.
	awaitsAck   bool
	ackSequence uint32
	// pending contains datagrams that arrived while the socket waited for an acknowledgement.
	pending [][]byte

	// These closures are created once and stored, so that a batch does not allocate closures.
	wait, write    func(fd uintptr) bool
	poll           func(fd uintptr)
	receiveMessage iter.Seq2[mdlayher.Message, error]

	// pacing makes the flood worker wait after each batch. It is nil for other workers.
	pacing *pacing

	// interrupted is set to make the `serve` method return.
	interrupted atomic.Bool
	// yielded is the last time at which the `serve` method called Go's scheduler.
	yielded time.Time

	// bound is set after the queue has been bound. The next acknowledgement then confirms
	// that the kernel has unbound the queue, and the socket closes the channel `unbound`.
	bound       atomic.Bool
	unbound     chan struct{}
	unboundOnce sync.Once
}

// newSocket opens a socket in the network namespace of the calling thread.
func newSocket(h handler) (*socket, error) {
	kernel, err := netlink.OpenBlocking(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	if err := configureSocket(kernel); err != nil {
		return nil, errors.Join(err, kernel.Close())
	}
	s := &socket{
		kernel:  kernel,
		raw:     kernel.Raw(),
		handler: h,
		batch:   batchSize,
		buffer:  make([]byte, batchSize*messageSize),
		unsent:  make([]byte, 0, batchSize*verdictSize),
		unbound: make(chan struct{}),
	}
	for i := range s.headers {
		s.iovecs[i].Base = &s.buffer[i*messageSize]
		s.iovecs[i].SetLen(messageSize)
		s.headers[i].header.Iov = &s.iovecs[i]
		s.headers[i].header.SetIovlen(1)
	}
	s.wait = func(fd uintptr) bool { s.receive(fd, unix.MSG_WAITFORONE); return true }
	s.poll = func(fd uintptr) { s.receive(fd, unix.MSG_DONTWAIT) }
	s.write = func(fd uintptr) bool { s.transmit(fd); return true }
	s.receiveMessage = s.messages
	return s, nil
}

func configureSocket(kernel *netlink.Socket) error {
	// SO_RCVBUFFORCE can set a size above net.core.rmem_max. It requires CAP_NET_ADMIN in the
	// initial user namespace. Without this capability, use SO_RCVBUF, which is limited to
	// net.core.rmem_max.
	if kernel.SetOption(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := kernel.SetOption(unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("setting receive buffer: %w", err)
		}
	}
	// With this option, a full buffer does not make a read fail. The kernel's queue
	// counters already include the packets that did not fit into the buffer.
	if err := kernel.SetOption(unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1); err != nil {
		return fmt.Errorf("setting NETLINK_NO_ENOBUFS: %w", err)
	}
	return nil
}

// Send implements mdlayher.Socket. It stores the message, which is written before the next
// read.
func (s *socket) Send(m mdlayher.Message) error {
	if m.Header.Flags&mdlayher.Acknowledge != 0 {
		s.awaitsAck, s.ackSequence = true, m.Header.Sequence
	}
	begin := len(s.unsent)
	s.unsent = netlink.Begin(s.unsent, netlink.Header{
		Type:     uint16(m.Header.Type),
		Flags:    uint16(m.Header.Flags),
		Sequence: m.Header.Sequence,
		Port:     m.Header.PID,
	})
	s.unsent = netlink.End(append(s.unsent, m.Data...), begin)
	return nil
}

// SendMessages implements mdlayher.Socket.
func (s *socket) SendMessages(messages []mdlayher.Message) error {
	for _, m := range messages {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// Receive implements mdlayher.Socket.
func (s *socket) Receive() ([]mdlayher.Message, error) {
	var out []mdlayher.Message
	for m, err := range s.ReceiveIter() {
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// ReceiveIter implements mdlayher.Socket. It yields one acknowledgement or one error.
func (s *socket) ReceiveIter() iter.Seq2[mdlayher.Message, error] { return s.receiveMessage }

func (s *socket) messages(yield func(mdlayher.Message, error) bool) {
	if err := s.flush(); err != nil {
		yield(mdlayher.Message{}, err)
		return
	}
	if s.awaitsAck {
		s.awaitsAck = false
		yield(s.acknowledgement())
		return
	}
	yield(mdlayher.Message{}, s.serve())
}

// yieldInterval is the interval at which `serve` calls Go's scheduler. Without these calls, the
// scheduler assumes after 10 ms that the goroutine prevents other goroutines from running. The
// scheduler would then take the processor away from the goroutine at each system call, and check
// every 20 µs whether the goroutine is in such a call.
const yieldInterval = 5 * time.Millisecond

// serve handles packets until an error occurs, and returns this error.
func (s *socket) serve() error {
	s.pacing.begin()
	// Handle the pending packets before waiting for other packets, because no other packet may
	// arrive.
	if err := s.servePending(); err != nil {
		return err
	}
	for {
		if s.interrupted.Load() {
			return os.ErrDeadlineExceeded
		}
		if now := time.Now(); now.Sub(s.yielded) >= yieldInterval {
			runtime.Gosched()
			s.yielded = now
		}
		if err := s.raw.Read(s.wait); err != nil {
			return err
		}
		if s.err != nil {
			return os.NewSyscallError("recvmmsg", s.err)
		}
		if s.woken() {
			continue
		}
		if err := s.serveBatch(); err != nil {
			return err
		}
		s.pacing.pause()
	}
}

// woken reports whether the last read returned no packet, but only the acknowledgement that the
// method Wake had requested.
func (s *socket) woken() bool {
	messages := netlink.ReadMessages(s.datagram(0))
	return s.count == 1 && messages.Next() && isWakeUp(&messages)
}

func isWakeUp(m *netlink.Messages) bool {
	return m.Header.Type == unix.NLMSG_ERROR && netlink.Errno(m.Payload) == 0
}

// servePending handles the packets that arrived while the socket waited for an acknowledgement.
func (s *socket) servePending() error {
	if len(s.pending) == 0 {
		return nil
	}
	pending := s.pending
	s.pending = nil
	s.handler.begin()
	defer s.handler.end()
	for _, datagram := range pending {
		s.handle(datagram)
	}
	return s.flush()
}

// serveBatch handles the packets of the last read.
func (s *socket) serveBatch() error {
	s.handler.begin()
	defer s.handler.end()
	for i := range s.count {
		s.handle(s.datagram(i))
	}
	return s.flush()
}

func (s *socket) handle(datagram []byte) {
	messages := netlink.ReadMessages(datagram)
	for messages.Next() {
		switch messages.Header.Type {
		case typePacket:
			s.handler.handle(messages.Payload)
		case unix.NLMSG_ERROR:
			if !isWakeUp(&messages) {
				s.handler.reject()
			}
		}
	}
	if messages.Err() != nil {
		s.handler.reject()
	}
}

// flush writes the unsent messages. The kernel carries out the messages before the write
// returns.
func (s *socket) flush() error {
	if len(s.unsent) == 0 {
		return nil
	}
	if err := s.raw.Write(s.write); err != nil {
		return err
	}
	s.unsent = s.unsent[:0]
	return os.NewSyscallError("write", s.err)
}

// convert converts the current message to go-nfqueue's message type.
func convert(m *netlink.Messages) mdlayher.Message {
	return mdlayher.Message{Header: mdlayher.Header{
		Length:   uint32(netlink.HeaderSize + len(m.Payload)),
		Type:     mdlayher.HeaderType(m.Header.Type),
		Flags:    mdlayher.HeaderFlags(m.Header.Flags),
		Sequence: m.Header.Sequence,
		PID:      m.Header.Port,
	}, Data: bytes.Clone(m.Payload)}
}

// acknowledgement returns the kernel's reply to the message that was written last. If packets
// arrive before the reply, acknowledgement stores them in the `pending` field.
func (s *socket) acknowledgement() (mdlayher.Message, error) {
	if s.bound.Load() {
		defer s.unboundOnce.Do(func() { close(s.unbound) })
	}
	for {
		// Do not use the socket's read methods. They would fail while the queue is being
		// unbound, because their deadline has already passed.
		if err := s.raw.Control(s.poll); err != nil {
			return mdlayher.Message{}, err
		}
		if s.count == 0 {
			return mdlayher.Message{}, errNoAck
		}
		if ack, ok := s.findAck(); ok {
			return ack, nil
		}
	}
}

// findAck searches the messages of the last read for an acknowledgement and returns it. It adds
// the packets of that read to the `pending` field.
func (s *socket) findAck() (ack mdlayher.Message, found bool) {
	for i := range s.count {
		messages := netlink.ReadMessages(s.datagram(i))
		packets := false
		for messages.Next() {
			if messages.Header.Type == unix.NLMSG_ERROR && messages.Header.Sequence == s.ackSequence {
				ack, found = convert(&messages), true
			}
			packets = packets || messages.Header.Type == typePacket
		}
		if packets {
			s.pending = append(s.pending, bytes.Clone(s.datagram(i)))
		}
	}
	return ack, found
}

// Close implements mdlayher.Socket.
func (s *socket) Close() error {
	err := s.interrupt()
	return errors.Join(err, s.kernel.Close())
}

// interrupt makes the `serve` method return os.ErrDeadlineExceeded after the current batch.
func (s *socket) interrupt() error {
	// Set the flag before waking the goroutine. Otherwise serve could wake up, find that the
	// flag is not set, and wait again.
	s.interrupted.Store(true)
	return s.kernel.Wake()
}

// SetReadDeadline implements mdlayher.Socket. go-nfqueue sets a deadline in the past to
// interrupt a read. The socket does not support other deadlines.
func (s *socket) SetReadDeadline(t time.Time) error {
	if t.IsZero() || time.Until(t) > 0 {
		return os.ErrNoDeadline
	}
	return s.interrupt()
}

// SetDeadline is called by mdlayher.Conn.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline is called by mdlayher.Conn.
func (s *socket) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
