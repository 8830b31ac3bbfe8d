package queue_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// fixture is a node with pods one and two. The rules of the node queue the packets from pod one
// to pod two, and the pool evaluates these packets.
type fixture struct {
	t        *testing.T
	node     *lab.Node
	one, two *lab.Pod
	config   queue.Config
	pool     *queue.Pool
}

func newFixture(t *testing.T, evaluator rule.Evaluator) *fixture {
	t.Helper()
	s := &fixture{t: t}
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if s.node, err = l.AddNode("node"); err != nil {
		t.Fatal(err)
	}
	if s.one, err = s.node.AddPod("one"); err != nil {
		t.Fatal(err)
	}
	if s.two, err = s.node.AddPod("two"); err != nil {
		t.Fatal(err)
	}
	marks, err := ruleset.MarksOf(ruleset.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	s.config = queue.Config{Marks: marks, Base: 100, Queues: 1}
	s.open(evaluator)
	err = s.node.Do(func() error {
		kernel, err := ruleset.FindKernel()
		if err != nil {
			return err
		}
		table, err := ruleset.Open(ruleset.Config{
			Marks: marks, QueueBase: 100, Queues: 1, FailurePolicy: ruleset.FailClosed, Deny: ruleset.Drop, Queueing: kernel.Queueing,
		})
		if err != nil {
			return err
		}
		return errors.Join(table.Install(ruleset.Addresses{Ingress: s.two.Addresses()}), table.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *fixture) open(evaluator rule.Evaluator) {
	s.t.Helper()
	err := s.node.Do(func() (err error) { s.pool, err = queue.Open(s.config, evaluator); return err })
	if err != nil {
		s.t.Fatal(err)
	}
	pool := s.pool
	s.t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// sender returns a socket in pod one that is connected to the given port of pod two.
func (s *fixture) sender(port uint16) net.Conn {
	s.t.Helper()
	to, _ := s.two.Address(netip.IPv4Unspecified())
	var conn net.Conn
	err := s.one.Do(func() (err error) {
		conn, err = net.Dial("udp", netip.AddrPortFrom(to, port).String())
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, n int) {
	t.Helper()
	for i := range n {
		if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *fixture) stats() report.Stats {
	s.t.Helper()
	st, err := s.pool.Stats()
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func deny() rule.Decision {
	return rule.Decision{Egress: rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}, Ingress: rule.Side{Reason: rule.NoRuleMatched}}
}

// blocked is an evaluator that denies every flow. Its method Evaluate returns only after the
// channel `release` has been closed.
type blocked struct {
	// called is closed by the first call of Evaluate.
	called  chan struct{}
	once    sync.Once
	release chan struct{}
}

func newBlocked() *blocked {
	return &blocked{called: make(chan struct{}), release: make(chan struct{})}
}

// denyAll returns an evaluator that denies every flow at once: a `blocked` whose channel `release`
// is already closed.
func denyAll() *blocked {
	b := newBlocked()
	close(b.release)
	return b
}

func (b *blocked) Evaluate(flow.Flow) rule.Decision {
	b.once.Do(func() { close(b.called) })
	<-b.release
	return deny()
}

// TestDropsAreCounted checks that the counters include every packet that is dropped because a
// queue or a socket buffer is full.
func TestDropsAreCounted(t *testing.T) {
	const packets = 20_000
	evaluator := newBlocked()
	s := newFixture(t, evaluator)
	conn := s.sender(9)
	send(t, conn, packets)
	<-evaluator.called
	eventually.True(t, "every packet waits or is dropped", func() bool {
		st := s.stats()
		return st.Waiting+st.QueueDropped+st.SocketDropped == packets
	})
	st := s.stats()
	t.Logf("waiting %d, dropped for a full queue %d, for a full socket %d", st.Waiting, st.QueueDropped, st.SocketDropped)
	if st.Waiting > 8192 || st.QueueDropped+st.SocketDropped < packets-8192 {
		t.Errorf("%d packets wait, want at most 8192 and the others dropped", st.Waiting)
	}
	close(evaluator.release)
	eventually.True(t, "every packet has its verdict", func() bool {
		st := s.stats()
		return st.Waiting == 0 && st.Packets+st.QueueDropped+st.SocketDropped == packets
	})
	if st := s.stats(); st.Denied != st.Packets || st.VerdictErrors != 0 {
		t.Errorf("%+v, want every packet denied", st)
	}
}

// TestCloseWithPacketsInFlight checks that Close waits until the kernel has the verdicts for
// the packets of the current batch, and that another pool can bind the queues immediately
// afterwards.
func TestCloseWithPacketsInFlight(t *testing.T) {
	evaluator := newBlocked()
	s := newFixture(t, evaluator)
	conn := s.sender(9)
	send(t, conn, 200)
	<-evaluator.called
	ended := make(chan error)
	first := s.pool
	go func() { ended <- first.Close() }()
	select {
	case err := <-ended:
		t.Fatalf("Close returned (%v) during a batch", err)
	default:
	}
	close(evaluator.release)
	begin := time.Now()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Close took %s, so it waited in vain for a worker", took)
	}
	st, _ := first.Stats()
	if st.Batches == 0 || st.Packets == 0 || st.Denied != st.Packets || st.VerdictErrors != 0 {
		t.Errorf("%+v, want a verdict for each packet that was read", st)
	}
	s.open(denyAll())
	send(t, conn, 10)
	eventually.True(t, "the next pool evaluates packets", func() bool { return s.stats().Denied >= 10 })
}

// If the pool has no evaluator, packets wait until the first call of Swap or Close.
func TestPacketsWaitForTheFirstEvaluator(t *testing.T) {
	const packets = 200
	s := newFixture(t, nil)
	conn := s.sender(7)
	send(t, conn, packets)
	if st := s.stats(); st.Waiting != packets || st.Packets != 0 {
		t.Errorf("%+v, want all packets waiting", st)
	}
	s.pool.Swap(denyAll())
	eventually.True(t, "packets that waited are evaluated", func() bool { return s.stats().Denied == packets })
	if err := s.pool.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(nil)
	send(t, conn, packets)
	begin := time.Now()
	if err := s.pool.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Close took %s, so it waited in vain for a worker", took)
	}
	if st, _ := s.pool.Stats(); st.Accepted+st.Denied != 0 {
		t.Errorf("%+v, want no verdict without an evaluator", st)
	}
}

// replaceable is an evaluator. After it has been replaced, it counts the calls of Evaluate,
// because such calls must not occur.
type replaceable struct {
	replaced    atomic.Bool
	calls, late *atomic.Uint64
}

func (r *replaceable) Evaluate(flow.Flow) rule.Decision {
	r.calls.Add(1)
	if r.replaced.Load() {
		r.late.Add(1)
	}
	return deny()
}

func TestSwapWaitsForBatches(t *testing.T) {
	var calls, late atomic.Uint64
	evaluator := &replaceable{calls: &calls, late: &late}
	s := newFixture(t, evaluator)
	conn := s.sender(9)
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if _, err := conn.Write([]byte{0}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	const swaps = 200
	for range swaps {
		// Replace an evaluator only after it has been used.
		before := calls.Load()
		eventually.True(t, "packets are evaluated", func() bool { return calls.Load() > before })
		next := &replaceable{calls: &calls, late: &late}
		s.pool.Swap(next)
		evaluator.replaced.Store(true)
		evaluator = next
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if late.Load() != 0 {
		t.Errorf("an evaluator was called %d times after Swap had returned", late.Load())
	}
	if st := s.stats(); st.VerdictErrors != 0 {
		t.Errorf("%+v: verdicts were lost", st)
	}
}

// If another process has bound a queue, the error from Open names this queue, and Open unbinds
// the queues that it has already bound.
func TestOpenWithAQueueThatIsTaken(t *testing.T) {
	s := newFixture(t, denyAll())
	config := s.config
	config.Base, config.Queues = 99, 2
	begin := time.Now()
	err := s.node.Do(func() error { _, err := queue.Open(config, denyAll()); return err })
	if err == nil {
		t.Fatal("two pools have bound one queue")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Open took %s, so a queue without packets was not unbound at once", took)
	}
	if want := "binding queue 100"; !strings.Contains(err.Error(), want) || !errors.Is(err, queue.ErrTaken) {
		t.Errorf("error %v, want it to contain %q", err, want)
	}
	config.Queues = 1
	var second *queue.Pool
	if err := s.node.Do(func() (err error) { second, err = queue.Open(config, denyAll()); return err }); err != nil {
		t.Fatalf("queue 99 is still bound: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// The whole process, including go-nfqueue and the runtime, allocates no memory for packets.
func TestNoAllocationsForRealPackets(t *testing.T) {
	const packets = 20_000
	s := newFixture(t, denyAll())
	conn := s.sender(9)
	send := func(n int) {
		before := s.stats().Packets
		data, pause := make([]byte, 4), time.NewTicker(100*time.Microsecond)
		defer pause.Stop()
		for i := range n {
			if _, err := conn.Write(data); err != nil {
				t.Fatal(err)
			}
			// Wait after some packets, so that the queue does not fill up and some packets
			// arrive one by one.
			if i%64 == 0 {
				<-pause.C
			}
		}
		eventually.True(t, "every packet has its verdict", func() bool { return s.stats().Packets == before+uint64(n) })
	}
	send(1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	send(packets)
	runtime.ReadMemStats(&after)
	allocations := float64(after.Mallocs-before.Mallocs) / packets
	t.Logf("%.4f allocations per packet", allocations)
	// The limit is not 0, because the helper `send` itself allocates memory when it calls s.stats.
	if allocations > 0.01 {
		t.Errorf("%.4f allocations per packet, want none", allocations)
	}
	if st := s.stats(); st.VerdictErrors != 0 || st.Denied != st.Packets {
		t.Errorf("%+v, want every packet denied", st)
	}
}

// If the kernel has not segmented a large datagram yet, the datagram is one packet in the queue
// and gets one verdict.
func TestLargePacketsAreNotSegmented(t *testing.T) {
	s := newFixture(t, denyAll())
	conn := s.sender(9)
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000) })
	if err := errors.Join(err, set); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	// The worker counts a packet after its verdict.
	eventually.True(t, "the packet is counted", func() bool { return s.stats().Packets > 0 })
	if st := s.stats(); st.Packets != 1 || st.Denied != 1 || st.VerdictErrors != 0 {
		t.Errorf("%+v, want one packet denied", st)
	}
}
