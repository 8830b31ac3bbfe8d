// Package flood measures how fast pods flood. A pod floods if it opens or receives flows faster
// than a limit in package ruleset. The first packets of such a pod go to the flood queue.
package flood

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

const (
	// interval is the time between two samples. It is shorter than the time for which the kernel keeps
	// a flooder in its sets, so that each flooder is in at least one sample.
	interval = time.Second
	// remembered is the time for which the tracker still reports a pod after the last sample in
	// which the pod flooded.
	remembered = time.Minute
	// slowest is the lowest rate that the tracker reports, in packets per second. A pod that has ended
	// its flood stays in the sets of the kernel for some time, but its rate is then below the limits.
	slowest = ruleset.LowestLimit
)

// Tracker computes the rates of pods from samples of the kernel's counters. The zero value is ready
// to use. A Tracker is safe for concurrent use.
type Tracker struct {
	mu   sync.Mutex
	pods map[ruleset.Flooder]*pod
	at   time.Time
}

type pod struct {
	name      string
	packets   uint64
	perSecond float64
	// since and last are the times of the first and the last sample in which the pod flooded.
	since, last time.Time
}

// Follow adds a sample every second until the context ends. The function `read` returns the number
// of packets of each pod that uses the flood queue. If it fails, Follow skips the sample. The function
// `names` returns the names of the pods by address.
func (t *Tracker) Follow(ctx context.Context, read func() (map[ruleset.Flooder]uint64, error), names func() map[netip.Addr]string) {
	again := time.NewTicker(interval)
	defer again.Stop()
	for {
		if counts, err := read(); err == nil {
			t.Add(counts, names(), time.Now())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// Add adds a sample that was read at the given time. The sample contains the number of packets of
// each pod that uses the flood queue. If a number has decreased, the kernel has started the count
// again. The parameter `names` contains the names of the pods by address. The tracker keeps the name
// of a pod that is deleted later.
func (t *Tracker) Add(counts map[ruleset.Flooder]uint64, names map[netip.Addr]string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	passed := interval.Seconds()
	if !t.at.IsZero() {
		passed = max(at.Sub(t.at), interval).Seconds()
	}
	t.at = at
	if t.pods == nil {
		t.pods = map[ruleset.Flooder]*pod{}
	}
	for f, n := range counts {
		p := t.pods[f]
		if p == nil {
			p = &pod{}
			t.pods[f] = p
		}
		p.name = cmp.Or(names[f.Address], p.name)
		grown := n - p.packets
		if n < p.packets {
			grown = n
		}
		p.packets = n
		perSecond := float64(grown) / passed
		if perSecond < slowest {
			continue
		}
		if !p.floods(at) {
			p.since, p.perSecond = at, 0
		}
		p.perSecond, p.last = max(p.perSecond, perSecond), at
	}
	for f, p := range t.pods {
		if _, queued := counts[f]; queued {
			continue
		}
		p.packets = 0 // The kernel starts the count again.
		if !p.floods(at) {
			delete(t.pods, f)
		}
	}
}

// floods reports whether the pod has flooded within the last minute.
func (p *pod) floods(at time.Time) bool { return !p.last.IsZero() && at.Sub(p.last) <= remembered }

// Pods returns the pods that have flooded within the last minute. The pod with the highest rate is
// first. The list contains at most report.MaxFloodingPods pods.
func (t *Tracker) Pods() []report.FloodingPod {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []report.FloodingPod
	for f, p := range t.pods {
		if !p.floods(t.at) {
			continue
		}
		direction := rule.Egress
		if f.Ingress {
			direction = rule.Ingress
		}
		out = append(out, report.FloodingPod{
			Pod: p.name, Address: f.Address, Direction: direction.String(),
			PerSecond: uint64(p.perSecond), Since: p.since, Last: p.last,
		})
	}
	slices.SortFunc(out, func(a, b report.FloodingPod) int {
		return cmp.Or(-cmp.Compare(a.PerSecond, b.PerSecond), a.Address.Compare(b.Address), cmp.Compare(a.Direction, b.Direction))
	})
	return out[:min(len(out), report.MaxFloodingPods)]
}
