package walker

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
	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// numbered is an evaluator that records its generation number, and whether the generation has
// been closed.
type numbered struct {
	generation uint64
	closed     bool
}

func (*numbered) Evaluate(flow.Flow) rule.Decision { return rule.Decision{} }

// table models the conntrack table for a walker. For each connection, table records the
// generation that evaluated the connection last. Between any two steps of a walk, generations
// may be published, and connections may begin and end.
type table struct {
	t           *rapid.T
	walker      *Walker
	connections []uint64
	evaluators  []*numbered
	inUse       *generation.Shared
	// These fields count the events that may still happen: publications of a generation, new
	// connections (births), and failures of a walk.
	generations, births, failures int
	acknowledged                  uint64
}

// publish publishes the next generation. It models Engine.Use.
func (k *table) publish() {
	j := &numbered{generation: uint64(len(k.evaluators) + 1)}
	k.evaluators = append(k.evaluators, j)
	before := k.inUse
	k.inUse = generation.Share(generation.Generation{Number: j.generation, Evaluator: j, Close: func() error {
		if j.closed {
			k.t.Errorf("generation %d was closed twice", j.generation)
		}
		j.closed = true
		return nil
	}}, logr.Discard())
	before.Release()
	k.walker.Request(k.inUse)
}

// change makes random changes between two steps of a walk.
func (k *table) change() {
	for k.generations > 0 && rapid.IntRange(0, 3).Draw(k.t, "published") == 3 {
		k.generations--
		k.publish()
	}
	switch rapid.IntRange(0, 5).Draw(k.t, "connection") {
	case 4:
		if k.births > 0 {
			// A worker evaluates the new connection.
			k.births--
			k.connections = append(k.connections, k.inUse.Number)
		}
	case 5:
		if n := len(k.connections); n > 0 {
			k.connections[rapid.IntRange(0, n-1).Draw(k.t, "ended")] = ended
		}
	}
}

// For a connection that has ended, the table stores the constant `ended` instead of a generation
// number.
const ended = ^uint64(0)

var errWalk = errors.New("the walk failed")

func (k *table) reevaluate(_ context.Context, newest func() rule.Evaluator) (r conntrack.Result, err error) {
	// The kernel may or may not list connections that begin during the walk. This model
	// does not list them.
	list := len(k.connections)
	for begin := 0; begin < list; {
		j := newest().(*numbered)
		end := min(begin+rapid.IntRange(1, 4).Draw(k.t, "datagram"), list)
		for ; begin < end; begin++ {
			k.change()
			if j.closed {
				k.t.Fatalf("a walk uses generation %d, which is closed", j.generation)
			}
			if k.connections[begin] != ended {
				// The walk sets this mark even if a worker has already evaluated the connection
				// with a newer generation.
				k.connections[begin] = j.generation
			}
		}
		if k.failures > 0 && rapid.IntRange(0, 9).Draw(k.t, "failure") == 9 {
			k.failures--
			return r, errWalk
		}
	}
	k.change()
	r.Denied = rapid.IntRange(0, 1).Draw(k.t, "changed")
	return r, nil
}

// acknowledge checks that no connection has a verdict of a generation that is older than the
// acknowledged generation.
func (k *table) acknowledge(generation uint64, _ conntrack.Result) {
	if generation < k.acknowledged {
		k.t.Fatalf("generation %d is acknowledged after %d", generation, k.acknowledged)
	}
	k.acknowledged = generation
	for i, by := range k.connections {
		if by < generation {
			k.t.Fatalf("generation %d is acknowledged, connection %d was last evaluated by %d", generation, i, by)
		}
	}
}

// TestAcknowledgedGenerationHoldsForEveryConnection publishes generations during walks and
// lets walks fail. An acknowledged generation must be enforced for every connection. A closed
// generation must not be used. At the end, the newest generation must be acknowledged, and all
// generations must be closed.
func TestAcknowledgedGenerationHoldsForEveryConnection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := New(logr.Discard())
		k := &table{t: t, walker: w, generations: 12, births: 20, failures: 4}
		k.connections = make([]uint64, rapid.IntRange(0, 20).Draw(t, "open"))
		w.Reevaluate, w.Acknowledge = k.reevaluate, k.acknowledge
		k.publish()
		for {
			check := !w.isDue()
			if check && rapid.Bool().Draw(t, "enough") {
				break
			}
			switch {
			case !check:
				<-w.due.C()
			case k.generations > 0 && rapid.Bool().Draw(t, "published before a check"):
				k.generations--
				k.publish()
			}
			before := k.inUse.Number
			switch _, err := w.walk(t.Context(), check); {
			case err != nil:
				w.due.Set()
			case k.acknowledged < before:
				t.Fatalf("a complete walk that began with generation %d acknowledged %d", before, k.acknowledged)
			}
		}
		if k.acknowledged != k.inUse.Number {
			t.Errorf("generation %d is acknowledged at the end, %d is in use", k.acknowledged, k.inUse.Number)
		}
		k.inUse.Release()
		w.Close()
		for _, j := range k.evaluators {
			if !j.closed {
				t.Errorf("generation %d was never closed", j.generation)
			}
		}
	})
}

func TestRepeatedFailureIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(logr.Discard())
		attempts, reported := 0, 0
		w.Reevaluate = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
			if attempts++; attempts > 2*walkAttempts {
				return conntrack.Result{}, nil
			}
			return conntrack.Result{}, errWalk
		}
		w.Fail = func(err error) {
			reported++
			if !errors.Is(err, errWalk) || attempts != walkAttempts {
				t.Errorf("reported after %d attempts: %v", attempts, err)
			}
		}
		done := make(chan uint64, 1)
		w.Acknowledge = func(generation uint64, _ conntrack.Result) { done <- generation }
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { w.Run(ctx); close(ran) }()
		g := generation.Share(generation.Generation{Number: 7}, logr.Discard())
		w.Request(g)
		if got := <-done; got != 7 || reported != 1 {
			t.Errorf("generation %d acknowledged, failure reported %d times; want generation 7, once", got, reported)
		}
		stop()
		<-ran
	})
}

// TestChangedMarksAreChecked checks that the walker checks the marks after a walk that changed
// marks, and that the number of checks is limited. The check is necessary because the walk's
// change of a mark can be lost if another program sets other bits of the mark at the same moment.
func TestChangedMarksAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		denied                      []int
		wantWalks, wantAcknowledged int
	}{
		"nothing changed":          {[]int{0}, 1, 1},
		"all changes stay":         {[]int{3, 0}, 2, 1},
		"one change is undone":     {[]int{3, 1, 0}, 3, 2},
		"every walk changes marks": {[]int{3}, 1 + maxChecks, 1 + maxChecks},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(logr.Discard())
				var walks, acknowledged atomic.Int64
				w.Reevaluate = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
					r := conntrack.Result{Denied: test.denied[min(int(walks.Load()), len(test.denied)-1)]}
					walks.Add(1)
					return r, nil
				}
				w.Acknowledge = func(uint64, conntrack.Result) { acknowledged.Add(1) }
				ctx, stop := context.WithCancel(t.Context())
				ran := make(chan struct{})
				go func() { w.Run(ctx); close(ran) }()
				w.Request(generation.Share(generation.Generation{Number: 7}, logr.Discard()))
				<-time.After(time.Second)
				if walks, acknowledged := int(walks.Load()), int(acknowledged.Load()); walks != test.wantWalks || acknowledged != test.wantAcknowledged {
					t.Errorf("%d walks, %d of them acknowledged; want %d and %d", walks, acknowledged, test.wantWalks, test.wantAcknowledged)
				}
				stop()
				<-ran
			})
		})
	}
}

// TestNewGenerationCancelsCheck checks that the walk for a new generation starts without delay. It
// must not wait for the check of the previous generation, nor for the pause before that check.
func TestNewGenerationCancelsCheck(t *testing.T) {
	for name, wait := range map[string]time.Duration{"pause": 30 * time.Second, "check": 90 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(logr.Discard())
				w.Reevaluate = func(ctx context.Context, newest func() rule.Evaluator) (conntrack.Result, error) {
					newest()
					select {
					case <-time.After(time.Minute):
						return conntrack.Result{Denied: 1}, nil
					case <-ctx.Done():
						return conntrack.Result{}, ctx.Err()
					}
				}
				acknowledged := make(chan uint64, 8)
				w.Acknowledge = func(generation uint64, _ conntrack.Result) { acknowledged <- generation }
				ctx, stop := context.WithCancel(t.Context())
				ran := make(chan struct{})
				go func() { w.Run(ctx); close(ran) }()
				w.Request(generation.Share(generation.Generation{Number: 7}, logr.Discard()))
				<-acknowledged
				<-time.After(wait)
				begin := time.Now()
				w.Request(generation.Share(generation.Generation{Number: 8}, logr.Discard()))
				if got, took := <-acknowledged, time.Since(begin); got != 8 || took != time.Minute {
					t.Errorf("generation %d is acknowledged after %s, want 8 after the minute of its walk", got, took)
				}
				stop()
				<-ran
			})
		})
	}
}

// TestWalksPause checks that walks take at most half of the time if a generation is published
// every 20 ms. If neither a walk nor a pause is in progress, the walk for a new generation must
// begin at once.
func TestWalksPause(t *testing.T) {
	const length = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		w := New(logr.Discard())
		var walks atomic.Int64
		w.Reevaluate = func(context.Context, func() rule.Evaluator) (conntrack.Result, error) {
			walks.Add(1)
			<-time.After(length)
			return conntrack.Result{}, nil
		}
		acknowledged := make(chan uint64, 100)
		w.Acknowledge = func(generation uint64, _ conntrack.Result) { acknowledged <- generation }
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { w.Run(ctx); close(ran) }()
		var newest *generation.Shared
		number := uint64(0)
		publish := func() {
			number++
			newest.Release()
			newest = generation.Share(generation.Generation{Number: number}, logr.Discard())
			w.Request(newest)
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
			t.Errorf("after a pause, generation %d was acknowledged after %s; want generation %d after %s", got, took, number, length)
		}
		stop()
		<-ran
	})
}
