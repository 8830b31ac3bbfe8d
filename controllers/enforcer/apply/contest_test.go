package apply

import (
	"testing"
	"time"
)

// TestDelayOfRepairs checks how the delay grows if another client changes an object again after
// each repair, and that the delay ends when the other client stops.
func TestDelayOfRepairs(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &contest{}
	var delays []time.Duration
	repairs := 0
	for end := now.Add(time.Hour); now.Before(end); now = now.Add(c.wait(now) + 10*time.Millisecond) {
		c.repair(now)
		delays = append(delays, c.delay())
		repairs++
	}
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if delays[i] != want {
			t.Errorf("after %d repairs: a delay of %s, want %s", i+1, delays[i], want)
		}
	}
	if last := delays[len(delays)-1]; last != maxDelay {
		t.Errorf("the last delay is %s, want %s", last, maxDelay)
	}
	if repairs > 25 {
		t.Errorf("%d repairs in an hour, want at most 25", repairs)
	}
	if !c.active(now.Add(maxDelay)) {
		t.Error("the conflict ended when the next repair was allowed")
	}
	if later := now.Add(time.Hour); c.active(later) || c.wait(later) > 0 {
		t.Error("the conflict did not end after an hour without changes")
	}
	c.repair(now.Add(time.Hour))
	if c.delay() != 0 {
		t.Errorf("a new conflict starts with a delay of %s, want none", c.delay())
	}
}
