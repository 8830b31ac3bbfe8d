// Package observe detects pod interfaces whose packets bypass netfilter. For each interface, it
// compares two numbers: the packets that the interface has received from its pods, and the
// packets from this interface that have reached a rule in the prerouting hook. Packets that
// bypass the hook bypass all rules of Sluice.
package observe

import (
	"sync"
	"time"
)

const (
	// minSent is the number of packets that the pods of an interface must have sent before its
	// counters are compared.
	minSent = 100
	// maxRatio limits the ratio of the packets that pods send to the packets that reach the
	// hook. If the ratio is higher, packets bypass the hook. Without a bypass, the ratio can
	// still be above 1, because the kernel may merge up to 64 KiB of TCP segments into one
	// packet before the hook.
	maxRatio = 64
	// window is the time within which the pods must send minSent packets. If they send fewer, most
	// of their packets may be ARP requests, which do not reach the hook.
	window = time.Minute
)

// Sample contains counters of an interface.
type Sample struct {
	// Sent is the number of packets that the interface has received from its pods. Seen is the
	// number of packets from this interface that have reached the hook.
	Sent, Seen uint64
}

// State is the result for an interface.
type State struct {
	// Compared is false until the pods have sent enough packets.
	Compared bool
	// Bypassed is true if almost none of the packets have reached the hook.
	Bypassed bool
	// Sample contains the numbers of packets that were compared.
	Sample
}

// Tracker compares the counters of interfaces. It identifies interfaces by their indexes. It is
// safe for concurrent use.
type Tracker struct {
	mu    sync.Mutex
	links map[uint32]*link
}

type link struct {
	state State
	// last is the newest sample. begin is the sample at the start of the current window.
	last, begin Sample
	since       time.Time
}

// Add adds samples that were read at the given time. The keys of `samples` are the indexes of all
// interfaces that exist. Add forgets all other interfaces.
func (t *Tracker) Add(samples map[uint32]Sample, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	links := make(map[uint32]*link, len(samples))
	for index, s := range samples {
		l := t.links[index]
		if l == nil {
			l = &link{last: s, begin: s, since: at}
		}
		l.add(s, at)
		links[index] = l
	}
	t.links = links
}

func (l *link) add(s Sample, at time.Time) {
	// A counter that has decreased means that the interface or the rules were created
	// again.
	restarted := s.Sent < l.last.Sent || s.Seen < l.last.Seen
	l.last = s
	grown := Sample{Sent: s.Sent - l.begin.Sent, Seen: s.Seen - l.begin.Seen}
	if !restarted && grown.Sent >= minSent {
		l.state = State{Compared: true, Bypassed: grown.Seen < grown.Sent/maxRatio, Sample: grown}
		restarted = true
	}
	if restarted || at.Sub(l.since) >= window {
		l.begin, l.since = s, at
	}
}

// States returns the state of each interface.
func (t *Tracker) States() map[uint32]State {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[uint32]State, len(t.links))
	for index, l := range t.links {
		out[index] = l.state
	}
	return out
}
