// Package eventually waits, up to a time limit, for a condition that another goroutine,
// another process or the kernel will fulfill. Tests use it instead of sleeping.
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

// True waits until condition returns true. After Limit, it fails the test at once.
// The message is "timed out after 1m0s waiting until", followed by the description.
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

// NoError waits until attempt returns nil. After Limit, it fails the test at once
// with the last error of attempt.
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

// Poll calls attempt every Interval until attempt returns nil or the context ends. If
// the context ends first, Poll returns the cause together with the last error that
// attempt returned before the end. Programs other than tests can use Poll too.
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
