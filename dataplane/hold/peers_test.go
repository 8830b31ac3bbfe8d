package hold

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

var (
	peer     = netip.MustParseAddr("10.244.2.2")
	peer6    = netip.MustParseAddr("fd00:10:244:2::2")
	podRange = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/48")}
)

// peersOf is an evaluator for a tree that isolates pod lab/local and allows only the given
// peers.
type peersOf []netip.Addr

func (p peersOf) Evaluate(f flow.Flow) rule.Decision {
	side := func(end, peer netip.Addr) rule.Side {
		switch {
		case end != local && end != local6:
			return rule.Side{Verdict: rule.Allow, Reason: rule.Elsewhere}
		case slices.Contains(p, peer):
			return rule.Side{Verdict: rule.Allow, Reason: rule.Matched}
		}
		return rule.Side{Reason: rule.NoRuleMatched}
	}
	return rule.Decision{Egress: side(f.Src, f.Dst), Ingress: side(f.Dst, f.Src)}
}

func newPeerBench(t *testing.T) *bench {
	b := newBench(t)
	b.peers.SetRanges(report.PodRanges{Cluster: podRange})
	b.now = time.Now() // The workers compare with this clock.
	b.evaluate()
	return b
}

// evaluate makes the table evaluate packets with a tree that allows only the given peers.
func (b *bench) evaluate(allowed ...netip.Addr) {
	b.evaluator = peersOf(allowed)
	b.setRoom()
}

// move adds a packet to the table, as if a worker had denied the packet and moved it to the
// hold queue.
func (b *bench) move(f flow.Flow) string {
	b.next++
	o, ended := b.add(&held{id: b.next, flow: f, in: eth0, out: podLink, forPeer: true}, b.now)
	if !ended {
		return "held"
	}
	return text(o)
}

func TestPeersAreHeldUntilATreeAllowsThem(t *testing.T) {
	for _, f := range []flow.Flow{tcp(peer, local), udp(peer, local), tcp(local, peer), udp(peer6, local6), tcp(local6, peer6)} {
		for _, delay := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 999 * time.Millisecond} {
			b := newPeerBench(t)
			b.want(b.move(f), "held")
			b.want(b.after(delay), "[]")
			b.evaluate(peer, peer6)
			b.want(b.after(0), fmt.Sprintf("[1: release %d after %s]", peerAllowed, delay))
			b.want(b.counts.PeersAllowed, "1")
			b.want(b.peers.Holds(peer), "true")
		}
	}
}

func TestADeniedPeerWaitsOnce(t *testing.T) {
	b := newPeerBench(t)
	b.want(b.move(tcp(peer, local)), "held")
	at, _ := b.table.next()
	b.want(at.Sub(b.now), "1s")
	b.want(b.after(time.Second), fmt.Sprintf("[1: release %d after 1s]", peerDenied))
	b.want(b.counts.PeersDenied, "1")
	b.want(b.peers.Holds(peer), "false")
	b.want(b.peers.Holds(peer6), "true")
	b.peers.deny(peer, b.now.Add(-deniedTime-2*time.Second))
	b.want(b.peers.Holds(peer), "true")
}

func TestTheLimitAppliesToPeers(t *testing.T) {
	b := newPeerBench(t)
	b.limit = 300 * time.Millisecond
	b.want(b.move(tcp(peer, local)), "held")
	b.want(b.after(300*time.Millisecond), fmt.Sprintf("[1: release %d after 300ms]", peerDenied))
}

// A packet leaves the hold queue at once if the tree in use does not deny it, if no agent is
// running, or if there is no evaluator.
func TestPeersThatAreNotHeld(t *testing.T) {
	tests := map[string]struct {
		prepare func(*bench)
		flow    flow.Flow
		want    cause
	}{
		"the tree has changed since the worker used it": {func(b *bench) { b.evaluate(peer) }, tcp(peer, local), peerAllowed},
		"no pod of the node denies it":                  {func(*bench) {}, tcp(peer, fresh), peerAllowed},
		"no agent runs":                                 {func(b *bench) { b.agentGone = true }, tcp(peer, local), peerDenied},
		"no evaluator":                                  {func(b *bench) { b.evaluator = nil }, tcp(peer, local), peerDenied},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newPeerBench(t)
			c.prepare(b)
			b.want(b.move(c.flow), fmt.Sprintf("release %d after 0s", c.want))
		})
	}
}

