package hold

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/internal/trigger"
)

// Config has the parameters of a holder.
type Config struct {
	// Queue is the number of the hold queue.
	Queue uint16
	Marks ruleset.Marks
	// Limit is the longest time for which a packet of an unknown pod is held.
	Limit    time.Duration
	FailOpen bool
	// Peers is shared with the workers that move packets to the hold queue.
	Peers *Peers
	// Events receives the decisions of the holder. It may be nil.
	Events Events
}

// Events receives the decisions of a holder.
type Events interface {
	// Released is called before a held packet is released.
	Released(f flow.Flow, held time.Duration)
	// Unknown is called when the failure policy decides about a packet. After a call, it is not
	// called again for the same unknown address for 30 seconds.
	Unknown(f flow.Flow, held time.Duration)
}

const (
	// copyRange is the number of bytes of each packet that the kernel copies to user space.
	copyRange = 256
	// kernelLimit is the largest number of packets in the queue. It is larger than maxHeld, so
	// that the holder, and not the kernel, decides when too many packets are held.
	kernelLimit = 2 * maxHeld
	// receiveBuffer is the size in bytes of the socket's receive buffer.
	receiveBuffer = 4 << 20
)

// Holder serves a hold queue. It is safe for concurrent use.
type Holder struct {
	config  Config
	nf      *nfqueue.Nfqueue
	cancel  context.CancelFunc
	learned trigger.Trigger
	failed  chan error

	// mu guards the fields below.
	mu    sync.Mutex
	table *table
	// timer expires when the table must check again whether a held packet still waits.
	timer  *time.Timer
	closed bool

	// decoder is used by go-nfqueue's goroutine only.
	decoder packet.Decoder
}

// Open binds the hold queue in the network namespace of the calling thread and starts to serve
// it. Until the first call of SetTree, all pods are unknown.
func Open(config Config) (*Holder, error) {
	flags := uint32(nfqueue.NfQaCfgFlagGSO)
	if config.FailOpen {
		flags |= nfqueue.NfQaCfgFlagFailOpen
	}
	nf, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      config.Queue,
		MaxQueueLen:  kernelLimit,
		MaxPacketLen: copyRange,
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        flags,
		AfFamily:     unix.AF_INET,
	})
	if err != nil {
		return nil, fmt.Errorf("opening hold queue %d: %w", config.Queue, err)
	}
	h := &Holder{
		config: config, nf: nf, learned: trigger.New(), failed: make(chan error, 1), table: newTable(config.Limit, config.FailOpen, config.Peers),
	}
	h.table.setRoom()
	h.timer = time.AfterFunc(time.Hour, h.expire)
	h.timer.Stop()
	// With the option NoENOBUFS, a full socket buffer does not make go-nfqueue stop. The
	// kernel counts the lost packets.
	err = errors.Join(nf.SetOption(netlink.NoENOBUFS, true), nf.Con.SetReadBuffer(receiveBuffer))
	if err == nil {
		var ctx context.Context
		ctx, h.cancel = context.WithCancel(context.Background())
		err = nf.RegisterWithErrorFunc(ctx, h.receive, func(err error) int { return h.fail(ctx, err) })
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("binding hold queue %d: %w", config.Queue, err), nf.Con.Close())
	}
	return h, nil
}

// Failed returns a channel that receives an error if the holder can no longer serve its
// queue.
func (h *Holder) Failed() <-chan error { return h.failed }

// Learned returns a channel that receives a value when LearnedLinks has changed.
func (h *Holder) Learned() <-chan struct{} { return h.learned.C() }

// LearnedLinks returns the indexes of the interfaces that the holder has found to lead to no
// pod.
func (h *Holder) LearnedLinks() []uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.table.learned))
}

// SetTree sets the pods of the tree in use. The `pods` map contains the name of each pod by
// address. Call SetTree after the rules have been changed, so that the released packets are
// evaluated with the new tree.
func (h *Holder) SetTree(pods map[netip.Addr]string) {
	h.change(func(t *table) { t.known = pods })
}

