package engine_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/internal/netlink"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
)

// Message types, attribute types and bits of conntrack, which are defined in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctNew    = 1 << 8
	ctDelete = 1<<8 | 2

	ctTupleOriginal    = 1
	ctTupleReply       = 2
	ctStatus           = 3
	ctTimeout          = 7
	ctTupleIP          = 1
	ctTupleProto       = 2
	ctIP4Source        = 1
	ctIP4Destination   = 2
	ctProtoNumber      = 1
	ctProtoSource      = 2
	ctProtoDestination = 3

	seenReply, assured, confirmed = 1 << 1, 1 << 2, 1 << 3
)

// filler creates, changes and deletes conntrack entries of a node. It creates as many entries as
// the table can contain, so it sends many requests with one system call. The kernel counts the
// entries of each network namespace separately, so a filler affects only its node. A test cannot
// lower the maximum instead, because all network namespaces have the same maximum.
type filler struct {
	t      *testing.T
	socket *netlink.Socket
	// created is the number of entries. The entries have the numbers 0 to created-1.
	created int
}

func (s *fixture) newFiller() *filler {
	s.t.Helper()
	const most = 1 << 21 // These entries take about 600 MB of kernel memory.
	if got := s.status().Conntrack.Max; got == 0 || got > most {
		s.t.Skipf("net.netfilter.nf_conntrack_max is %d, want it from 1 to %d", got, most)
	}
	f := &filler{t: s.t}
	err := s.node.Do(func() (err error) { f.socket, err = netlink.Open(unix.NETLINK_NETFILTER); return err })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = f.socket.Close() })
	return f
}

// batch is the number of requests that are sent with one system call.
const batch = 128

// fill creates assured entries until the table is full. The kernel never replaces assured entries
// with entries of new connections.
func (f *filler) fill() {
	f.t.Helper()
	begin := time.Now()
	defer func() { f.t.Logf("created %d entries in %s", f.created, time.Since(begin)) }()
	for {
		errs := f.send(ctNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f.created, f.created+batch, assured, time.Hour)
		f.created += batch - len(errs)
		for _, err := range errs {
			if !errors.Is(err, unix.ENOMEM) {
				f.t.Fatalf("creating a conntrack entry: %v", err)
			}
		}
		if len(errs) > 0 {
			return
		}
	}
}

// free deletes n batches of entries.
func (f *filler) free(n int) {
	f.t.Helper()
	for range n {
		if errs := f.send(ctDelete, 0, f.created-batch, f.created, 0, 0); len(errs) > 0 {
			f.t.Fatalf("deleting conntrack entries: %v", errs)
		}
		f.created -= batch
	}
}

// addUnassured creates n batches of entries that are not assured, such as those of UDP flows with
// few packets.
func (f *filler) addUnassured(n int) {
	f.t.Helper()
	for range n {
		if errs := f.send(ctNew, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f.created, f.created+batch, 0, time.Hour); len(errs) > 0 {
			f.t.Fatalf("creating conntrack entries: %v", errs)
		}
		f.created += batch
	}
}

// expire sets the remaining lifetime of all entries to 0.
func (f *filler) expire() {
	f.t.Helper()
	for first := 0; first < f.created; first += batch {
		for _, err := range f.send(ctNew, 0, first, min(first+batch, f.created), assured, 0) {
			if !errors.Is(err, unix.ENOENT) { // The kernel may already have removed an expired entry.
				f.t.Fatalf("changing a conntrack entry: %v", err)
			}
		}
	}
}

// send sends one request for each entry with a number from first to end-1, and returns the errors
// in the replies.
func (f *filler) send(kind, flags uint16, first, end int, status uint32, lifetime time.Duration) (errs []error) {
	f.t.Helper()
	var requests []byte
	for n := first; n < end; n++ {
		begin := len(requests)
		requests = netlink.Begin(requests, netlink.Header{Type: kind, Flags: unix.NLM_F_REQUEST | flags})
		requests = netlink.AppendNetfilterHeader(requests, unix.AF_INET)
		requests = appendEntry(requests, n, kind, status, lifetime)
		requests = netlink.End(requests, begin)
	}
	if err := f.socket.Send(requests); err != nil {
		f.t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for {
		n, err := f.socket.TryReceive(buffer)
		if errors.Is(err, unix.EAGAIN) {
			return errs
		}
		if err != nil {
			f.t.Fatal(err)
		}
		replies := netlink.ReadMessages(buffer[:n])
		for replies.Next() {
			errs = append(errs, netlink.Errno(replies.Payload))
		}
	}
}

// appendEntry appends the attributes of the entry with the number n. The entry is a UDP connection
// to port 80 of 198.19.0.1. The upper 16 bits of n are the last two bytes of the source address,
// and the lower 16 bits are the source port. For example, entry 0x20003 has the source
// 198.18.0.2:3.
func appendEntry(b []byte, n int, kind uint16, status uint32, lifetime time.Duration) []byte {
	source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 24), byte(n >> 16)}), uint16(n))
	destination := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 19, 0, 1}), 80)
	b = nested(b, ctTupleOriginal, tuple(source, destination))
	if kind == ctDelete {
		return b
	}
	b = nested(b, ctTupleReply, tuple(destination, source))
	b = netlink.AppendUint32(b, ctStatus, seenReply|confirmed|status)
	return netlink.AppendUint32(b, ctTimeout, uint32(lifetime/time.Second))
}

