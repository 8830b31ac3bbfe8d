package queue

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// At most ringSize events in each gatherInterval are told, some 10,000 a
// second. More are counted as missed.
const (
	ringSize       = 512
	gatherInterval = 50 * time.Millisecond
	// listenerSize is how many events wait for a listener.
	listenerSize = 1024
)

// Events tells what workers decide, packet by packet, to those who listen.
//
// While nobody listens it costs a worker one atomic read for each batch. While
// somebody does, a worker puts each event into a ring and never waits: a full
// ring loses it. Events get their names later, on a goroutine of their own, yet
// before the judge that decided them is given up.
type Events struct {
	interest atomic.Uint32
	ring     chan record
	missed   atomic.Uint64

	// mu is held from taking an event out of the ring until it has its names.
	mu        sync.Mutex
	listeners map[*Listener]struct{}
	stop      chan struct{}
}

// What listeners want, the more the larger.
const (
	nothing uint32 = iota
	refusals
	everything
)

// record is an event without names.
type record struct {
	at       time.Time
	flow     flow.Flow
	decision rule.Decision
	outcome  Outcome
	fault    packet.Fault
	judge    rule.Evaluator
}

// Outcome is what a packet's verdict came to.
type Outcome string

// The outcomes. MidStream is of a TCP packet that opens nothing and is allowed
// only in the orientation that is not its own: it is refused where connection
// tracking saw the connection's beginning; or of an ICMP error about a packet to
// its sender, which is dropped where connection tracking knows no such
// connection. Unreadable packets are dropped.
const (
	Allow      Outcome = "Allow"
	Deny       Outcome = "Deny"
	MidStream  Outcome = "MidStream"
	Unreadable Outcome = "Unreadable"
)

// Event is one packet's verdict.
type Event struct {
	Time    time.Time `json:"time"`
	Outcome Outcome   `json:"verdict"`
	// Fault says why a packet could not be read; everything below but Missed is
	// then empty.
	Fault string `json:"fault,omitempty"`

	Protocol string     `json:"protocol,omitempty"`
	Src      netip.Addr `json:"src,omitzero"`
	Dst      netip.Addr `json:"dst,omitzero"`
	// Ports are 0 where the protocol has none.
	SrcPort uint16 `json:"srcPort,omitzero"`
	DstPort uint16 `json:"dstPort,omitzero"`
	// SrcPod and DstPod are "namespace/name" where the end is a pod of this node.
	SrcPod string `json:"srcPod,omitempty"`
	DstPod string `json:"dstPod,omitempty"`
	// Egress and Ingress are the sides that this node judged.
	Egress  *EventSide `json:"egress,omitempty"`
	Ingress *EventSide `json:"ingress,omitempty"`

	// Missed is how many events there were since the one before that this
	// listener did not get. It may count some that it did not want.
	Missed uint64 `json:"missed,omitzero"`
}

// EventSide is the verdict of one end's policies.
type EventSide struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Policy and Rule are the rule that decided, Rule its place in the policy's
	// list for the direction; nil where none did.
	Policy string `json:"policy,omitempty"`
	Rule   *int   `json:"rule,omitempty"`
	// IsolatedBy are the policies that isolate the pod in this direction.
	IsolatedBy []string `json:"isolatedBy,omitempty"`
}

// NewEvents makes a place to listen at.
func NewEvents() *Events {
	return &Events{ring: make(chan record, ringSize), listeners: map[*Listener]struct{}{}}
}

// Listener gets events until it is closed.
type Listener struct {
	// C has the events. A listener that does not read misses some.
	C        <-chan Event
	c        chan Event
	events   *Events
	interest uint32
	missed   uint64
}

// Listen begins to listen, to all events or only to those that are not a plain
// Allow.
func (e *Events) Listen(refusedOnly bool) *Listener {
	l := &Listener{c: make(chan Event, listenerSize), events: e, interest: everything}
	l.C = l.c
	if refusedOnly {
		l.interest = refusals
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners[l] = struct{}{}
	if e.stop == nil {
		e.missed.Store(0)
		e.stop = make(chan struct{})
		go e.gather(e.stop)
	}
	e.count()
	return l
}

// Close ends listening.
func (l *Listener) Close() {
	e := l.events
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.listeners, l)
	e.count()
	if len(e.listeners) == 0 && e.stop != nil {
		close(e.stop)
		e.stop = nil
	}
}

// count finds out what all listeners together want.
func (e *Events) count() {
	most := nothing
	for l := range e.listeners {
		most = max(most, l.interest)
	}
	e.interest.Store(most)
}

// wanted says what is worth telling. Nil events are never.
func (e *Events) wanted() uint32 {
	if e == nil {
		return nothing
	}
	return e.interest.Load()
}

// tell never waits.
func (e *Events) tell(r *record) {
	select {
	case e.ring <- *r:
	default:
		e.missed.Add(1)
	}
}

// gather passes on what is in the ring from time to time, so that workers wake
// nobody.
func (e *Events) gather(stop <-chan struct{}) {
	again := time.NewTicker(gatherInterval)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			e.flush()
		case <-stop:
			return
		}
	}
}

// flush empties the ring. When it returns, no event needs a judge any more that
// no worker uses.
func (e *Events) flush() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for range len(e.ring) {
		r := <-e.ring
		if len(e.listeners) == 0 {
			continue
		}
		missed := e.missed.Swap(0)
		event := r.event()
		for l := range e.listeners {
			l.missed += missed
			l.offer(event)
		}
	}
}

// offer passes an event on, or counts it as missed.
func (l *Listener) offer(event Event) {
	if l.interest == refusals && event.Outcome == Allow {
		return
	}
	event.Missed = l.missed
	select {
	case l.c <- event:
		l.missed = 0
	default:
		l.missed++
	}
}

// event gives a record its names.
func (r *record) event() Event {
	event := Event{Time: r.at, Outcome: r.outcome}
	if r.outcome == Unreadable {
		event.Fault = r.fault.String()
		return event
	}
	f := &r.flow
	event.Protocol, event.Src, event.Dst, event.SrcPort, event.DstPort = f.Protocol.String(), f.Src, f.Dst, f.SrcPort, f.DstPort
	names, _ := r.judge.(rule.Namer)
	if names != nil {
		event.SrcPod, _ = names.Pod(f.Src)
		event.DstPod, _ = names.Pod(f.Dst)
	}
	event.Egress = eventSide(names, r.decision.Egress)
	event.Ingress = eventSide(names, r.decision.Ingress)
	return event
}

// eventSide is nil for a side that this node did not judge.
func eventSide(names rule.Namer, s rule.Side) *EventSide {
	if !s.Evaluated() {
		return nil
	}
	side := &EventSide{Verdict: s.Verdict.String(), Reason: s.Reason.String()}
	if names == nil {
		return side
	}
	if policy, index, ok := names.Rule(s); ok {
		side.Policy, side.Rule = policy, &index
	}
	side.IsolatedBy = names.IsolatedBy(s)
	return side
}
