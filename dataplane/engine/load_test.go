package engine_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// load constantly opens TCP and UDP connections in equal numbers. For each connection to an
// allowed port, load attempts a connection to a port that the policies deny. It limits the
// number of connections in progress.
type load struct {
	t    testing.TB
	from *lab.Pod
	stop context.CancelFunc
	all  sync.WaitGroup
	// The capacity of the channel `free` limits the number of allowed connections in progress. The
	// capacity of the channel `denied` limits the number of denied connections in progress.
	free, denied chan struct{}
	servers      []*lab.Server

	opened, repeated, lost atomic.Int64
	mu                     sync.Mutex
	slowest                time.Duration
}

// maxOpen is the maximum number of connections in progress.
const maxOpen = 256

// lossTime is the time after which a connection counts as lost.
const lossTime = 10 * time.Second

// startLoad opens perSecond allowed connections per second. The rate is lower if the machine
// is too slow.
func (p *plane) startLoad(perSecond int) *load {
	t := p.t
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{t: t, from: p.one, stop: stop, free: make(chan struct{}, maxOpen), denied: make(chan struct{}, maxOpen)}
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
		for _, at := range []netip.AddrPort{p.allowed, p.refused} {
			s, err := p.two.Serve(protocol, at)
			must(t, err)
			l.servers = append(l.servers, s)
		}
	}
	t.Cleanup(func() {
		for _, s := range l.servers {
			s.Close()
		}
	})
	l.all.Go(func() {
		const tick = 2 * time.Millisecond
		again := time.NewTicker(tick)
		defer again.Stop()
		owed := 0.0
		for {
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
			for owed += float64(perSecond) * tick.Seconds(); owed >= 2; owed -= 2 {
				l.open(ctx, flow.TCP, p.allowed)
				l.open(ctx, flow.UDP, p.allowed)
				l.try(ctx, flow.TCP, p.refused)
				l.try(ctx, flow.UDP, p.refused)
			}
		}
	})
	return l
}

// open opens an allowed connection and measures the time until the server's first reply.
func (l *load) open(ctx context.Context, protocol flow.Protocol, to netip.AddrPort) {
	select {
	case l.free <- struct{}{}:
	default:
		return
	}
	l.all.Go(func() {
		defer func() { <-l.free }()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lossTime)
		defer cancel()
		repeated, err := l.exchange(ctx, protocol, to)
		took := time.Since(begin)
		l.opened.Add(1)
		if repeated {
			l.repeated.Add(1)
		}
		if err != nil {
			l.lost.Add(1)
			l.t.Logf("%s lost after %s: %v", protocol, took, err)
		}
		l.mu.Lock()
		l.slowest = max(l.slowest, took)
		l.mu.Unlock()
	})
}

// exchange opens a connection and receives a reply. It also reports whether TCP retransmitted
// the SYN, which happens after a second without a reply. It sends a UDP datagram only once.
func (l *load) exchange(ctx context.Context, protocol flow.Protocol, to netip.AddrPort) (repeated bool, err error) {
	conn, err := l.from.Dial(ctx, protocol, netip.Addr{}, to)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return false, err
	}
	if protocol == flow.UDP {
		if _, err := conn.Write([]byte("?")); err != nil {
			return false, err
		}
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return false, err
	}
	return protocol == flow.TCP && retransmitted(conn), nil
}

// retransmitted reports whether a TCP connection sent a segment more than once.
func retransmitted(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	var info *unix.TCPInfo
	_ = raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	return err == nil && info.Total_retrans > 0
}

// try attempts a connection that the policies deny. It sends only the first packet.
func (l *load) try(ctx context.Context, protocol flow.Protocol, to netip.AddrPort) {
	select {
	case l.denied <- struct{}{}:
	default:
		return
	}
	l.all.Go(func() {
		defer func() { <-l.denied }()
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		conn, err := l.from.Dial(ctx, protocol, netip.Addr{}, to)
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte("?"))
		_ = conn.Close()
	})
}

// figures are the results of a load.
type figures struct {
	opened, repeated, lost, passed int64
	slowest                        time.Duration
}

// end stops the load and waits until each connection has received a reply or counts as lost.
func (l *load) end() figures {
	l.stop()
	l.all.Wait()
	f := figures{opened: l.opened.Load(), repeated: l.repeated.Load(), lost: l.lost.Load(), slowest: l.slowest}
	for i, s := range l.servers {
		if i%2 == 1 {
			f.passed += int64(s.Served())
		}
		s.Close()
	}
	l.servers = nil
	return f
}

func (f figures) String() string {
	return fmt.Sprintf("%d connections, slowest %s, %d SYNs repeated, %d lost, %d denied ones passed", f.opened, f.slowest, f.repeated, f.lost, f.passed)
}
