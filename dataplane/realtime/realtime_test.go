package realtime

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/test/eventually"
)

// TestGovernor runs a governor in the process of the test, and reads the priority of all threads from
// the kernel.
func TestGovernor(t *testing.T) {
	g := New(2, testr.New(t))
	if n := runtime.GOMAXPROCS(0); n != 5 {
		t.Errorf("GOMAXPROCS is %d, want 5 for 3 workers and 2 other goroutines", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Run(ctx)
	}()
	eventually.NoError(t, func() error { return allHave(unix.SCHED_FIFO) })
	// A thread that is created later has the priority, too.
	created, end := make(chan struct{}), make(chan struct{})
	for range 20 {
		go func() {
			runtime.LockOSThread()
			created <- struct{}{}
			<-end
		}()
	}
	for range 20 {
		<-created
	}
	if err := allHave(unix.SCHED_FIFO); err != nil {
		t.Error(err)
	}
	close(end)
	cancel()
	<-ended
	if err := allHave(unix.SCHED_NORMAL); err != nil {
		t.Error(err)
	}
}

// allHave checks the policy of all threads.
func allHave(policy uint32) error {
	return each(func(thread int, a *unix.SchedAttr) error {
		if a.Policy != policy {
			return fmt.Errorf("thread %d has policy %d, want %d", thread, a.Policy, policy)
		}
		return nil
	})
}

// TestLimitOfPriority checks how a governor reacts to the use of processors, and to errors.
func TestLimitOfPriority(t *testing.T) {
	var logged []string
	log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
	busy, idle := usage{elapsed: time.Second, used: 1000 * time.Second}, usage{elapsed: time.Hour}
	failure := errors.New("failure")
	type step struct {
		err  error
		u    usage
		want state
	}
	for name, c := range map[string]struct {
		steps []step
		logs  int
	}{
		"limit": {[]step{{nil, idle, realTime}, {nil, busy, normal}, {nil, busy, normal}, {nil, idle, realTime}, {nil, busy, normal}}, 1},
		// After this error, the governor does not try to set the priority again.
		"rejected": {[]step{{fmt.Errorf("sched_setattr: %w", unix.EPERM), idle, unknown}, {nil, idle, normal}, {nil, idle, normal}}, 2},
		"failures": {[]step{{failure, idle, unknown}, {failure, idle, unknown}, {nil, idle, realTime}, {failure, busy, unknown}, {nil, busy, normal}}, 2},
	} {
		logged = nil
		g := New(2, log)
		for i, s := range c.steps {
			g.set = func(*unix.SchedAttr) error { return s.err }
			g.decide(s.u)
			if g.state != s.want {
				t.Errorf("%s, step %d: state %d, want %d", name, i, g.state, s.want)
			}
		}
		if len(logged) != c.logs {
			t.Errorf("%s: logged %q, want %d lines", name, logged, c.logs)
		}
	}
}

// TestBudget checks that the limit depends on the processors of the node, too.
func TestBudget(t *testing.T) {
	if got, want := New(256, testr.New(t)).credit.perSecond, time.Duration(runtime.NumCPU())*time.Second/2; runtime.NumCPU() < 256 && got != want {
		t.Errorf("%s per second, want %s", got, want)
	}
}

// TestUnmeasured checks that threads have no real-time priority while their use cannot be measured.
func TestUnmeasured(t *testing.T) {
	var failing atomic.Bool
	states := make(chan uint32, 100)
	g := New(2, testr.New(t))
	g.measure = func() (measurement, error) {
		if failing.Load() {
			return measurement{}, errors.New("failure")
		}
		return measurement{at: time.Now()}, nil
	}
	g.set = func(a *unix.SchedAttr) error {
		states <- a.Policy
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Run(ctx)
	}()
	for i, want := range []uint32{unix.SCHED_FIFO, unix.SCHED_NORMAL, unix.SCHED_FIFO} {
		if got := <-states; got != want {
			t.Errorf("change %d: policy %d, want %d", i, got, want)
		}
		failing.Store(i == 0)
	}
	cancel()
	<-ended
}

func each(check func(thread int, a *unix.SchedAttr) error) error {
	all, err := threads()
	if err != nil {
		return err
	}
	for _, thread := range all {
		a, err := unix.SchedGetAttr(thread, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		if err := check(thread, a); err != nil {
			return err
		}
	}
	return nil
}

func TestCredit(t *testing.T) {
	c := credit{perSecond: time.Second}
	for i, step := range []struct {
		u        usage
		realTime bool
		want     bool
	}{
		{usage{elapsed: 100 * time.Millisecond, used: 50 * time.Millisecond}, true, true},   // 50 ms left
		{usage{elapsed: 100 * time.Millisecond, used: 200 * time.Millisecond}, true, false}, // -50 ms
		// Without real-time priority, the use does not count.
		{usage{elapsed: 40 * time.Millisecond, used: 80 * time.Millisecond}, false, false}, // -10 ms
		{usage{elapsed: 20 * time.Millisecond, used: 40 * time.Millisecond}, false, true},  // 10 ms
		// Unused credit expires, so a long idle time does not allow a long use.
		{usage{elapsed: time.Hour}, true, true},                                             // 1 s
		{usage{elapsed: time.Second, used: 1900 * time.Millisecond}, true, true},            // 100 ms
		{usage{elapsed: 100 * time.Millisecond, used: 200 * time.Millisecond}, true, false}, // 0
	} {
		if got := c.left(step.u, step.realTime); got != step.want {
			t.Errorf("step %d: credit left: %v, want %v (balance %s)", i, got, step.want, c.balance)
		}
	}
}

func TestPause(t *testing.T) {
	g := New(1, testr.New(t))
	busy, one, two := usage{elapsed: interval}, usage{elapsed: interval, idle: interval}, usage{elapsed: interval, idle: 2 * interval}
	for i, step := range []struct {
		u    usage
		want time.Duration
	}{{one, 9 * time.Millisecond}, {two, 0}, {one, 0}, {busy, 9 * time.Millisecond}} {
		for range 10 {
			g.share.Store(shareAfter(g.share.Load(), step.u))
		}
		if p := g.Pause(time.Millisecond); p != step.want {
			t.Errorf("step %d: pause %s after 1 ms, want %s", i, p, step.want)
		}
		if p := g.Pause(time.Second); p != 0 && p != maxPause {
			t.Errorf("step %d: pause %s after 1 s, want at most %s", i, p, maxPause)
		}
	}
}

// TestMeasure checks the units of a measurement.
func TestMeasure(t *testing.T) {
	before, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	now := before
	for now.since(before).used < 50*time.Millisecond {
		if now, err = measure(); err != nil {
			t.Fatal(err)
		}
	}
	u := now.since(before)
	if n := runtime.NumCPU(); u.used.Seconds() > float64(n)*u.elapsed.Seconds()+interval.Seconds() || u.idle < 0 {
		t.Errorf("%+v on %d processors", u, n)
	}
}
