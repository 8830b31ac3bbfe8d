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

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// stage is a node whose rules queue what pod one sends to pod two, and a pool
// that answers.
type stage struct {
	t        *testing.T
	node     *lab.Node
	one, two *lab.Pod
	config   queue.Config
	pool     *queue.Pool
}

func newStage(t *testing.T, judge rule.Evaluator) *stage {
	t.Helper()
	s := &stage{t: t}
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
	s.open(judge)
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
		return errors.Join(table.Install(ruleset.Isolated{Ingress: s.two.Addresses()}), table.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) open(judge rule.Evaluator) {
	s.t.Helper()
	err := s.node.Do(func() (err error) { s.pool, err = queue.Open(s.config, judge); return err })
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

// sender opens a socket of pod one to a port of pod two.
func (s *stage) sender(port uint16) net.Conn {
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

func (s *stage) stats() report.Stats {
	s.t.Helper()
	st, err := s.pool.Stats()
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// until waits for a condition.
func until(t *testing.T, what string, good func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !good(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

func refuse() rule.Decision {
	return rule.Decision{Egress: rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}, Ingress: rule.Side{Reason: rule.NoRuleMatched}}
}

// held is a judge that answers once it is let go.
type held struct {
	asked chan struct{}
	once  sync.Once
	gate  chan struct{}
}

func newHeld() *held { return &held{asked: make(chan struct{}), gate: make(chan struct{})} }

func (h *held) Evaluate(flow.Flow) rule.Decision {
	h.once.Do(func() { close(h.asked) })
	<-h.gate
	return refuse()
}

// What a full queue or a full socket costs is counted, every packet of it.
func TestDropsAreCounted(t *testing.T) {
	const packets = 20_000
	judge := newHeld()
	s := newStage(t, judge)
	conn := s.sender(9)
	send(t, conn, packets)
	<-judge.asked
	until(t, "every packet waits or is dropped", func() bool {
		st := s.stats()
		return st.Waiting+st.QueueDropped+st.SocketDropped == packets
	})
	st := s.stats()
	t.Logf("waiting %d, dropped for a full queue %d, for a full socket %d", st.Waiting, st.QueueDropped, st.SocketDropped)
	if st.Waiting > 8192 || st.QueueDropped+st.SocketDropped < packets-8192 {
		t.Errorf("%d packets wait, want 8192 at most and the others dropped", st.Waiting)
	}
	close(judge.gate)
	until(t, "every packet has its verdict", func() bool {
		st := s.stats()
		return st.Waiting == 0 && st.Packets+st.QueueDropped+st.SocketDropped == packets
	})
	if st := s.stats(); st.Denied != st.Packets || st.VerdictErrors != 0 {
		t.Errorf("%+v, want every packet refused", st)
	}
}

// A pool that is closed gives the packets of its batch their verdicts, and
// leaves queues that the next one can have at once.
func TestCloseWithPacketsInFlight(t *testing.T) {
	judge := newHeld()
	s := newStage(t, judge)
	conn := s.sender(9)
	send(t, conn, 200)
	<-judge.asked
	ended := make(chan error)
	first := s.pool
	go func() { ended <- first.Close() }()
	select {
	case err := <-ended:
		t.Fatalf("Close returned (%v) while a batch was under way", err)
	default:
	}
	close(judge.gate)
	begin := time.Now()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Close took %s, so that it gave up waiting", took)
	}
	st, _ := first.Stats()
	if st.Batches == 0 || st.Packets == 0 || st.Denied != st.Packets || st.VerdictErrors != 0 {
		t.Errorf("%+v, want a verdict for each packet that was read", st)
	}
	again := newHeld()
	close(again.gate)
	s.open(again)
	send(t, conn, 10)
	until(t, "the next pool answers", func() bool { return s.stats().Denied >= 10 })
}

// Without a judge packets wait for the first one, or for the end.
func TestFirstJudge(t *testing.T) {
	const packets = 200
	s := newStage(t, nil)
	conn := s.sender(7)
	send(t, conn, packets)
	if st := s.stats(); st.Waiting != packets || st.Packets != 0 {
		t.Errorf("%+v, want all packets waiting", st)
	}
	judge := newHeld()
	close(judge.gate)
	s.pool.Swap(judge)
	until(t, "packets that waited are judged", func() bool { return s.stats().Denied == packets })
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
		t.Errorf("Close took %s, so that it gave up waiting", took)
	}
	if st, _ := s.pool.Stats(); st.Accepted+st.Denied != 0 {
		t.Errorf("%+v, want no verdict without a judge", st)
	}
}

// given is a judge that must not be asked once it is given up.
type given struct {
	up    atomic.Bool
	asked *atomic.Uint64
	late  *atomic.Uint64
}

func (g *given) Evaluate(flow.Flow) rule.Decision {
	g.asked.Add(1)
	if g.up.Load() {
		g.late.Add(1)
	}
	return refuse()
}

func TestSwapWaitsForBatches(t *testing.T) {
	var asked, late atomic.Uint64
	judge := &given{asked: &asked, late: &late}
	s := newStage(t, judge)
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
		// Each judge is in use before it is given up.
		before := asked.Load()
		until(t, "packets are judged", func() bool { return asked.Load() > before })
		next := &given{asked: &asked, late: &late}
		s.pool.Swap(next)
		judge.up.Store(true)
		judge = next
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if late.Load() != 0 {
		t.Errorf("a judge was asked %d times after Swap had returned", late.Load())
	}
	if st := s.stats(); st.VerdictErrors != 0 {
		t.Errorf("%+v: verdicts were lost", st)
	}
}

// A queue that somebody else has is an error that names it, and the queues
// before it are left again.
func TestQueueThatIsTaken(t *testing.T) {
	judge := newHeld()
	close(judge.gate)
	s := newStage(t, judge)
	config := s.config
	config.Base, config.Queues = 99, 2
	begin := time.Now()
	err := s.node.Do(func() error { _, err := queue.Open(config, judge); return err })
	if err == nil {
		t.Fatal("two pools have one queue")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %s: a queue that nobody read yet is not left at once", took)
	}
	if want := "binding queue 100"; !strings.Contains(err.Error(), want) || !errors.Is(err, queue.ErrTaken) {
		t.Errorf("%v, want it to say %q", err, want)
	}
	config.Queues = 1
	var second *queue.Pool
	if err := s.node.Do(func() (err error) { second, err = queue.Open(config, judge); return err }); err != nil {
		t.Fatalf("queue 99 was not left: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}
