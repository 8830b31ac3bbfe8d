package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/packet"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// worker serves one queue. Everything but Close runs on go-nfqueue's goroutine.
type worker struct {
	pool   *Pool
	number uint16
	nf     *nfqueue.Nfqueue
	socket *socket

	// batch is held while packets have been read whose verdicts are not carried
	// out yet.
	batch sync.Mutex
	// judge is the one for the whole batch, nil where the pool ends before it has
	// any: the kernel drops what nobody answers.
	judge   rule.Evaluator
	decoder packet.Decoder
	// interest is what of the batch somebody wants to hear.
	interest uint32
	// timed: this batch is a sample, begun at begun. timeLookup is set until one
	// of its lookups is timed.
	timed, timeLookup bool
	begun             time.Time

	counters counters
}

func (w *worker) begin(int) {
	<-w.pool.ready
	w.batch.Lock()
	if judge := w.pool.judge.Load(); judge != nil {
		w.judge = *judge
	}
	w.interest = w.pool.config.Events.wanted()
	if w.counters.batches.Load()%sampled == 0 {
		w.timed, w.timeLookup, w.begun = true, true, time.Now()
	}
}

func (w *worker) end(packets int) {
	if w.timed {
		w.timed, w.timeLookup = false, false
		w.counters.batchTimes.observe(time.Since(w.begun))
	}
	w.counters.batches.Add(1)
	w.counters.packets.Add(uint64(packets))
	w.judge = nil
	w.batch.Unlock()
}

// judgePacket gives one packet its verdict. It returns 0, always: another value
// would end the worker.
func (w *worker) judgePacket(a nfqueue.Attribute) int {
	if a.PacketID == nil {
		w.counters.verdictErrors.Add(1)
		return 0
	}
	if w.judge == nil {
		return 0
	}
	var data []byte
	if a.Payload != nil {
		data = *a.Payload
	}
	p, fault := w.decoder.Decode(data)
	if fault != packet.None {
		// Dropped without a mark: a broken packet says nothing about the
		// connection that it seems to belong to.
		w.counters.unreadable[fault].Add(1)
		if w.interest != nothing {
			w.tell(&record{verdict: report.Unreadable, fault: fault})
		}
		w.answer(*a.PacketID, nfqueue.NfDrop)
		return 0
	}
	// The packet mark comes with the packet unless it is 0. A verdict replaces
	// it as a whole, so the bits of others are sent back as they came.
	var mark uint32
	if a.Mark != nil {
		mark = *a.Mark
	}
	w.answer(*a.PacketID, nfqueue.NfAccept, nfqueue.WithMark(w.pool.config.Marks.Set(mark, w.verdict(p))))
	return 0
}

// verdict judges a packet, and gives the state of its mark.
func (w *worker) verdict(p packet.Packet) uint32 {
	marks := w.pool.config.Marks
	decision := w.lookup(p.Flow)
	w.counters.countSide(rule.Egress, p.Flow, decision.Egress)
	w.counters.countSide(rule.Ingress, p.Flow, decision.Ingress)
	if decision.Verdict() == rule.Allow {
		w.counters.accepted.Add(1)
		if w.interest == everything {
			w.tell(&record{flow: p.Flow, decision: decision, verdict: report.Allow})
		}
		return marks.Accepted
	}
	verdict, state := report.Deny, marks.Denied
	// Connection tracking may have lost a connection that the other end opened,
	// and it knows which connection an error is about. The rules accept these
	// answers only where that can be.
	if p.OwnError || p.MidStream && w.judge.Evaluate(p.Flow.Reverse()).Verdict() == rule.Allow {
		w.counters.midStream.Add(1)
		verdict, state = report.MidStream, marks.Either
	} else {
		w.counters.denied.Add(1)
	}
	if w.interest != nothing {
		w.tell(&record{flow: p.Flow, decision: decision, verdict: verdict})
	}
	return state
}

// lookup asks the judge, and takes the time now and then.
func (w *worker) lookup(f flow.Flow) rule.Decision {
	if !w.timeLookup {
		return w.judge.Evaluate(f)
	}
	w.timeLookup = false
	begin := time.Now()
	decision := w.judge.Evaluate(f)
	w.counters.lookups.observe(time.Since(begin))
	return decision
}

// tell adds what all events have.
func (w *worker) tell(r *record) {
	r.at, r.judge = time.Now(), w.judge
	w.pool.config.Events.tell(r)
}

func (w *worker) answer(id uint32, verdict int, options ...nfqueue.VerdictOption) {
	// Sending only holds the message; what the kernel says comes with a read.
	if err := w.nf.SetVerdictWithOption(id, verdict, options...); err != nil {
		w.counters.verdictErrors.Add(1)
	}
}

// readFailed reports an error of reading or of writing verdicts, unless the pool
// is closing. It returns 1, which ends the worker.
func (w *worker) readFailed(ctx context.Context, err error) int {
	if ctx.Err() == nil {
		w.pool.failed <- fmt.Errorf("reading queue %d: %w", w.number, err)
	}
	return 1
}

// close waits until the worker has left its queue. The pool's context has
// ended.
func (w *worker) close() error {
	select {
	case <-w.socket.unbound:
	case <-time.After(leaveTimeout):
	}
	if err := w.nf.Close(); err != nil {
		return fmt.Errorf("closing queue %d: %w", w.number, err)
	}
	return nil
}
