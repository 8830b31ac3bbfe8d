// Package steady measures how long states last, and hides states that last only for a moment.
// It uses only the times at which its caller observed the states, so all times are from one
// clock.
package steady

import (
	"maps"
	"slices"
	"time"
)

// Times records, for each key, the time since which it has been present without interruption.
// The zero value is ready to use.
type Times struct{ since map[string]time.Time }

// Observe records the keys that are present now, and forgets all other keys. A new key counts as
// present since the given time.
func (t *Times) Observe(keys []string, since time.Time) {
	next := make(map[string]time.Time, len(keys))
	for _, key := range keys {
		first, ok := t.since[key]
		if !ok {
			first = since
		}
		next[key] = first
	}
	t.since = next
}

// Since returns the time since which a key has been present, or the zero time if it is
// absent.
func (t *Times) Since(key string) time.Time { return t.since[key] }

// Lasted reports whether a key has been present for at least the given time.
func (t *Times) Lasted(key string, d time.Duration, now time.Time) bool {
	since, ok := t.since[key]
	return ok && now.Sub(since) >= d
}

// Filter delays the report of faults. It starts to report a fault when the fault has been present
// for the delay, and stops when the fault has been absent for the delay. A fault that comes and
// goes faster causes no change.
type Filter struct {
	delay  time.Duration
	faults map[string]*fault
}

// Fault describes a fault that is present.
type Fault struct {
	Text string
	// Since is the start of the fault. Later observations of the same fault do not change
	// it.
	Since time.Time
}

// fault is a fault that is present, or that was present recently. The `last` field is the time at
// which the fault was last present.
type fault struct {
	Fault
	last     time.Time
	reported bool
}

// NewFilter returns a filter with the given delay.
func NewFilter(delay time.Duration) *Filter {
	return &Filter{delay: delay, faults: map[string]*fault{}}
}

// Observe records the faults that are present now, by key. It returns the texts of the faults to
// report.
func (f *Filter) Observe(faults map[string]Fault, now time.Time) map[string]string {
	for key, seen := range faults {
		known := f.faults[key]
		if known == nil {
			known = &fault{Fault: seen}
			f.faults[key] = known
		}
		known.Text, known.last = seen.Text, now
		known.reported = known.reported || now.Sub(known.Since) >= f.delay
	}
	out := map[string]string{}
	for key, known := range f.faults {
		_, present := faults[key]
		switch {
		case !present && (!known.reported || now.Sub(known.last) >= f.delay):
			delete(f.faults, key)
		case known.reported:
			out[key] = known.Text
		}
	}
	return out
}

// Wait returns the time until the result of Observe can change next, or the given limit if that is
// shorter.
func (f *Filter) Wait(limit time.Duration, now time.Time) time.Duration {
	for _, known := range f.faults {
		for _, start := range []time.Time{known.Since, known.last} {
			if left := start.Add(f.delay).Sub(now); left > 0 {
				limit = min(limit, left)
			}
		}
	}
	return limit
}

// Lines returns the texts of faults in the order of their keys.
func Lines(faults map[string]string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(faults)) {
		out = append(out, faults[key])
	}
	return out
}