func tuple(source, destination netip.AddrPort) []byte {
	addresses := netlink.AppendAttribute(nil, ctIP4Source, source.Addr().AsSlice())
	addresses = netlink.AppendAttribute(addresses, ctIP4Destination, destination.Addr().AsSlice())
	ports := netlink.AppendAttribute(nil, ctProtoNumber, []byte{unix.IPPROTO_UDP})
	ports = netlink.AppendAttribute(ports, ctProtoSource, binary.BigEndian.AppendUint16(nil, source.Port()))
	ports = netlink.AppendAttribute(ports, ctProtoDestination, binary.BigEndian.AppendUint16(nil, destination.Port()))
	return nested(nested(nil, ctTupleIP, addresses), ctTupleProto, ports)
}

func nested(b []byte, kind uint16, value []byte) []byte {
	return netlink.AppendAttribute(b, kind|unix.NLA_F_NESTED, value)
}

// only80 allows only port 80.
func only80(f flow.Flow) rule.Verdict {
	if f.DstPort == 80 {
		return rule.Allow
	}
	return rule.Deny
}

// dropTime is the time after which a probe without a reply counts as dropped.
const dropTime = 300 * time.Millisecond

// restart restarts the engine with another failure policy.
func (s *fixture) restart(policy ruleset.FailurePolicy) {
	s.t.Helper()
	if err := s.engine.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.config.FailurePolicy = policy
	s.start(only80)
}

// isFull fails the test unless the conntrack table of the node is full.
func (s *fixture) isFull() {
	s.t.Helper()
	if got := s.status().Conntrack; got.Max == 0 || got.Entries < got.Max {
		s.t.Fatalf("conntrack table: %+v, want it full", got)
	}
}

// TestConntrackTableFull fills the conntrack table of a node. While the table is full, the kernel
// drops the first packet of every tracked connection. Open connections continue and are
// re-evaluated. When entries have expired, new connections work again. The failure policy is Open, so
// that the kernel would accept a packet if it reached a queue but no worker evaluated it.
func TestConntrackTableFull(t *testing.T) {
	s := newFixture(t, ruleset.Drop, only80)
	s.restart(ruleset.FailOpen)
	atNode := s.serveHost(s.node.Host, flow.TCP, like4, 80)
	other := s.serve(s.one, flow.TCP, like4, 80)
	open4, open6 := s.serve(s.two, flow.TCP, like4, 80), s.serve(s.two, flow.TCP, like6, 80)
	datagrams, denied := s.serve(s.two, flow.UDP, like4, 80), s.serve(s.two, flow.UDP, like4, 81)
	closed := s.serve(s.two, flow.UDP, like4, 82)
	accepted4, accepted6 := s.dial(s.one, open4), s.dial(s.one, open6)
	f := s.newFiller()
	f.fill()
	s.isFull()

	for _, c := range []struct {
		what     string
		from     *lab.Host
		protocol flow.Protocol
		to       netip.AddrPort
	}{
		{"allowed by a policy", s.one.Host, flow.TCP, open4},
		{"allowed by a policy, IPv6", s.one.Host, flow.TCP, open6},
		{"allowed by a policy, UDP", s.one.Host, flow.UDP, datagrams},
		{"denied by a policy", s.one.Host, flow.UDP, denied},
		{"to a pod that is not isolated", s.two.Host, flow.TCP, other},
		{"to the node", s.one.Host, flow.TCP, atNode},
		{"from the node", s.node.Host, flow.TCP, open4},
	} {
		if got, err := c.from.Probe(t.Context(), c.protocol, netip.Addr{}, c.to, dropTime); err != nil || got == lab.Connected {
			t.Errorf("a new connection %s: %s, %v; want it dropped", c.what, got, err)
		}
	}
	if got := s.status().Verdicts.Packets; got != 2 {
		t.Errorf("%d packets were evaluated, want only those of the 2 open connections", got)
	}

	s.use(deny)
	if err := accepted4.SetDeadline(time.Now().Add(dropTime)); err != nil {
		t.Fatal(err)
	}
	if err := lab.Download(accepted4, 1<<10); err == nil {
		t.Errorf("a connection that generation %d denies continues", s.number)
	}
	s.use(only80)
	extend(t, accepted4)
	if _, err := accepted4.Read(make([]byte, 1)); err != nil {
		t.Errorf("a connection that is allowed again does not continue: %v", err)
	}
	extend(t, accepted6)
	if err := lab.Download(accepted6, 1<<20); err != nil {
		t.Errorf("an open connection does not continue: %v", err)
	}

	s.isFull()
	nft(s, `table ip untracked {
	chain prerouting {
		type filter hook prerouting priority raw
		udp dport 80-81 notrack
		udp sport 80-81 notrack
	}
}`)
	if got := s.probe(s.one.Host, flow.UDP, datagrams); got != lab.Connected {
		t.Errorf("untracked packets that a policy allows: %s, want them accepted", got)
	}
	if got := s.probe(s.one.Host, flow.UDP, denied); got != lab.TimedOut {
		t.Errorf("untracked packets that a policy denies: %s, want them dropped", got)
	}

	s.isFull()
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.one.Probe(t.Context(), flow.UDP, netip.Addr{}, closed, dropTime); err != nil || got == lab.Connected {
		t.Errorf("a new connection while no worker runs: %s, %v; want it dropped", got, err)
	}
	f.expire()
	s.start(only80)
	eventually.True(t, "new connections work after entries have expired", func() bool {
		return s.probe(s.one.Host, flow.TCP, open4) == lab.Connected
	})
}

