// Package eventually waits for a condition that another goroutine, another process or the
// kernel will fulfill. If the condition is not fulfilled within a time limit, the test fails.
// Tests use this package instead of sleeping.
package eventually

import (
	"context"
	"errors"
	"testing"
	"time"
)

const (
	// Limit is the time after which True and NoError fail. It is long because tests of
	// other packages can run on the same machine at the same time.
	Limit = time.Minute
	// Interval is the time between two evaluations of a condition.
	Interval = 5 * time.Millisecond
)

// True waits until the function `condition` returns true. If this takes longer than Limit, True
// ends the test with a failure. The message is "timed out after 1m0s waiting until", followed by
// the description.
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

// NoError waits until the function `attempt` returns nil. If this takes longer than Limit, NoError
// ends the test with a failure. The message contains the last error that `attempt` returned.
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

// Poll calls the function `attempt` once per Interval until `attempt` returns nil or the context
// ends. If the context ends first, Poll returns an error that contains the cause of the context and
// the last error of `attempt`. Unlike True and NoError, Poll can also be used outside tests.
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