// SetEvaluator replaces the evaluator for packets that a worker has denied. Call it after the
// workers have switched to this evaluator, so that they evaluate the released packets with it.
// After SetEvaluator or Close has returned, the holder no longer uses the previous evaluator.
func (h *Holder) SetEvaluator(evaluator rule.Evaluator) {
	h.change(func(t *table) {
		if !h.closed {
			t.evaluator = evaluator
		}
	})
}

// SetLinks replaces the interfaces of the node.
func (h *Holder) SetLinks(interfaces []link.Interface) {
	h.change(func(t *table) { t.links = linksOf(interfaces) })
}

// SetSandboxes replaces the sandboxes of the node.
func (h *Holder) SetSandboxes(s report.Sandboxes) {
	h.change(func(t *table) {
		if s.Available != t.available {
			// While no CNI results are available, the table may learn an interface that does lead
			// to an unknown pod. So forget the learned interfaces whenever the availability
			// changes.
			clear(t.learned)
		}
		t.setSandboxes(s)
	})
}

// SetAgentGone records whether the node has no running agent. Without an agent, no further tree is
// published.
func (h *Holder) SetAgentGone(gone bool) { h.change(func(t *table) { t.agentGone = gone }) }

// Disputed returns the addresses in the `pods` map that belong to another pod according to the CNI
// results. The holder does not treat these addresses as known.
func (h *Holder) Disputed(pods map[netip.Addr]string) []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.disputed(pods)
}

// Status returns the counters and the state of the holder.
func (h *Holder) Status() report.Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.table.counts
	s.Limit, s.Waiting = h.config.Limit, len(h.table.waiting)
	s.CNIResults, s.AgentGone = h.table.available, h.table.agentGone
	ranges := h.config.Peers.ranges.Load()
	s.PodRanges, s.NodePodRanges = len(ranges.Cluster) > 0, len(ranges.Node) > 0
	for index := range h.table.learned {
		s.Learned = append(s.Learned, h.table.links[index].Name)
	}
	slices.Sort(s.Learned)
	return s
}

// HandOver releases all held packets and clears Sluice's bits in their marks, so that the rules
// send packets of unknown pods to a hold queue again. Call HandOver after the rules have been
// changed to use another hold queue.
func (h *Holder) HandOver() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.table.waiting {
		h.send(p, nfqueue.NfRepeat, 0)
	}
	h.table.empty()
}

// Close unbinds the queue. It applies the failure policy to the held packets of unknown pods of
// this node, and denies the held packets of unknown pods of other nodes.
func (h *Holder) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.timer.Stop()
	for _, p := range h.table.waiting {
		switch {
		case p.forPeer:
			h.deny(p)
		case h.config.FailOpen:
			h.send(p, nfqueue.NfRepeat, h.config.Marks.Either)
		}
	}
	h.table.evaluator = nil
	h.table.setRoom()
	h.mu.Unlock()
	h.cancel()
	// The kernel drops the packets that are still in the queue.
	if err := h.nf.Close(); err != nil {
		return fmt.Errorf("closing hold queue %d: %w", h.config.Queue, err)
	}
	return nil
}

// change applies a change to the table, and then calls update.
func (h *Holder) change(apply func(*table)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	apply(h.table)
	h.update()
}

func (h *Holder) expire() { h.change(func(*table) {}) }

// update checks again which held packets still wait, and ends the wait of all other packets. The
// caller must hold mu.
func (h *Holder) update() {
	if h.closed {
		return
	}
	before := len(h.table.learned)
	for _, o := range h.table.update(time.Now()) {
		h.carryOut(o)
	}
	if len(h.table.learned) != before {
		h.learned.Set()
	}
	h.setTimer()
}

// setTimer sets the timer to the time at which the table must check again whether a held packet
// still waits.
func (h *Holder) setTimer() {
	if at, ok := h.table.next(); ok {
		h.timer.Reset(time.Until(at))
	} else {
		h.timer.Stop()
	}
}

