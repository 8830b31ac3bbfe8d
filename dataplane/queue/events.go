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

// Every flushInterval, at most ringSize events are delivered. This limits the rate to about
// 10,000 events per second. All further events are counted as missed.
const (
	ringSize      = 512
	flushInterval = 50 * time.Millisecond
	// subscriberSize is the number of events that can wait for a subscriber.
	subscriberSize = 1024
)

// Events delivers the workers' verdicts to subscribers. It delivers one event for each packet.
//
// Without a subscriber, Events costs a worker one atomic read for each batch. With subscribers,
// a worker puts a record of each event into a ring and never waits. If the ring is full, the
// event is lost. Later, a separate goroutine resolves the names in the records. Pool.Swap
// returns only after the names in all records of the replaced evaluator have been resolved.
type Events struct {
	wanted atomic.Uint32
	ring   chan record
	missed atomic.Uint64

	// mu guards the fields below. The `flush` method holds mu while it takes records from the
	// ring and resolves the names in these records.
	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
	stop        chan struct{}
	// released contains the released packets whose events have not been delivered yet.
	released map[flow.Flow]released
}

// interest is the level of events that a subscriber wants. It includes the events of all lower
// levels.
type interest = uint32

const (
	nothing interest = iota
	// denials includes all events whose verdict is not Allow.
	denials
	everything
)

// record is an event whose names are not resolved yet.
type record struct {
	at        time.Time
	flow      flow.Flow
	decision  rule.Decision
	verdict   report.PacketVerdict
	fault     packet.Fault
	evaluator rule.Evaluator
	// held is the time for which the packet was held.
	held time.Duration
}

// NewEvents returns Events without subscribers.
func NewEvents() *Events {
	return &Events{ring: make(chan record, ringSize), subscribers: map[*subscriber]struct{}{}, released: map[flow.Flow]released{}}
}

// subscriber receives events until it is closed.
type subscriber struct {
	c        chan report.Event
	events   *Events
	interest interest
	missed   uint64
}

// Subscribe returns a channel that receives all later events. If deniedOnly is set, the channel
// receives only events whose verdict is not Allow. A subscriber that reads too slowly misses
// events. The returned function `stop` ends the subscription but does not close the channel.
func (e *Events) Subscribe(deniedOnly bool) (events <-chan report.Event, stop func()) {
	s := e.subscribe(deniedOnly)
	return s.c, s.close
}

func (e *Events) subscribe(deniedOnly bool) *subscriber {
	s := &subscriber{c: make(chan report.Event, subscriberSize), events: e, interest: everything}
	if deniedOnly {
		s.interest = denials
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subscribers[s] = struct{}{}
	if e.stop == nil {
		e.missed.Store(0)
		e.stop = make(chan struct{})
		go e.run(e.stop)
	}
	e.setInterest()
	return s
}

func (s *subscriber) close() {
	e := s.events
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subscribers, s)
	e.setInterest()
	if len(e.subscribers) == 0 && e.stop != nil {
		close(e.stop)
		e.stop = nil
	}
}

// setInterest stores the largest interest of all subscribers in the `wanted` field.
func (e *Events) setInterest() {
	most := nothing
	for s := range e.subscribers {
		most = max(most, s.interest)
	}
	e.wanted.Store(most)
}

// demand returns the largest interest of all subscribers. The workers publish only the events that
// this interest includes. The receiver e may be nil.
func (e *Events) demand() interest {
	if e == nil {
		return nothing
	}
	return e.wanted.Load()
}

// publish puts a record into the ring, or counts it as missed if the ring is full.
func (e *Events) publish(r *record) {
	select {
	case e.ring <- *r:
	default:
		e.missed.Add(1)
	}
}

// run calls flush at intervals, so that a worker does not have to wake a goroutine for each
// event.
func (e *Events) run(stop <-chan struct{}) {
	again := time.NewTicker(flushInterval)
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

// flush delivers all events in the ring. When flush returns, no undelivered event refers to an
// evaluator that has been replaced. The receiver e may be nil.
func (e *Events) flush() {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for range len(e.ring) {
		r := <-e.ring
		if len(e.subscribers) == 0 {
			continue
		}
		missed := e.missed.Swap(0)
		event := r.event()
		event.Held = e.heldFor(&r)
		for s := range e.subscribers {
			s.missed += missed
			s.offer(event)
		}
	}
}

// offer sends an event to the subscriber's channel. If the channel is full, offer counts the
// event as missed.
func (s *subscriber) offer(event report.Event) {
	if s.interest == denials && event.Verdict == report.Allow {
		return
	}
	event.Missed = s.missed
	select {
	case s.c <- event:
		s.missed = 0
	default:
		s.missed++
	}
}

// event returns the event for a record, with all names resolved.
func (r *record) event() report.Event {
	event := report.Event{Time: r.at, Verdict: r.verdict}
	if r.verdict == report.Unreadable {
		event.Fault = r.fault.String()
		return event
	}
	f := &r.flow
	event.Protocol, event.Src, event.Dst, event.SrcPort, event.DstPort = f.Protocol.String(), f.Src, f.Dst, f.SrcPort, f.DstPort
	names, _ := r.evaluator.(rule.Namer)
	if names != nil {
		event.SrcPod, _ = names.Pod(f.Src)
		event.DstPod, _ = names.Pod(f.Dst)
	}
	event.Egress = eventSide(names, r.decision.Egress)
	event.Ingress = eventSide(names, r.decision.Ingress)
	return event
}

// eventSide returns the JSON form of a side, or nil for a side that this node did not
// evaluate.
func eventSide(names rule.Namer, s rule.Side) *report.Side {
	if !s.Evaluated() {
		return nil
	}
	return new(report.SideOf(names, s))
}
