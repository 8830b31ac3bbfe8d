package bench_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// These constants are the roles of the processes that serve a queue.
const (
	// worker is the role of a process that runs a worker of dataplane/queue with a compiled
	// tree.
	worker = "worker"
	// bareLoop is the role of a process that reads and writes batches like a worker, waits with
	// Go's poller, and accepts every packet. It does not decode packets and does not allocate
	// memory.
	bareLoop = "bare-loop"
	// plainLoop is the role of a process that accepts every packet. It uses the library
	// go-nfqueue in the way that the documentation of the library shows.
	plainLoop = "plain-loop"
)

// These settings of a queue and its socket are the same for all roles. The package
// dataplane/queue uses the same settings.
const (
	copyRange     = 256
	maxWaiting    = 8192
	receiveBuffer = 16 << 20
)

type serveConfig struct {
	Queue    uint16
	StateDir string
	Mask     uint32
}

// usage contains the resources that a server process has used since its start.
type usage struct {
	Verdicts uint64
	// CPU is the total user time and system time of all threads of the process.
	CPU time.Duration
	// Allocations is the number of memory allocations in the whole process.
	Allocations uint64
}

// serveRole returns a role that calls the function `serve`. The role replies to every request with
// the resources that its process has used since the start.
func serveRole(serve func(serveConfig) (verdicts func() uint64, err error)) role {
	return func(in *json.Decoder, out *json.Encoder) error {
		var config serveConfig
		if err := in.Decode(&config); err != nil {
			return err
		}
		verdicts, err := serve(config)
		if err != nil {
			return err
		}
		for {
			if err := out.Encode(used(verdicts())); err != nil {
				return err
			}
			if err := in.Decode(&struct{}{}); err != nil {
				return err
			}
		}
	}
}

func used(verdicts uint64) usage {
	u := usage{Verdicts: verdicts, CPU: cpuTime()}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	u.Allocations = memory.Mallocs
	return u
}

func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func serveTree(config serveConfig) (func() uint64, error) {
	t, err := statedir.OpenCurrent(config.StateDir)
	if err != nil {
		return nil, err
	}
	marks, err := ruleset.MarksOf(config.Mask)
	if err != nil {
		return nil, err
	}
	p, err := queue.Open(queue.Config{Marks: marks, Base: config.Queue, Queues: 1}, t)
	if err != nil {
		return nil, err
	}
	return func() uint64 {
		stats, err := p.Stats()
		if err != nil || stats.Denied+stats.VerdictErrors > 0 {
			return 0
		}
		return stats.Packets
	}, nil
}

func servePlain(config serveConfig) (func() uint64, error) {
	nf, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      config.Queue,
		MaxQueueLen:  maxWaiting,
		MaxPacketLen: copyRange,
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        nfqueue.NfQaCfgFlagGSO,
		AfFamily:     unix.AF_INET,
	})
	if err != nil {
		return nil, err
	}
	if err := prepare(nf.Con); err != nil {
		return nil, err
	}
	var verdicts atomic.Uint64
	accept := func(a nfqueue.Attribute) int {
		if nf.SetVerdict(*a.PacketID, nfqueue.NfAccept) == nil {
			verdicts.Add(1)
		}
		return 0
	}
	err = nf.RegisterWithErrorFunc(context.Background(), accept, func(error) int { return 0 })
	return verdicts.Load, err
}

// prepare sets the receive buffer and the timeout of a socket in the same way as a worker.
func prepare(c *netlink.Conn) error {
	if err := c.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	})
	return errors.Join(err, set)
}

const (
	batchSize   = 64
	messageSize = 2048
	// verdictSize is the size of a verdict message. The message consists of a netlink header,
	// struct nfgenmsg, and one attribute with struct nfqnl_msg_verdict_hdr.
	verdictSize = 16 + 4 + 4 + 8
	// numberOffset is the offset of the packet ID in a message from the kernel. The first
	// attribute of the message is struct nfqnl_msg_packet_hdr, which contains the packet ID.
	numberOffset = 16 + 4 + 4
)

