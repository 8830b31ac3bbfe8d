package hold

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

const (
	// grace is the time for which a packet waits if the CNI results contain none of its unknown
	// addresses. During this time, the runtime may still write a CNI result with the address.
	grace = 300 * time.Millisecond
	// maxHeld is the largest number of held packets. If maxGrace packets are already held, another
	// packet is held only if it certainly belongs to a pod.
	maxHeld, maxGrace = 1024, 512
	// maxPerAddress is the largest number of held packets of one unknown address.
	maxPerAddress = 16
)

// held is a packet in the hold queue.
type held struct {
	// id identifies the packet in the queue.
	id uint32
	// mark is the packet mark. The verdict must preserve the bits that other programs have set
	// in the mark.
	mark uint32
	flow flow.Flow
	// The packet arrived on the interface with index `in` and leaves through the interface with
	// index `out`. Index 0 means that there is no such interface.
	in, out uint32
	arrived time.Time
	// until is the time of the next decision about the packet. If the state of the node changes
	// before this time, the `update` method makes the decision earlier.
	until time.Time
	// forPod is set if the packet waits for a tree that contains its pod. If neither forPod nor
	// forPeer is set, the packet waits only for the duration `grace`.
	forPod bool
	// forPeer is set if a worker has denied the packet because of an address that may belong to
	// a new pod of another node.
	forPeer bool
	// waitsFor contains the unknown addresses of the packet.
	waitsFor []netip.Addr
}

// cause is the reason why a packet leaves the hold queue.
type cause int

const (
	// known: the tree in use contains the pods of the source and of the destination.
	known cause = iota
	// notPod: an unknown address does not belong to a pod.
	notPod
	// timedOut: the time limit has passed.
	timedOut
	// noAgent: no agent is running, so no further tree is published.
	noAgent
	// overLimit: too many packets are held.
	overLimit
	// repeated: another packet of the same TCP connection is held.
	repeated
	// peerAllowed: the tree in use does not deny the packet, or the peer now belongs to a pod
	// of this node.
	peerAllowed
	// peerDenied: no tree that allows the packet has arrived in time.
	peerDenied
	// peerOverLimit: too many packets of pods of other nodes are held.
	peerOverLimit
)

// failed reports whether the failure policy applies to a packet that leaves the hold queue for
// this cause.
func (c cause) failed() bool { return c == timedOut || c == noAgent || c == overLimit }

// outcome is the verdict for a packet. The packet is either released or dropped.
type outcome struct {
	*held
	release bool
	cause   cause
	heldFor time.Duration
	// first is set if the failure policy applies to the packet and has not recently been
	// applied to another packet of the same unknown address.
	first bool
}

// table decides which packets wait in the hold queue. It is not safe for concurrent use.
type table struct {
	node
	// limit is the time limit for a packet of an unknown pod.
	limit    time.Duration
	failOpen bool

	waiting    []*held
	perAddress map[netip.Addr]int
	// `others` contains addresses that do not belong to a pod. `failures` contains the unknown
	// addresses of packets to which the failure policy was applied.
	others, failures recent
	// learned contains the interfaces that the table has found to lead to no pod.
	learned map[uint32]struct{}
	counts  report.Held

	// peers is shared with the workers. evaluator evaluates packets that a worker has denied.
	// Until the first call of SetEvaluator, and after Close, evaluator is nil. heldPeers is the
	// number of held packets that a worker has denied.
	peers     *Peers
	evaluator rule.Evaluator
	heldPeers int
}

func newTable(limit time.Duration, failOpen bool, peers *Peers) *table {
	return &table{
		peers: peers, limit: limit, failOpen: failOpen, perAddress: map[netip.Addr]int{},
		others: recent{}, failures: recent{}, learned: map[uint32]struct{}{},
	}
}

// add decides whether a new packet waits. It returns the outcome and true if the packet does
// not wait, and false if the packet is held.
func (t *table) add(p *held, now time.Time) (outcome, bool) {
	p.arrived = now
	why, waits := t.consider(p, now)
	switch {
	case !waits:
	case p.flow.Protocol == flow.TCP && slices.ContainsFunc(t.waiting, func(h *held) bool { return h.flow == p.flow }):
		why, waits = repeated, false
	case !t.hasRoom(p):
		why, waits = p.withoutRoom(), false
	}
	if waits {
		t.hold(p)
		return outcome{}, false
	}
	return t.end(p, why, now), true
}

// withoutRoom returns the cause for a packet that cannot be held because there is no room.
func (p *held) withoutRoom() cause {
	switch {
	case p.forPeer:
		return peerOverLimit
	case p.forPod:
		return overLimit
	default:
		// The packet waits only because it may belong to a pod. There is no room for the
		// packet, so assume that it belongs to no pod.
		return notPod
	}
}

// hasRoom reports whether another packet can be held.
func (t *table) hasRoom(p *held) bool {
	waiting, limit := len(t.waiting)-t.heldPeers, maxHeld
	switch {
	case p.forPeer:
		waiting, limit = t.heldPeers, maxPeers
	case !p.forPod:
		limit = maxGrace
	}
	return waiting < limit &&
		!slices.ContainsFunc(p.waitsFor, func(a netip.Addr) bool { return t.perAddress[a] >= maxPerAddress })
}

func (t *table) hold(p *held) {
	t.waiting = append(t.waiting, p)
	for _, a := range p.waitsFor {
		t.perAddress[a]++
	}
	if p.forPeer {
		t.heldPeers++
	}
	t.setRoom()
}

