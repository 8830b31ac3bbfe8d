package conntrack_test

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	timo "github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// fixture is the network namespace of a node, in which tests create connections. The tests
// create and read connections with a library whose netlink implementation is independent of
// this package.
type fixture struct {
	tb          testing.TB
	node        *lab.Node
	other       *timo.Conn
	connections *conntrack.Connections
	marks       ruleset.Marks
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	l, err := lab.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Close)
	node, err := l.AddNode("node")
	if err != nil {
		tb.Fatal(err)
	}
	s := &fixture{tb: tb, node: node}
	if s.marks, err = ruleset.MarksOf(0x60); err != nil {
		tb.Fatal(err)
	}
	err = node.Do(func() (err error) {
		if s.other, err = timo.Dial(nil); err != nil {
			return err
		}
		s.connections, err = conntrack.Open(s.marks)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.connections.Close(); err != nil {
			tb.Error(err)
		}
		if err := s.other.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// add creates a connection from `src` to `dst`. If `backend` is valid, DNAT changes the
// destination of the connection from `dst` to `backend`.
func (s *fixture) add(protocol uint8, src, dst, backend netip.AddrPort, mark uint32) {
	s.tb.Helper()
	f := timo.NewFlow(protocol, 0, src.Addr(), dst.Addr(), src.Port(), dst.Port(), 600, mark)
	if backend.IsValid() {
		f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort = backend.Addr(), backend.Port()
	}
	if err := s.other.Create(f); err != nil {
		s.tb.Fatal(err)
	}
}

// pickUp creates a TCP connection in the state that connection tracking assigns to connections
// that it picks up in mid-stream.
func (s *fixture) pickUp(src, dst netip.AddrPort) {
	s.tb.Helper()
	const established, liberal, mask = 3, 0x08, 0xff << 8
	f := timo.NewFlow(unix.IPPROTO_TCP, 0, src.Addr(), dst.Addr(), src.Port(), dst.Port(), 600, 0)
	f.ProtoInfo.TCP = &timo.ProtoInfoTCP{State: established, OriginalFlags: mask | liberal, ReplyFlags: mask | liberal}
	if err := s.other.Create(f); err != nil {
		s.tb.Fatal(err)
	}
}

// read returns the marks of all connections by source port.
func (s *fixture) read() map[uint16]uint32 {
	s.tb.Helper()
	flows, err := s.other.Dump(nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	out := map[uint16]uint32{}
	for i := range flows {
		out[flows[i].TupleOrig.Proto.SourcePort] = flows[i].Mark
	}
	return out
}

func (s *fixture) reevaluate(e evaluator) (conntrack.Result, error) {
	return s.connections.Reevaluate(context.Background(), func() rule.Evaluator { return e })
}

// evaluator isolates one pod for ingress. It allows only port 80 of this pod.
type evaluator struct{ pod netip.Addr }

func (e evaluator) Evaluate(f flow.Flow) rule.Decision {
	open := rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}
	d := rule.Decision{Egress: open, Ingress: open}
	if f.Dst == e.pod {
		d.Ingress = rule.Side{Reason: rule.NoRuleMatched}
		if f.Protocol.HasPorts() && f.DstPort == 80 {
			d.Ingress = rule.Side{Verdict: rule.Allow, Reason: rule.Matched}
		}
	}
	return d
}

func TestReevaluateSetsMarks(t *testing.T) {
	s := newFixture(t)
	port := netip.MustParseAddrPort
	pod, backend := port("10.0.0.2:80"), port("10.0.0.2:81")
	none := netip.AddrPort{}
	for _, c := range []struct {
		protocol          uint8
		src, dst, backend netip.AddrPort
		mark              uint32
	}{
		{unix.IPPROTO_TCP, port("10.0.0.1:1"), pod, none, 0},
		{unix.IPPROTO_TCP, port("10.0.0.1:2"), backend, none, 0x4000},
		{unix.IPPROTO_UDP, port("10.0.0.1:3"), port("10.96.0.1:80"), backend, 0x20},
		{unix.IPPROTO_UDP, port("10.0.0.1:4"), port("10.96.0.1:81"), pod, 0x8040},
		{unix.IPPROTO_TCP, port("10.0.0.1:5"), port("10.0.0.9:80"), none, 0x21},
		{unix.IPPROTO_TCP, port("10.0.0.1:6"), port("10.0.0.9:80"), none, 0x40},
		{unix.IPPROTO_SCTP, port("10.0.0.1:7"), backend, none, 0},
		// The source is an address of this node, or a loopback address.
		{unix.IPPROTO_TCP, port("192.168.126.1:8"), backend, none, 0},
		{unix.IPPROTO_TCP, port("127.5.5.5:9"), backend, none, 0},
		// The mark Either (0x60) means that connection tracking picked up the connection in
		// mid-stream. In this case, policies allow the connection only in the reverse
		// direction.
		{unix.IPPROTO_TCP, port("10.0.0.1:10"), backend, none, 0x60},
		{unix.IPPROTO_TCP, port("[fd00::1]:11"), port("[fd00::2]:80"), none, 0x20},
	} {
		s.add(c.protocol, c.src, c.dst, c.backend, c.mark)
	}
	if _, err := s.reevaluate(evaluator{pod.Addr()}); err != nil {
		t.Fatal(err)
	}
	want := map[uint16]uint32{
		1: 0x20, 2: 0x4040, 3: 0x40, 4: 0x8020, 5: 0x01, 6: 0, 7: 0x40, 8: 0, 9: 0, 10: 0x60, 11: 0,
	}
	if diff := cmp.Diff(want, s.read()); diff != "" {
		t.Errorf("marks by source port (-want +got):\n%s", diff)
	}
	again, err := s.reevaluate(evaluator{pod.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if again.Connections != 11 || again.Accepted+again.Denied+again.Cleared != 0 {
		t.Errorf("a second walk: %+v, want 11 connections and no change", again)
	}
	if _, err := s.connections.Clear(); err != nil {
		t.Fatal(err)
	}
	for port, mark := range s.read() {
		if s.marks.Of(mark) != 0 || mark != want[port]&^s.marks.Mask {
			t.Errorf("after Clear: port %d has mark %#x", port, mark)
		}
	}
}

// This test checks row S50 of docs/semantics.md. The conntrack entry of a picked-up connection
// can be reversed, so that the server is its source. The port numbers show whether an entry is
// reversed. The test checks two rules:
//
//   - The connection of a reversed entry is denied if policies deny connections from the client
//     to the server.
//   - If policies deny the connection of an entry that is not reversed, but would allow a
//     connection from the destination to the source, the mark of the connection is Either
//     (0x60).
func TestReevaluateFindsTheClientOfAPickedUpConnection(t *testing.T) {
	port := netip.MustParseAddrPort
	for name, tt := range map[string]struct {
		src, dst string
		want     uint32
	}{
		"denied, source is the server":         {"10.0.0.2:81", "10.0.0.1:40000", 0x40},
		"allowed, source is the server":        {"10.0.0.2:80", "10.0.0.1:40000", 0},
		"denied, source is the client":         {"10.0.0.1:40000", "10.0.0.2:81", 0x60},
		"allowed, source is the client":        {"10.0.0.1:40000", "10.0.0.2:80", 0x20},
		"the pod is the client":                {"10.0.0.2:40000", "10.0.0.1:81", 0},
		"the pod is the client of this node":   {"192.168.126.1:81", "10.0.0.2:40000", 0},
		"this node is the client of the pod":   {"10.0.0.2:81", "192.168.126.1:40000", 0},
		"two ephemeral ports, source is pod":   {"10.0.0.2:50051", "10.0.0.1:40000", 0},
		"two well-known ports, source is pod":  {"10.0.0.2:81", "10.0.0.1:1023", 0},
		"source is the server, pod the client": {"10.0.0.1:443", "10.0.0.2:40000", 0x60},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t)
			s.pickUp(port(tt.src), port(tt.dst))
			e := evaluator{netip.MustParseAddr("10.0.0.2")}
			if _, err := s.reevaluate(e); err != nil {
				t.Fatal(err)
			}
			if got := s.read()[port(tt.src).Port()]; got != tt.want {
				t.Errorf("mark %#x, want %#x", got, tt.want)
			}
			again, err := s.reevaluate(e)
			if err != nil || again.Changed() != 0 {
				t.Errorf("a second walk: %+v, %v; want no change", again, err)
			}
		})
	}
}

// createMany creates n connections to the pod. Policies allow every second connection.
func (s *fixture) createMany(n int) {
	s.tb.Helper()
	pod := netip.MustParseAddr("10.0.0.2")
	for i := range n {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 16), byte(i >> 8)}), uint16(1+i&0xff))
		s.add(unix.IPPROTO_TCP, src, netip.AddrPortFrom(pod, uint16(80+i%2)), netip.AddrPort{}, 0)
	}
}

