// Package eventually waits, up to a limit, for conditions that another
// goroutine, another process or the kernel brings about. Tests use it instead of
// sleeping.
package eventually

import (
	"context"
	"errors"
	"testing"
	"time"
)

const (
	// Limit is how long True and NoError wait. It is long because tests of other
	// packages may run on the same machine at the same time.
	Limit = time.Minute
	// Interval is the time between two evaluations of a condition.
	Interval = 5 * time.Millisecond
)

// True waits until condition returns true. It fails the test at once when Limit
// has passed. The description completes the sentence "timed out waiting until".
func True(t testing.TB, description string, condition func() bool) {
	t.Helper()
	holds := func(context.Context) error {
		if condition() {
			return nil
		}
		return errors.New(description)
	}
	if err := poll(holds); err != nil {
		t.Fatalf("timed out after %s waiting until %s", Limit, description)
	}
}

// NoError waits until attempt returns nil. When Limit has passed, it fails the
// test at once with the last error.
func NoError(t testing.TB, attempt func() error) {
	t.Helper()
	if err := poll(func(context.Context) error { return attempt() }); err != nil {
		t.Fatalf("timed out after %s: %v", Limit, err)
	}
}

func poll(attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	return Poll(ctx, attempt)
}

// Poll calls attempt every Interval until it returns nil or the context ends. If the
// context ends, Poll returns its cause together with the last error that attempt
// returned before. Poll is for code that runs outside of tests too.
func Poll(ctx context.Context, attempt func(context.Context) error) error {
	interval := time.NewTicker(Interval)
	defer interval.Stop()
	var last error
	for {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-interval.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}