func TestHeldPeersLeaveWhenTheAgentEnds(t *testing.T) {
	b := newPeerBench(t)
	b.want(b.move(tcp(peer, local)), "held")
	b.agentGone = true
	b.want(b.after(0), fmt.Sprintf("[1: release %d after 0s]", peerDenied))
	b.want(b.peers.Holds(peer6), "false")
	b.agentGone = false
	b.want(b.after(0), "[]")
	b.want(b.peers.Holds(peer6), "true")
}

func TestRepetitionsOfAPeerAreDropped(t *testing.T) {
	b := newPeerBench(t)
	f, u := tcp(peer, local), udp(peer, local)
	b.want(b.move(f), "held")
	b.want(b.move(f), fmt.Sprintf("drop %d after 0s", repeated))
	b.want(b.move(u), "held")
	b.want(b.move(u), "held")
}

func TestPeersTakeNoRoomOfLocalPods(t *testing.T) {
	b := newPeerBench(t)
	for range maxPerAddress {
		b.want(b.move(udp(peer, local)), "held")
	}
	b.want(b.move(udp(peer, local)), fmt.Sprintf("release %d after 0s", peerOverLimit))
	b.want(b.peers.Holds(peer), "false")
	for i := range maxPeers - maxPerAddress {
		b.want(b.peers.Holds(peer6), "true")
		b.want(b.move(udp(netip.AddrFrom4([4]byte{10, 244, 3, byte(i)}), local)), "held")
	}
	b.want(b.peers.Holds(peer6), "false")
	b.want(b.move(udp(peer6, local6)), fmt.Sprintf("release %d after 0s", peerOverLimit))
	b.want(b.counts.PeersOverLimit, "2")
	for range 2 {
		for i := range maxGrace / 2 {
			b.want(b.arrive(udp(netip.AddrFrom4([4]byte{172, 17, byte(b.next), byte(i)}), outside), docker, eth0), "held")
		}
	}
	b.after(peerLimit)
	b.want(len(b.waiting), "0")
	b.want(b.peers.Holds(netip.MustParseAddr("10.244.9.9")), "true")
}

func TestDeniedPeersAreBounded(t *testing.T) {
	p := NewPeers()
	p.closed.Store(false)
	p.SetRanges(report.PodRanges{Cluster: podRange})
	now := time.Now()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}) }
	for i := range maxDenied + 10 {
		p.deny(address(i), now.Add(time.Duration(i)))
	}
	if n := len(*p.denied.Load()); n != maxDenied {
		t.Errorf("%d peers, want %d", n, maxDenied)
	}
	if !p.Holds(address(9)) || p.Holds(address(10)) || p.Holds(address(maxDenied+9)) {
		t.Error("the wrong peers were forgotten")
	}
}

func TestOnlyAddressesInPodRangesAreHeld(t *testing.T) {
	p := NewPeers()
	if p.Holds(peer) {
		t.Error("held without ranges")
	}
	p.closed.Store(false)
	p.SetRanges(report.PodRanges{Cluster: podRange})
	for address, want := range map[netip.Addr]bool{peer: true, peer6: true, outside: false, netip.MustParseAddr("fd00:10:245::1"): false} {
		if p.Holds(address) != want {
			t.Errorf("%s: held %t", address, !want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { p.Holds(peer) }); n > 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

// If there are no CNI results, the pod ranges of the node determine which addresses may belong
// to pods.
func TestHoldWithoutCNIResults(t *testing.T) {
	b := newBench(t)
	b.setSandboxes(report.Sandboxes{})
	b.peers.SetRanges(report.PodRanges{Node: podRange})
	b.want(b.arrive(tcp(fresh, outside), newPodLink, eth0), "held")
	b.want(b.arrive(udp(local, fresh6), podLink, newPodLink), "held")
	// The address is outside the ranges, or the interface leads to a pod of the tree.
	b.want(b.arrive(tcp(other, outside), docker, eth0), "release 1 after 0s")
	b.want(b.arrive(tcp(fresh, outside), podLink, eth0), "release 1 after 0s")
	b.want(b.arrive(tcp(fresh, local), eth0, podLink), "release 0 after 0s")
	b.want(b.after(time.Second), "[]")
	b.known[fresh] = "lab/fresh"
	b.want(b.after(0), "[1: release 0 after 1s]")
	b.want(b.after(2*time.Second), "[2: drop 2 after 3s]")
}