// When a walk is canceled, a part of the table has not been read. The next walk must
// nevertheless read every connection exactly once.
func TestReevaluateAfterACanceledWalk(t *testing.T) {
	const n = 5000
	s := newFixture(t)
	s.createMany(n)
	e := evaluator{netip.MustParseAddr("10.0.0.2")}
	for range 3 {
		ctx, stop := context.WithCancel(t.Context())
		calls := 0
		_, err := s.connections.Reevaluate(ctx, func() rule.Evaluator {
			if calls++; calls == 2 {
				stop()
			}
			return e
		})
		stop()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("a walk whose context ended: %v", err)
		}
		r, err := s.reevaluate(e)
		if err != nil || r.Connections != n {
			t.Fatalf("the walk after the canceled walk: %+v, %v; want %d connections", r, err, n)
		}
	}
	for port, mark := range s.read() {
		if s.marks.Of(mark) == 0 {
			t.Errorf("a connection from port %d has no mark", port)
		}
	}
}

// The amount of memory that a walk allocates does not depend on the number of connections.
func TestReevaluateKeepsNoConnections(t *testing.T) {
	const n = 10000
	s := newFixture(t)
	s.createMany(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := s.reevaluate(evaluator{netip.MustParseAddr("10.0.0.2")})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if r.Connections != n || r.Accepted != n/2 || r.Denied != n/2 {
		t.Errorf("walk: %+v", r)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<10 {
		t.Errorf("%d bytes allocated for %d connections, want at most 256 KiB for any number", got, n)
	}
}

// BenchmarkReevaluate re-evaluates 100,000 connections. As usual after a change of one policy,
// no mark changes.
func BenchmarkReevaluate(b *testing.B) {
	s := newFixture(b)
	s.createMany(100000)
	e := evaluator{netip.MustParseAddr("10.0.0.2")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.reevaluate(e); err != nil {
			b.Fatal(err)
		}
	}
}

// Adopt keeps the meaning of the installed marks, and clears the bits of all other former
// marks. It does so even if the current marks share a bit with one of the other former marks.
// The next walk clears the installed marks, too. After Forget, the bits of former marks stay.
func TestFormerMarks(t *testing.T) {
	s := newFixture(t)
	var marks []ruleset.Marks
	for _, mask := range []uint32{0xc0, 0x30000, 0x60} {
		m, err := ruleset.MarksOf(mask)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, m)
	}
	if err := s.connections.Close(); err != nil {
		t.Fatal(err)
	}
	err := s.node.Do(func() (err error) { s.connections, err = conntrack.Open(marks[0], marks[1:]...); return err })
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, want map[uint16]uint32) {
		t.Helper()
		if diff := cmp.Diff(want, s.read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	dst := netip.MustParseAddrPort("10.0.0.9:80")
	for port, mark := range map[uint16]uint32{1: 0x10000, 2: 0x20040, 3: 0x34060, 4: 0x40, 5: 0x4000} {
		s.add(unix.IPPROTO_UDP, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port), dst, netip.AddrPort{}, mark)
	}
	if err := s.connections.Adopt(marks[1]); err != nil {
		t.Fatal(err)
	}
	want("adopted", map[uint16]uint32{1: 0x10040, 2: 0x20080, 3: 0x340c0, 4: 0, 5: 0x4000})
	everything := evaluator{pod: dst.Addr()} // The evaluator allows every connection to port 80 of the pod.
	r, err := s.reevaluate(everything)
	if err != nil || r.Former != 3 || r.Accepted != 4 {
		t.Errorf("result %+v, %v; want the former bits of 3 connections cleared and 4 connections accepted", r, err)
	}
	want("evaluated", map[uint16]uint32{1: 0x40, 2: 0x40, 3: 0x4040, 4: 0x40, 5: 0x4040})
	s.connections.Forget()
	s.add(unix.IPPROTO_UDP, netip.MustParseAddrPort("10.0.0.1:6"), dst, netip.AddrPort{}, 0x20020)
	if r, err := s.reevaluate(everything); err != nil || r.Changed() != 1 {
		t.Errorf("after Forget: result %+v, %v; want one change", r, err)
	}
	want("after Forget", map[uint16]uint32{1: 0x40, 2: 0x40, 3: 0x4040, 4: 0x40, 5: 0x4040, 6: 0x20060})
}
