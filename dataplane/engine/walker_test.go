package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// numbered is a judge that knows its generation and whether it was closed.
type numbered struct {
	generation uint64
	closed     bool
}

func (*numbered) Evaluate(flow.Flow) rule.Decision { return rule.Decision{} }

// table is connection tracking as a walker meets it: of each connection we know
// which generation judged it last. Generations come and connections begin and end
// between any two steps of a walk.
type table struct {
	t           *rapid.T
	walker      *walker
	connections []uint64
	judges      []*numbered
	inUse       *held
	// How many generations may still come, connections begin and walks fail.
	generations, births, failures int
	acked                         uint64
}

// publish does what Engine.Use does.
func (k *table) publish() {
	j := &numbered{generation: uint64(len(k.judges) + 1)}
	k.judges = append(k.judges, j)
	before := k.inUse
	k.inUse = hold(Generation{Number: j.generation, Judge: j, Close: func() error {
		if j.closed {
			k.t.Errorf("generation %d was closed twice", j.generation)
		}
		j.closed = true
		return nil
	}}, logr.Discard())
	before.release()
	k.walker.ask(k.inUse)
}

// happen lets something happen between two steps.
func (k *table) happen() {
	for k.generations > 0 && rapid.IntRange(0, 3).Draw(k.t, "published") == 3 {
		k.generations--
		k.publish()
	}
	switch rapid.IntRange(0, 5).Draw(k.t, "connection") {
	case 4:
		if k.births > 0 {
			// A worker judges it.
			k.births--
			k.connections = append(k.connections, k.inUse.Number)
		}
	case 5:
		if n := len(k.connections); n > 0 {
			k.connections[rapid.IntRange(0, n-1).Draw(k.t, "ended")] = ended
		}
	}
}

// ended is the generation of a connection that is no more.
const ended = ^uint64(0)

var errWalk = errors.New("the walk failed")

func (k *table) judgeAll(_ context.Context, newest func() rule.Evaluator) (r conntrack.Result, err error) {
	// The kernel may list what began during the walk, or not.
	list := len(k.connections)
	for begin := 0; begin < list; {
		j := newest().(*numbered)
		end := min(begin+rapid.IntRange(1, 4).Draw(k.t, "datagram"), list)
		for ; begin < end; begin++ {
			k.happen()
			if j.closed {
				k.t.Fatalf("a walk uses generation %d, which is closed", j.generation)
			}
			if k.connections[begin] != ended {
				// Also where a worker judged it by a newer one meanwhile.
				k.connections[begin] = j.generation
			}
		}
		if k.failures > 0 && rapid.IntRange(0, 9).Draw(k.t, "failure") == 9 {
			k.failures--
			return r, errWalk
		}
	}
	k.happen()
	r.Denied = rapid.IntRange(0, 1).Draw(k.t, "changed")
	return r, nil
}

// acknowledge checks the promise: nothing is left of an older generation.
func (k *table) acknowledge(generation uint64, _ conntrack.Result) {
	if generation < k.acked {
		k.t.Fatalf("generation %d is acknowledged after %d", generation, k.acked)
	}
	k.acked = generation
	for i, by := range k.connections {
		if by < generation {
			k.t.Fatalf("generation %d is acknowledged, connection %d was last judged by %d", generation, i, by)
		}
	}
}

// Whatever generations come during walks and whichever walks fail: what is
// acknowledged holds for every connection, no closed generation is used, the
// newest is acknowledged at the end and all others are closed.
func TestRandomWalksAcknowledgeWhatHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWalker(logr.Discard())
		k := &table{t: t, walker: w, generations: 12, births: 20, failures: 4}
		k.connections = make([]uint64, rapid.IntRange(0, 20).Draw(t, "open"))
		w.judgeAll, w.acknowledge = k.judgeAll, k.acknowledge
		k.publish()
		for {
			look := len(w.asked) == 0
			if look && rapid.Bool().Draw(t, "enough") {
				break
			}
			switch {
			case !look:
				<-w.asked
			case k.generations > 0 && rapid.Bool().Draw(t, "published before a look"):
				k.generations--
				k.publish()
			}
			before := k.inUse.Number
			switch _, err := w.walk(t.Context(), look); {
			case err != nil:
				w.again()
			case k.acked < before:
				t.Fatalf("a whole walk that began with generation %d acknowledged %d", before, k.acked)
			}
		}
		if k.acked != k.inUse.Number {
			t.Errorf("generation %d is acknowledged at the end, %d is in use", k.acked, k.inUse.Number)
		}
		k.inUse.release()
		w.close()
		for _, j := range k.judges {
			if !j.closed {
				t.Errorf("generation %d was never closed", j.generation)
			}
		}
	})
}

func TestRepeatedFailureIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWalker(logr.Discard())
		attempts, reported := 0, 0
		w.judgeAll = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
			if attempts++; attempts > 2*walkAttempts {
				return conntrack.Result{}, nil
			}
			return conntrack.Result{}, errWalk
		}
		w.fail = func(err error) {
			reported++
			if !errors.Is(err, errWalk) || attempts != walkAttempts {
				t.Errorf("reported after %d attempts: %v", attempts, err)
			}
		}
		done := make(chan uint64, 1)
		w.acknowledge = func(generation uint64, _ conntrack.Result) { done <- generation }
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { w.run(ctx); close(ran) }()
		h := hold(Generation{Number: 7}, logr.Discard())
		w.ask(h)
		if got := <-done; got != 7 || reported != 1 {
			t.Errorf("generation %d acknowledged, failure reported %d times; want generation 7, once", got, reported)
		}
		stop()
		<-ran
	})
}

// Whoever sets other bits of a mark at the same moment can take ours back. So a
// walk that changed marks is followed by one more, but not for ever.
func TestChangedMarksAreLookedAtOnceMore(t *testing.T) {
	for name, test := range map[string]struct {
		refused             []int
		wantWalks, wantTold int
	}{
		"nothing changed":          {[]int{0}, 1, 1},
		"all changes lasted":       {[]int{3, 0}, 2, 1},
		"one was taken back":       {[]int{3, 1, 0}, 3, 2},
		"something always changes": {[]int{3}, 1 + walkLooks, 1 + walkLooks},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWalker(logr.Discard())
				var walks, told atomic.Int64
				w.judgeAll = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
					r := conntrack.Result{Denied: test.refused[min(int(walks.Load()), len(test.refused)-1)]}
					walks.Add(1)
					return r, nil
				}
				w.acknowledge = func(uint64, conntrack.Result) { told.Add(1) }
				ctx, stop := context.WithCancel(t.Context())
				ran := make(chan struct{})
				go func() { w.run(ctx); close(ran) }()
				w.ask(hold(Generation{Number: 7}, logr.Discard()))
				<-time.After(time.Second)
				if walks, told := int(walks.Load()), int(told.Load()); walks != test.wantWalks || told != test.wantTold {
					t.Errorf("%d walks, %d of them told; want %d and %d", walks, told, test.wantWalks, test.wantTold)
				}
				stop()
				<-ran
			})
		})
	}
}

// A generation does not wait for a look at what was changed for the one before, nor
// for the rest ahead of it.
func TestALookGivesWay(t *testing.T) {
	for name, wait := range map[string]time.Duration{"rest": 30 * time.Second, "look": 90 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWalker(logr.Discard())
				w.judgeAll = func(ctx context.Context, newest func() rule.Evaluator) (conntrack.Result, error) {
					newest()
					select {
					case <-time.After(time.Minute):
						return conntrack.Result{Denied: 1}, nil
					case <-ctx.Done():
						return conntrack.Result{}, ctx.Err()
					}
				}
				acknowledged := make(chan uint64, 8)
				w.acknowledge = func(generation uint64, _ conntrack.Result) { acknowledged <- generation }
				ctx, stop := context.WithCancel(t.Context())
				ran := make(chan struct{})
				go func() { w.run(ctx); close(ran) }()
				w.ask(hold(Generation{Number: 7}, logr.Discard()))
				<-acknowledged
				<-time.After(wait)
				begin := time.Now()
				w.ask(hold(Generation{Number: 8}, logr.Discard()))
				if got, took := <-acknowledged, time.Since(begin); got != 8 || took != time.Minute {
					t.Errorf("generation %d is acknowledged after %s, want 8 after the minute of its walk", got, took)
				}
				stop()
				<-ran
			})
		})
	}
}

// Generations every 20 ms leave half of the time without a walk. A generation
// that comes while none runs is walked for at once.
func TestWalksRest(t *testing.T) {
	const length = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		w := newWalker(logr.Discard())
		var walks atomic.Int64
		w.judgeAll = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
			walks.Add(1)
			<-time.After(length)
			return conntrack.Result{}, nil
		}
		acknowledged := make(chan uint64, 100)
		w.acknowledge = func(generation uint64, _ conntrack.Result) { acknowledged <- generation }
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { w.run(ctx); close(ran) }()
		var newest *held
		number := uint64(0)
		publish := func() {
			number++
			newest.release()
			newest = hold(Generation{Number: number}, logr.Discard())
			w.ask(newest)
		}
		for range 100 {
			publish()
			<-time.After(20 * time.Millisecond)
		}
		if n := walks.Load(); n < 9 || n > 11 {
			t.Errorf("%d walks of %s in 2 s of generations, want half of the time", n, length)
		}
		for <-acknowledged != number {
		}
		<-time.After(length)
		began := time.Now()
		publish()
		if got, took := <-acknowledged, time.Since(began); got != number || took != length {
			t.Errorf("after a silence, generation %d was acknowledged after %s; want generation %d after %s", got, took, number, length)
		}
		stop()
		<-ran
	})
}