// TestUnassuredEntriesAreReplaced fills the conntrack table of a node so that every fourth entry is
// not assured. The kernel deletes such entries to make room for new connections.
func TestUnassuredEntriesAreReplaced(t *testing.T) {
	s := newFixture(t, ruleset.Drop, only80)
	at := s.serve(s.two, flow.TCP, like4, 80)
	f := s.newFiller()
	f.fill()
	n := f.created / batch / 4
	f.free(n)
	f.addUnassured(n)
	s.isFull()
	// The kernel inspects only a few buckets of its hash table for each packet. So a packet can be
	// dropped although there are entries that are not assured.
	eventually.True(t, "a new connection works", func() bool {
		return s.probe(s.one.Host, flow.TCP, at) == lab.Connected
	})
}

// TestDeniedFlowsDoNotFillTheConntrackTable sends the first packets of many denied flows while the
// conntrack table of a node has room for only a few more entries. The flows must leave no entries.
func TestDeniedFlowsDoNotFillTheConntrackTable(t *testing.T) {
	const rounds, perRound = 30, batch / 4
	for _, how := range []ruleset.Deny{ruleset.Drop, ruleset.Reject} {
		t.Run(string(how), func(t *testing.T) {
			s := newFixture(t, how, only80)
			at := s.serve(s.two, flow.TCP, like4, 80)
			f := s.newFiller()
			f.fill()
			f.free(1)
			before := s.status()
			for round := range rounds {
				for n := range perRound {
					s.sendDenied(uint16(1024 + round*perRound + n))
				}
				want := before.Verdicts.Denied + uint64(3*perRound*(round+1))
				eventually.True(t, "all flows are denied", func() bool { return s.status().Verdicts.Denied == want })
			}
			eventually.True(t, "no denied flow has an entry", func() bool {
				return s.status().Conntrack.Entries <= before.Conntrack.Entries
			})
			if got := s.probe(s.one.Host, flow.TCP, at); got != lab.Connected {
				t.Errorf("an allowed connection after %d denied flows: %s", 3*rounds*perRound, got)
			}
		})
	}
}

// sendDenied sends the first packets of three flows from pod one to pod two. The function only80
// denies these flows.
func (s *fixture) sendDenied(port uint16) {
	s.t.Helper()
	for _, like := range []netip.Addr{like4, like6} {
		from, _ := s.one.Address(like)
		to, _ := s.two.Address(like)
		if err := s.one.SendTCP(netip.AddrPortFrom(from, port), netip.AddrPortFrom(to, 81), lab.SYN); err != nil {
			s.t.Fatal(err)
		}
	}
	to, _ := s.two.Address(like4)
	header := binary.BigEndian.AppendUint16(nil, port)
	header = binary.BigEndian.AppendUint16(header, 81)
	// The length of the datagram is 8. The checksum 0 means that there is no checksum.
	header = append(header, 0, 8, 0, 0)
	if err := s.one.SendRaw(flow.UDP, to, header); err != nil {
		s.t.Fatal(err)
	}
}
