package steady_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/controllers/enforcer/steady"
)

// TestFilter feeds sequences of observations to a filter with a delay of 30 s. Each character of
// a sequence is one observation, 10 s after the previous one: the fault is present (x) or absent
// (.). The wanted text shows when the fault is reported.
func TestFilter(t *testing.T) {
	for name, tt := range map[string]struct{ observed, reported string }{
		"no fault":                  {"......", "......"},
		"a short fault":             {".xx.....", "........"},
		"a fault that lasts":        {".xxxxxx", "....xxx"},
		"a fault that ends":         {"xxxxx......", "...xxxx...."},
		"a fault that flaps":        {"x.x.x.x.x.", ".........."},
		"a fault with a short gap":  {"xxxx..xxxx", "...xxxxxxx"},
		"a fault that returns":      {"xxxx....xxxx", "...xxx.....x"},
		"a gap of exactly the time": {"xxxx...x", "...xxx.."},
	} {
		t.Run(name, func(t *testing.T) {
			filter, now := steady.NewFilter(30*time.Second), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var got strings.Builder
			for _, c := range tt.observed {
				faults := map[string]steady.Fault{}
				if c == 'x' {
					faults["node"] = steady.Fault{Text: "node: broken", Since: now}
				}
				if len(filter.Observe(faults, now)) > 0 {
					got.WriteString("x")
				} else {
					got.WriteString(".")
				}
				now = now.Add(10 * time.Second)
			}
			if got.String() != tt.reported {
				t.Errorf("observed %s\nreported %s\nwant     %s", tt.observed, got.String(), tt.reported)
			}
		})
	}
}

// TestFilterAfterRestart checks that a fault that began before the first observation is reported
// at once.
func TestFilterAfterRestart(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := now.Add(-time.Hour)
	faults := map[string]steady.Fault{"b": {Text: "b: full", Since: old}, "a": {Text: "a: broken", Since: old}}
	got := steady.NewFilter(30*time.Second).Observe(faults, now)
	if diff := cmp.Diff([]string{"a: broken", "b: full"}, steady.Lines(got)); diff != "" {
		t.Errorf("reported faults (-want +got):\n%s", diff)
	}
}

// TestWait checks the time after which the reported faults can change next.
func TestWait(t *testing.T) {
	filter, now := steady.NewFilter(30*time.Second), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := filter.Wait(time.Minute, now); got != time.Minute {
		t.Errorf("%s without faults, want the limit", got)
	}
	filter.Observe(map[string]steady.Fault{"a": {Text: "a: broken", Since: now}}, now)
	if got := filter.Wait(time.Minute, now.Add(10*time.Second)); got != 20*time.Second {
		t.Errorf("%s, want 20s", got)
	}
}

// TestTimes checks how long keys count as present.
func TestTimes(t *testing.T) {
	var times steady.Times
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	times.Observe([]string{"a"}, now)
	times.Observe([]string{"a", "b"}, now.Add(time.Minute))
	if !times.Since("a").Equal(now) || !times.Lasted("a", time.Minute, now.Add(time.Minute)) {
		t.Errorf("a is present since %s, want %s", times.Since("a"), now)
	}
	if times.Lasted("b", time.Second, now.Add(time.Minute)) {
		t.Error("b has lasted, but it is new")
	}
	times.Observe([]string{"b"}, now.Add(2*time.Minute))
	if !times.Since("a").IsZero() || times.Lasted("a", 0, now.Add(time.Hour)) {
		t.Error("a is still present")
	}
}
