package ondemand_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sluicenet/sluice/controllers/ondemand"
)

// TestServe checks that at most one run exists at a time, that each change of the key starts a new
// run, and that Ended is called only after a run.
func TestServe(t *testing.T) {
	var key atomic.Pointer[string]
	set := func(k string) { key.Store(&k) }
	changed, events := make(chan struct{}), make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	set("")
	go func() {
		defer close(done)
		ondemand.Demand{
			Key: func() string { return *key.Load() }, Changed: changed,
			Run: func(ctx context.Context, key string) {
				events <- "start " + key
				<-ctx.Done()
				events <- "stop " + key
			},
			Ended: func() { events <- "ended" },
		}.Serve(ctx)
	}()
	for _, k := range []string{"", "a", "a", "b", "", "c"} {
		set(k)
		changed <- struct{}{}
		// The second signal is received after the first one has been processed.
		changed <- struct{}{}
	}
	cancel()
	<-done
	close(events)
	var got []string
	for e := range events {
		got = append(got, e)
	}
	want := []string{"start a", "stop a", "start b", "stop b", "ended", "start c", "stop c"}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}
