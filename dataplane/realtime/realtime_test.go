package realtime

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/test/eventually"
)

// TestGovernor runs a governor in the process of the test, and reads the priority of all threads from
// the kernel.
func TestGovernor(t *testing.T) {
	normal := func(int) unix.SchedAttr { return unix.SchedAttr{Policy: unix.SCHED_NORMAL} }
	t.Cleanup(func() {
		if err := setThreads(normal); err != nil {
			t.Error(err)
		}
	})
	g := New(2, testr.New(t))
	if n := runtime.GOMAXPROCS(0); n < 5 {
		t.Errorf("GOMAXPROCS is %d, want at least 5 for 3 workers and 2 other goroutines", n)
	}
	marked, end, ended := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		g.Background()
		marked <- unix.Gettid()
		<-end
	}()
	background := <-marked
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()

	eventually.NoError(t, func() error { return haveRealTime(background) })
	// A thread that is created later has the priority, too.
	more := make(chan struct{})
	for range 20 {
		go func() {
			runtime.LockOSThread()
			<-more
		}()
	}
	eventually.NoError(t, func() error { return haveRealTime(background) })
	close(more)

	cancel()
	if err := <-result; err != nil {
		t.Error(err)
	}
	// Without credit, all threads lose the priority, and get the short time slice.
	g.credit.balance = 0
	g.decide(usage{elapsed: time.Second, used: 2 * time.Second})
	if err := each(func(thread int, a *unix.SchedAttr) error {
		if a.Policy != unix.SCHED_NORMAL {
			return fmt.Errorf("thread %d has policy %d, want SCHED_NORMAL", thread, a.Policy)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// With credit, they get it back.
	g.decide(usage{elapsed: 3 * time.Second})
	if err := haveRealTime(background); err != nil {
		t.Error(err)
	}
	close(end)
	<-ended
}

// haveRealTime checks that all threads have real-time priority, and the thread with the ID
// background the lowest.
func haveRealTime(background int) error {
	return each(func(thread int, a *unix.SchedAttr) error {
		want := uint32(2)
		if thread == background {
			want = 1
		}
		if a.Policy != unix.SCHED_FIFO || a.Priority != want {
			return fmt.Errorf("thread %d has policy %d and priority %d, want SCHED_FIFO and %d", thread, a.Policy, a.Priority, want)
		}
		return nil
	})
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
