package queue

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
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
	listeners map[*listener]struct{}
	stop      chan struct{}
}

// What listeners want, the more the larger.
const (
	nothing uint32 = iota
	denials
	everything
)

// record is an event without names.
type record struct {
	at       time.Time
	flow     flow.Flow
	decision rule.Decision
	verdict  report.PacketVerdict
	fault    packet.Fault
	judge    rule.Evaluator
}

// NewEvents makes a place to listen at.
func NewEvents() *Events {
	return &Events{ring: make(chan record, ringSize), listeners: map[*listener]struct{}{}}
}

// listener gets events until it is closed. One that does not read misses some.
type listener struct {
	c        chan report.Event
	events   *Events
	interest uint32
	missed   uint64
}

// Subscribe returns a channel with the events from now on: with all of them, or
// only with those whose verdict is not Allow. A subscriber that does not read
// misses events. stop ends the subscription; the channel stays open.
func (e *Events) Subscribe(deniedOnly bool) (events <-chan report.Event, stop func()) {
	l := e.listen(deniedOnly)
	return l.c, l.close
}

func (e *Events) listen(deniedOnly bool) *listener {
	l := &listener{c: make(chan report.Event, listenerSize), events: e, interest: everything}
	if deniedOnly {
		l.interest = denials
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

func (l *listener) close() {
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
func (l *listener) offer(event report.Event) {
	if l.interest == denials && event.Verdict == report.Allow {
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
func (r *record) event() report.Event {
	event := report.Event{Time: r.at, Verdict: r.verdict}
	if r.verdict == report.Unreadable {
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

// eventSide returns nil for a side that this node did not evaluate.
func eventSide(names rule.Namer, s rule.Side) *report.Side {
	if !s.Evaluated() {
		return nil
	}
	return new(report.SideOf(names, s))
}