// update checks again which held packets still wait, in the order in which they arrived. It returns
// the outcomes of the packets that no longer wait. The caller must call update after each change of
// the `node` field, and at the time that t.next() returns.
func (t *table) update(now time.Time) []outcome {
	before := t.waiting
	t.empty()
	var out []outcome
	for _, p := range before {
		if why, waits := t.consider(p, now); waits {
			t.hold(p)
		} else {
			out = append(out, t.end(p, why, now))
		}
	}
	t.forgetLearned()
	t.setRoom()
	return out
}

// empty removes all held packets from the table.
func (t *table) empty() {
	t.waiting, t.heldPeers = nil, 0
	clear(t.perAddress)
}

// next returns the time at which the caller must call update, even if the `node` field does not
// change before. It returns false if no packet is held.
func (t *table) next() (at time.Time, ok bool) {
	for _, p := range t.waiting {
		if !ok || p.until.Before(at) {
			at, ok = p.until, true
		}
	}
	return at, ok
}

// consider decides whether a packet waits. If the packet does not wait, consider returns the
// cause.
func (t *table) consider(p *held, now time.Time) (why cause, waits bool) {
	if p.forPeer {
		return t.considerPeer(p, now)
	}
	p.forPod, p.until, p.waitsFor = false, time.Time{}, p.waitsFor[:0]
	for _, end := range []struct {
		address netip.Addr
		link    uint32
	}{{p.flow.Src, p.in}, {p.flow.Dst, p.out}} {
		if end.link == 0 || t.isKnown(end.address) || t.links[end.link].Uplink {
			continue
		}
		a := t.considerAddress(end.address, end.link, p.arrived, now)
		switch {
		case a.why.failed():
			return a.why, false
		case a.until.IsZero():
			why = a.why
			continue
		case p.until.IsZero() || a.until.Before(p.until):
			p.until = a.until
		}
		p.forPod = p.forPod || a.forPod
		p.waitsFor = append(p.waitsFor, end.address)
	}
	return why, len(p.waitsFor) > 0
}

// answer is the decision about the packets of an unknown address. If `until` is not zero, the
// packets wait until that time at most. Otherwise they do not wait.
type answer struct {
	until  time.Time
	forPod bool
	why    cause
}

// considerAddress decides about packets of an unknown address on an interface that may lead
// to a pod. arrived is the time at which the packet arrived.
func (t *table) considerAddress(a netip.Addr, index uint32, arrived, now time.Time) answer {
	owner, named := t.sandboxes[a]
	l, exists := t.links[index]
	_, learned := t.learned[index]
	switch {
	case named && owner.first:
		return t.waitForPod(arrived, now)
	case named:
		return answer{why: notPod}
	case learned:
		return answer{why: notPod}
	case !exists, !t.read:
		// The interface or the CNI results have not been read yet, so wait.
		return waitUntil(arrived.Add(grace), now)
	case !t.available && t.inRange(a) && (!l.ToPod || l.Shared):
		return t.waitForPod(arrived, now)
	case !t.available:
		t.learn(index)
		return answer{why: notPod}
	case l.ToPod && !l.Shared, t.others.contains(a, now):
		return answer{why: notPod}
	}
	wait := waitUntil(arrived.Add(grace), now)
	if wait.until.IsZero() {
		t.others.add(a, now)
		t.learn(index)
	}
	return wait
}

// waitUntil returns the answer for a packet that may or may not belong to a pod.
func waitUntil(until, now time.Time) answer {
	if !now.Before(until) {
		return answer{why: notPod}
	}
	return answer{until: until}
}

// waitForPod returns the answer for a packet of a pod that the tree in use does not contain.
func (t *table) waitForPod(arrived, now time.Time) answer {
	until := arrived.Add(t.limit)
	switch {
	case t.agentGone && t.known != nil:
		return answer{why: noAgent}
	case !now.Before(until):
		return answer{why: timedOut}
	}
	return answer{until: until, forPod: true}
}

// learn adds an interface to learned, unless the interface leads to a pod.
func (t *table) learn(index uint32) {
	if t.canLearn(index) {
		t.learned[index] = struct{}{}
	}
}

// forgetLearned removes an interface from learned if it no longer exists, leads to a pod, or
// has become an uplink.
func (t *table) forgetLearned() {
	for index := range t.learned {
		if !t.canLearn(index) {
			delete(t.learned, index)
		}
	}
}

// end returns the outcome for a packet that no longer waits or was never held. It also
// increases the counter for the cause.
func (t *table) end(p *held, why cause, now time.Time) outcome {
	o := outcome{held: p, cause: why, heldFor: now.Sub(p.arrived)}
	switch why {
	case known:
		t.counts.Released++
	case notPod:
		t.counts.NotPods++
	case timedOut:
		t.counts.TimedOut++
	case noAgent:
		t.counts.NoAgent++
	case overLimit:
		t.counts.OverLimit++
	case repeated:
		t.counts.Repeated++
	default:
		t.endPeer(p, why, now)
	}
	o.release = !why.failed() && why != repeated || why.failed() && t.failOpen
	if why.failed() {
		o.first = t.isFirstFailure(p, now)
	}
	return o
}

// isFirstFailure reports whether an unknown address of the packet meets two conditions: it may
// belong to a pod, and the failure policy has not recently been applied to another packet of
// this address.
func (t *table) isFirstFailure(p *held, now time.Time) bool {
	first := false
	for _, end := range []netip.Addr{p.flow.Src, p.flow.Dst} {
		if t.isKnown(end) || t.failures.contains(end, now) {
			continue
		}
		if t.mayBePod(end) && t.failures.add(end, now) {
			first = true
		}
	}
	return first
}
