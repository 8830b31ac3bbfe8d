package hold

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

const (
	// peerLimit is the longest time for which a packet from or to an unknown pod on another node
	// is held.
	peerLimit = time.Second
	// deniedTime is the time for which packets from and to a denied peer are not held again.
	deniedTime = 10 * time.Second
	// maxDenied is the largest number of denied peers that are stored.
	maxDenied = 512
	// maxPeers is the largest number of packets from and to pods on other nodes that are held at
	// the same time. These packets do not count toward maxHeld.
	maxPeers = 256
)

// Peers decides whether a worker moves a denied packet to the hold queue. A worker moves a
// packet if its source or destination address may belong to a new pod on another node that the
// tree in use does not contain yet. Peers is safe for concurrent use.
type Peers struct {
	ranges atomic.Pointer[report.PodRanges]
	// closed is set while no packet can be held.
	closed atomic.Bool
	// denied maps the address of a denied peer to a time. Until this time, packets from and to the
	// peer are denied at once instead of being held. A stored map is never changed.
	denied atomic.Pointer[map[netip.Addr]time.Time]
	// mu serializes deny.
	mu sync.Mutex
}

// NewPeers returns a Peers without pod ranges. No packet is held until a Holder uses the
// returned Peers.
func NewPeers() *Peers {
	p := &Peers{}
	p.ranges.Store(&report.PodRanges{})
	p.closed.Store(true)
	return p
}

// SetRanges replaces the pod ranges. The caller must not change the slices in ranges
// afterwards.
func (p *Peers) SetRanges(ranges report.PodRanges) { p.ranges.Store(&ranges) }

// Follow uses the pod ranges that the agent publishes in a state directory, until the context
// ends. If published ranges are not valid, Follow logs an error, and the previous ranges stay
// in use.
func (p *Peers) Follow(ctx context.Context, stateDir string, log logr.Logger) error {
	return statedir.WatchPodRanges(ctx, stateDir, func(r report.PodRanges, err error) {
		if err != nil {
			log.Error(err, "the published pod ranges cannot be used; the previous ones stay in use")
			return
		}
		log.Info("using the pod ranges of the cluster and of the node", "cluster", r.Cluster, "node", r.Node)
		p.SetRanges(r)
	})
}

// Holds reports whether a denied packet must be held. The `peer` parameter is the source or
// destination address that may belong to a pod of another node. All workers call Holds
// concurrently, so it neither allocates memory nor waits.
func (p *Peers) Holds(peer netip.Addr) bool {
	return !p.closed.Load() && p.inRange(peer) && !p.isDenied(peer)
}

func (p *Peers) inRange(peer netip.Addr) bool {
	ranges := p.ranges.Load().Cluster
	for i := range ranges {
		if ranges[i].Contains(peer) {
			return true
		}
	}
	return false
}

func (p *Peers) isDenied(peer netip.Addr) bool {
	denied := p.denied.Load()
	if denied == nil {
		return false
	}
	until, ok := (*denied)[peer]
	return ok && time.Now().Before(until)
}

// deny ensures that for the next deniedTime, packets of a peer are denied at once instead of being
// held. If maxDenied peers are already stored, deny replaces the peer whose time ends first.
func (p *Peers) deny(peer netip.Addr, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	denied := map[netip.Addr]time.Time{}
	if before := p.denied.Load(); before != nil {
		denied = maps.Clone(*before)
	}
	if _, ok := denied[peer]; !ok && len(denied) >= maxDenied {
		maps.DeleteFunc(denied, func(_ netip.Addr, until time.Time) bool { return !now.Before(until) })
		if len(denied) >= maxDenied {
			delete(denied, oldest(denied))
		}
	}
	denied[peer] = now.Add(deniedTime)
	p.denied.Store(&denied)
}

func oldest(denied map[netip.Addr]time.Time) netip.Addr {
	var oldest netip.Addr
	for a, until := range denied {
		if !oldest.IsValid() || until.Before(denied[oldest]) {
			oldest = a
		}
	}
	return oldest
}

// inRange reports whether an address is in a pod range of the node.
func (t *table) inRange(a netip.Addr) bool {
	return slices.ContainsFunc(t.peers.ranges.Load().Node, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mayBePod reports whether an unknown address may belong to a pod of this node. If so, packets
// of the address wait for a tree that contains the address.
func (t *table) mayBePod(a netip.Addr) bool {
	if !t.available {
		return t.inRange(a)
	}
	owner, named := t.sandboxes[a]
	return named && owner.first
}

// considerPeer decides whether a packet stays in the hold queue after a worker has denied it. The
// packet stays as long as a later tree may still allow it. If the packet leaves the queue,
// considerPeer returns the cause.
func (t *table) considerPeer(p *held, now time.Time) (why cause, waits bool) {
	p.until, p.waitsFor = p.arrived.Add(min(t.limit, peerLimit)), p.waitsFor[:0]
	if t.evaluator == nil {
		return peerDenied, false
	}
	peer, denied := t.evaluator.Evaluate(p.flow).DeniedPeer(p.flow)
	if !denied {
		return peerAllowed, false
	}
	p.waitsFor = append(p.waitsFor, peer)
	return peerDenied, !t.agentGone && now.Before(p.until)
}

// endPeer counts a packet that a worker moved to the hold queue and that now leaves this queue.
func (t *table) endPeer(p *held, why cause, now time.Time) {
	switch why {
	case peerAllowed:
		t.counts.PeersAllowed++
	case peerDenied:
		t.counts.PeersDenied++
	case peerOverLimit:
		t.counts.PeersOverLimit++
	}
	// If the tree in use still denies the packet, a worker denies it again after its release.
	// Call deny, so that the worker does not move the packet to the hold queue a second time.
	if why != peerAllowed {
		for _, peer := range p.waitsFor {
			t.peers.deny(peer, now)
		}
	}
}

// setRoom determines whether workers may move packets to the hold queue. Workers must not move
// packets if there is no evaluator, if no agent is running, or if maxPeers packets of pods of
// other nodes are already held.
func (t *table) setRoom() {
	t.peers.closed.Store(t.evaluator == nil || t.agentGone || t.heldPeers >= maxPeers)
}