// bare implements the role bareLoop. It makes only the system calls that every program with
// Go's poller needs.
type bare struct {
	raw      syscall.RawConn
	verdicts atomic.Uint64
	headers  [batchSize]mmsghdr
	iovecs   [batchSize]unix.Iovec
	buffer   [batchSize * messageSize]byte
	answer   [batchSize * verdictSize]byte
	count    int
	failed   bool
}

// mmsghdr has the layout of struct mmsghdr in recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

func serveBare(config serveConfig) (func() uint64, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(prepare(c), bind(c, config.Queue)); err != nil {
		return nil, err
	}
	l := &bare{}
	if l.raw, err = c.SyscallConn(); err != nil {
		return nil, err
	}
	for i := range batchSize {
		l.iovecs[i].Base = &l.buffer[i*messageSize]
		l.iovecs[i].SetLen(messageSize)
		l.headers[i].header.Iov = &l.iovecs[i]
		l.headers[i].header.SetIovlen(1)
		v := l.answer[i*verdictSize:][:verdictSize]
		binary.NativeEndian.PutUint32(v[0:], verdictSize)
		binary.NativeEndian.PutUint16(v[4:], unix.NFNL_SUBSYS_QUEUE<<8|messageVerdict)
		binary.NativeEndian.PutUint16(v[6:], unix.NLM_F_REQUEST)
		v[16] = unix.AF_INET
		binary.BigEndian.PutUint16(v[18:], config.Queue)
		binary.NativeEndian.PutUint16(v[20:], 4+8)
		binary.NativeEndian.PutUint16(v[22:], attributeVerdict)
		binary.BigEndian.PutUint32(v[24:], nfqueue.NfAccept)
	}
	go l.run()
	return l.verdicts.Load, nil
}

func (l *bare) run() {
	read := func(fd uintptr) bool {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&l.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
		l.count = int(n)
		if errno != 0 {
			l.count = 0
		}
		return errno != unix.EAGAIN
	}
	write := func(fd uintptr) bool {
		data := l.answer[:l.count*verdictSize]
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)))
		l.failed = errno != 0
		return errno != unix.EAGAIN
	}
	for l.raw.Read(read) == nil {
		for i := range l.count {
			copy(l.answer[i*verdictSize+28:][:4], l.buffer[i*messageSize+numberOffset:])
		}
		if l.count > 0 && (l.raw.Write(write) != nil || l.failed) {
			return
		}
		l.verdicts.Add(uint64(l.count))
	}
}

// These constants are defined in include/uapi/linux/netfilter/nfnetlink_queue.h.
const (
	messageVerdict   = 1
	messageConfig    = 2
	attributeVerdict = 2
	configCommand    = 1
	configParameters = 2
	configMaxWaiting = 3
	configMask       = 4
	configFlags      = 5
	commandBind      = 1
)

// bind binds a socket to a queue with the same settings as a worker.
func bind(c *netlink.Conn, number uint16) error {
	word := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	for _, attributes := range [][]netlink.Attribute{
		{{Type: configCommand, Data: []byte{commandBind, 0, 0, unix.AF_INET}}},
		{{Type: configParameters, Data: append(word(copyRange), nfqueue.NfQnlCopyPacket)}},
		{
			{Type: configFlags, Data: word(nfqueue.NfQaCfgFlagGSO)},
			{Type: configMask, Data: word(nfqueue.NfQaCfgFlagGSO)},
			{Type: configMaxWaiting, Data: word(maxWaiting)},
		},
	} {
		data, err := netlink.MarshalAttributes(attributes)
		if err != nil {
			return err
		}
		_, err = c.Execute(netlink.Message{
			Header: netlink.Header{
				Type:  unix.NFNL_SUBSYS_QUEUE<<8 | messageConfig,
				Flags: netlink.Request | netlink.Acknowledge,
			},
			Data: append([]byte{unix.AF_UNSPEC, 0, byte(number >> 8), byte(number)}, data...),
		})
		if err != nil {
			return fmt.Errorf("binding queue %d: %w", number, err)
		}
	}
	return nil
}
