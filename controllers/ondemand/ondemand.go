// Package ondemand runs a function only while its result is needed.
package ondemand

import "context"

// Demand describes when a function must run.
type Demand struct {
	// Key returns a text that identifies the needed run, or "" if no run is needed.
	Key func() string
	// Changed delivers a signal after the result of Key may have changed.
	Changed <-chan struct{}
	// Run runs until its context ends. It is called when the key changes. Before a run with another
	// key starts, the previous run has ended.
	Run func(ctx context.Context, key string)
	// Ended is called after a run has ended because no run is needed any longer.
	Ended func()
}

// Serve calls Run and Ended as the fields describe, until the context ends.
func (d Demand) Serve(ctx context.Context) {
	current, stop := "", func() {}
	defer func() { stop() }()
	for {
		if key := d.Key(); key != current {
			stop()
			stop = func() {}
			if current = key; key == "" {
				d.Ended()
			} else {
				stop = start(ctx, func(ctx context.Context) { d.Run(ctx, key) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-d.Changed:
		}
	}
}

// start runs a function in a goroutine. The returned function cancels the context of the function
// and waits until the function has returned.
func start(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
