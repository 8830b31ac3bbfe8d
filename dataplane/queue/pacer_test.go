package queue_test

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/test/eventually"
)

// limiter records the calls of a flood worker. After each batch, the worker must wait for `pause`.
type limiter struct {
	pause   time.Duration
	thread  atomic.Int64
	moved   atomic.Bool
	batches atomic.Int64
	used    atomic.Int64
}

func (l *limiter) Pause(used time.Duration) time.Duration {
	thread := int64(unix.Gettid())
	if before := l.thread.Swap(thread); before != 0 && before != thread {
		l.moved.Store(true)
	}
	l.used.Add(int64(used))
	l.batches.Add(1)
	return l.pause
}

// TestFloodWorkerPauses sends packets to a flood queue, one after the other. The worker must wait
// between two of them.
func TestFloodWorkerPauses(t *testing.T) {
	s := newFixture(t, denyAll())
	if err := s.pool.Close(); err != nil {
		t.Fatal(err)
	}
	l := &limiter{pause: 100 * time.Millisecond}
	// The rules send packets to queue 100, which is the flood queue of the new pool.
	s.config.Base, s.config.Flood, s.config.Pacer = 101, 100, l
	s.open(denyAll())
	conn := s.sender(9)
	begin := time.Now()
	const packets = 3
	for i := range int64(packets) {
		if _, err := conn.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "the packet is evaluated", func() bool { return l.batches.Load() > i })
	}
	if took := time.Since(begin); took < (packets-1)*l.pause {
		t.Errorf("%d packets took %s, so the worker did not pause", packets, took)
	}
	switch {
	case l.moved.Load():
		t.Error("the worker changed its thread")
	case l.used.Load() <= 0:
		t.Errorf("the worker used %s", time.Duration(l.used.Load()))
	}
}
