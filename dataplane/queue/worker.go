package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/cpu"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/hits"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// worker serves one queue. It is the handler of its socket. All methods of the worker except
// close run on go-nfqueue's goroutine.
type worker struct {
	// The padding at both ends keeps the fields of two workers in different cache lines.
	// Otherwise a worker would wait for a cache line to which another worker has just written.
	_      cpu.CacheLinePad
	pool   *Pool
	number uint16
	nf     *nfqueue.Nfqueue
	socket *socket

	// batch is a lock. The worker holds it from the time at which it has read the packets of a
	// batch until the kernel has carried out the verdicts for these packets.
	batch sync.Mutex
	// evaluator is the evaluator for the current batch. It is nil if the pool is closed before
	// the first Swap. In this case the worker sends no verdicts, and the kernel drops the
	// packets when the queue is unbound.
	evaluator rule.Evaluator
	// table belongs to the evaluator of the current batch. lane contains the counters of the rules
	// that decide packets of this worker. Both are nil if no rules are counted.
	table   *hits.Table
	lane    *hits.Lane
	decoder packet.Decoder
	// interest is the level of events that the worker must publish in the current batch.
	interest interest
	// timed is set if the duration of the current batch is measured. begun is the time at which
	// the batch began. timeLookup is set if the duration of the next lookup must be measured.
	timed, timeLookup bool
	begun             time.Time
	// packets is the number of packets in the current batch.
	packets uint64

	counters counters
	_        cpu.CacheLinePad
}

// begin implements handler.
func (w *worker) begin() {
	if w.pool.evaluator.Load() == nil {
		<-w.pool.ready
	}
	// Read the evaluator only after locking `batch`. The method Swap first stores the new
	// evaluator and then waits for this lock.
	w.batch.Lock()
	if e := w.pool.evaluator.Load(); e != nil {
		w.evaluator, w.table = e.Evaluator, e.table
	}
	w.interest = w.pool.config.Events.demand()
	if w.counters.batches.Load()%sampled == 0 {
		w.timed, w.timeLookup, w.begun = true, true, time.Now()
	}
}

// end implements handler.
func (w *worker) end() {
	if w.timed {
		w.timed, w.timeLookup = false, false
		w.counters.batchTimes.observe(time.Since(w.begun))
	}
	w.counters.batches.Add(1)
	w.counters.packets.Add(w.packets)
	w.packets = 0
	w.evaluator, w.table = nil, nil
	w.batch.Unlock()
}

// reject implements handler.
func (w *worker) reject() { w.counters.verdictErrors.Add(1) }

// handle implements handler. It appends the verdict for one packet.
func (w *worker) handle(payload []byte) {
	w.packets++
	q, identified := parseQueued(payload)
	if !identified {
		w.counters.verdictErrors.Add(1)
		return
	}
	if w.evaluator == nil {
		return
	}
	p, fault := w.decoder.Decode(q.content)
	if fault != packet.None {
		// Drop the packet, but do not mark its connection. Connection tracking may have
		// assigned the wrong connection to an unreadable packet.
		w.counters.unreadable[fault].Add(1)
		if w.interest != nothing {
			w.publish(&record{verdict: report.Unreadable, fault: fault})
		}
		w.socket.unsent = appendVerdict(w.socket.unsent, w.number, q.id, verdictDrop)
		return
	}
	// A verdict replaces the whole packet mark, so the verdict must contain the unchanged bits
	// of other programs.
	verdict, state := w.evaluate(p)
	w.socket.unsent = appendMarkedVerdict(w.socket.unsent, w.number, q.id, verdict, w.pool.config.Marks.Set(q.mark, state))
}

// evaluate returns the verdict for a packet and the new value of Sluice's bits in the packet
// mark.
func (w *worker) evaluate(p packet.Packet) (verdict, state uint32) {
	decision := w.lookup(p.Flow)
	if w.holds(p, decision) {
		// Do not count the packet now. A worker evaluates and counts the packet again after the
		// holder has released it. If no process serves the hold queue, the rules deny the packet
		// because of the mark Denied.
		w.packets--
		hold := (ruleset.Queues{Base: w.pool.config.Base, Count: w.pool.config.Queues}).Hold()
		return uint32(hold)<<16 | verdictFlagQueueBypass | verdictQueue, w.pool.config.Marks.Denied
	}
	w.counters.countSide(rule.Egress, p.Flow, decision.Egress)
	w.counters.countSide(rule.Ingress, p.Flow, decision.Ingress)
	return verdictAccept, w.record(p, decision)
}

// holds reports whether the worker must move a packet to the hold queue.
func (w *worker) holds(p packet.Packet, decision rule.Decision) bool {
	if w.pool.config.Hold == nil || p.OwnError || p.MidStream {
		return false
	}
	peer, denied := decision.DeniedPeer(p.Flow)
	return denied && w.pool.config.Hold.Holds(peer)
}

// record counts a decision and publishes its event. It returns the new value of Sluice's bits
// in the packet mark.
func (w *worker) record(p packet.Packet, decision rule.Decision) uint32 {
	marks := w.pool.config.Marks
	if decision.Verdict() == rule.Allow {
		w.counters.accepted.Add(1)
		w.lane.Count(w.table, decision)
		if w.interest == everything {
			w.publish(&record{flow: p.Flow, decision: decision, verdict: report.Allow})
		}
		return marks.Accepted
	}
	verdict, state := report.Deny, marks.Denied
	// Policies deny the packet, but it may belong to an allowed connection. A mid-stream packet
	// may be a reply of a connection that is missing from the conntrack table. An ICMP error may
	// be about a packet of a connection in this table. The rules accept a packet with mark Either
	// only in these two cases.
	if p.OwnError || p.MidStream && w.evaluator.Evaluate(p.Flow.Reverse()).Verdict() == rule.Allow {
		w.counters.midStream.Add(1)
		verdict, state = report.MidStream, marks.Either
	} else {
		w.counters.denied.Add(1)
		w.lane.Count(w.table, decision)
	}
	if w.interest != nothing {
		w.publish(&record{flow: p.Flow, decision: decision, verdict: verdict})
	}
	return state
}

// lookup evaluates a flow. If timeLookup is set, it also measures the duration of the
// evaluation.
func (w *worker) lookup(f flow.Flow) rule.Decision {
	if !w.timeLookup {
		return w.evaluator.Evaluate(f)
	}
	w.timeLookup = false
	begin := time.Now()
	decision := w.evaluator.Evaluate(f)
	w.counters.lookups.observe(time.Since(begin))
	return decision
}

// publish sets the time and the evaluator of a record, and publishes the record.
func (w *worker) publish(r *record) {
	r.at, r.evaluator = time.Now(), w.evaluator
	w.pool.config.Events.publish(r)
}

// fail sends an error of the socket to the `failed` channel, unless the pool is closing. It
// always returns 1, which ends the worker.
func (w *worker) fail(ctx context.Context, err error) int {
	if ctx.Err() == nil {
		w.pool.failed <- fmt.Errorf("serving queue %d: %w", w.number, err)
	}
	return 1
}

// close waits until the worker has unbound its queue. The caller must have canceled the
// pool's context.
func (w *worker) close() error {
	select {
	case <-w.socket.unbound:
	case <-time.After(unbindTimeout):
	}
	if err := w.nf.Close(); err != nil {
		return fmt.Errorf("closing queue %d: %w", w.number, err)
	}
	return nil
}
