package pace

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

// TestRun runs a governor in the process of the test, and reads the time slices of all threads from
// the kernel.
func TestRun(t *testing.T) {
	g := New(2, testr.New(t))
	if n := runtime.GOMAXPROCS(0); n < 5 {
		t.Errorf("GOMAXPROCS is %d, want at least 5 for 3 workers and 2 other goroutines", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.Run(ctx)
	}()
	eventually.NoError(t, haveShortSlice)
	cancel()
	<-ended
}

func haveShortSlice() error {
	all, err := threads()
	if err != nil {
		return err
	}
	for _, thread := range all {
		a, err := unix.SchedGetAttr(thread, 0)
		switch {
		case errors.Is(err, unix.ESRCH):
		case err != nil:
			return err
		case a.Runtime != shortSlice || a.Policy != unix.SCHED_NORMAL:
			return fmt.Errorf("thread %d has policy %d and time slice %d ns", thread, a.Policy, a.Runtime)
		}
	}
	return nil
}

func TestPause(t *testing.T) {
	g := New(1, testr.New(t))
	for i, step := range []struct {
		idle float64
		want time.Duration
	}{{1, 9 * time.Millisecond}, {2, 0}, {1, 0}, {0, 9 * time.Millisecond}} {
		for range 10 {
			g.share.Store(shareAfter(g.share.Load(), step.idle))
		}
		if p := g.Pause(time.Millisecond); p != step.want {
			t.Errorf("step %d: pause %s after 1 ms, want %s", i, p, step.want)
		}
		if p := g.Pause(time.Second); p != 0 && p != maxPause {
			t.Errorf("step %d: pause %s after 1 s, want at most %s", i, p, maxPause)
		}
	}
}