// receive handles a packet that the kernel has queued. It always returns 0, because any other
// return value ends go-nfqueue's goroutine.
func (h *Holder) receive(a nfqueue.Attribute) int {
	if a.PacketID == nil {
		return 0
	}
	p := &held{id: *a.PacketID, mark: value(a.Mark), in: value(a.InDev), out: value(a.OutDev)}
	// When the rules send a packet to the hold queue, Sluice's bits of its mark are 0. A worker
	// moves only denied packets to the hold queue, and sets the bits of these packets to Denied.
	// So the bits show whether the rules or a worker sent the packet.
	p.forPeer = p.mark&h.config.Marks.Mask == h.config.Marks.Denied
	var readable bool
	if a.Payload != nil {
		p.flow, readable = h.flowOf(*a.Payload)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !readable {
		h.table.counts.Unreadable++
		h.send(p, nfqueue.NfDrop, 0)
		return 0
	}
	if h.closed && p.forPeer {
		h.deny(p)
		return 0
	}
	before := len(h.table.learned)
	if o, ended := h.table.add(p, time.Now()); ended {
		h.carryOut(o)
	} else {
		h.setTimer()
	}
	if len(h.table.learned) != before {
		h.learned.Set()
	}
	return 0
}

func value(p *uint32) uint32 {
	if p == nil {
		return 0
	}
	return *p
}

// flowOf returns the flow of a packet. If only the IP header can be decoded, the flow has no
// ports. If the data contains no complete IP header, flowOf returns false.
func (h *Holder) flowOf(data []byte) (flow.Flow, bool) {
	if p, fault := h.decoder.Decode(data); fault == packet.None {
		return p.Flow, true
	}
	switch {
	case len(data) >= 20 && data[0]>>4 == 4:
		return flow.Flow{
			Src: netip.AddrFrom4([4]byte(data[12:16])), Dst: netip.AddrFrom4([4]byte(data[16:20])), Protocol: flow.Protocol(data[9]),
		}, true
	case len(data) >= 40 && data[0]>>4 == 6:
		return flow.Flow{Src: netip.AddrFrom16([16]byte(data[8:24])), Dst: netip.AddrFrom16([16]byte(data[24:40]))}, true
	}
	return flow.Flow{}, false
}

// carryOut reports an outcome to the event handler and sends the verdict to the kernel.
func (h *Holder) carryOut(o outcome) {
	if h.config.Events != nil {
		switch {
		case o.first:
			h.config.Events.Unknown(o.flow, o.heldFor)
		case o.release && o.heldFor > 0:
			h.config.Events.Released(o.flow, o.heldFor)
		}
	}
	if o.release {
		// The rules do not send a packet with this mark to the hold queue again.
		h.send(o.held, nfqueue.NfRepeat, h.config.Marks.Either)
	} else {
		h.send(o.held, nfqueue.NfDrop, 0)
	}
}

// deny releases a packet with the mark Denied, so that the rules deny the packet without
// evaluating it again.
func (h *Holder) deny(p *held) { h.send(p, nfqueue.NfAccept, h.config.Marks.Denied) }

// send sends a verdict to the kernel. The `bits` parameter is the new value of Sluice's bits in
// the packet mark.
func (h *Holder) send(p *held, verdict int, bits uint32) {
	if err := h.nf.SetVerdictWithOption(p.id, verdict, nfqueue.WithMark(h.config.Marks.Set(p.mark, bits))); err != nil {
		h.table.counts.VerdictErrors++
	}
}

// fail handles an error that go-nfqueue returns while it reads packets. It returns 1 to end
// go-nfqueue's goroutine.
func (h *Holder) fail(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		return 1
	}
	// Continue after ENOENT, which means that the kernel no longer holds the packet for which a
	// verdict was sent, for example because the interface of the packet is gone.
	if errors.Is(err, unix.ENOENT) {
		h.mu.Lock()
		h.table.counts.VerdictErrors++
		h.mu.Unlock()
		return 0
	}
	h.failed <- fmt.Errorf("serving hold queue %d: %w", h.config.Queue, err)
	return 1
}
