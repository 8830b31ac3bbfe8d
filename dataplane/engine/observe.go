package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/observe"
	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// observeInterval is the time between two samples of the counters of interfaces.
	observeInterval = 5 * time.Second
	// maxBypassedExamples limits the length of the list in the status.
	maxBypassedExamples = 5
)

// followTraffic compares the counters of interfaces with the counters of the rules, until the
// context ends.
func (e *Engine) followTraffic(ctx context.Context) {
	again := time.NewTicker(observeInterval)
	defer again.Stop()
	for {
		if err := e.sampleTraffic(); err != nil && !errors.Is(err, os.ErrClosed) {
			// Log this only for debugging: usually, another program has removed the table,
			// and the repair installs it again.
			e.config.Log.V(1).Info("cannot compare the packets of pods", "reason", err.Error())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// sampleTraffic adds one sample for each interface that leads to pods. It reads the counters of
// the rules last, because an interface counts a packet before the packet reaches the rules.
func (e *Engine) sampleTraffic() error {
	traffic, err := e.links.Traffic()
	if err != nil {
		return err
	}
	seen, err := e.table.PodPackets()
	if err != nil {
		return err
	}
	disabled := len(disabledBridgeSettings()) > 0
	samples := map[uint32]observe.Sample{}
	for index, n := range seen {
		if t, ok := traffic[index]; ok {
			samples[index] = sampleOf(t, n, disabled)
		}
	}
	e.traffic.Add(samples, time.Now())
	return nil
}

// sampleOf returns the sample of an interface. If br_netfilter is disabled, the packets that a
// bridge forwards between its ports bypass the rules, while the packets that the bridge
// delivers to the node reach the rules. In this case, the sample contains only the forwarded
// packets.
func sampleOf(t link.Traffic, seen uint64, disabled bool) observe.Sample {
	if !disabled {
		return observe.Sample{Sent: t.Sent, Seen: seen}
	}
	return observe.Sample{Sent: t.Sent - min(t.Sent, t.Delivered), Seen: seen - min(seen, t.Delivered)}
}

// podPackets returns the status of the packets that pods send. It returns nil if there is no
// interface whose counters can be compared with the counters of the rules.
func (e *Engine) podPackets() *report.PodPackets {
	states := e.traffic.States()
	if len(states) == 0 {
		return nil
	}
	var out report.PodPackets
	for _, index := range slices.Sorted(maps.Keys(states)) {
		switch s := states[index]; {
		case !s.Compared:
			out.Idle++
		case !s.Bypassed:
			out.Observed++
		default:
			out.Bypassed++
			if len(out.Examples) < maxBypassedExamples {
				out.Examples = append(out.Examples, e.bypassed(index, s.Sample))
			}
		}
	}
	return &out
}

// bypassed describes an interface whose packets bypass the rules.
func (e *Engine) bypassed(index uint32, s observe.Sample) report.BypassedInterface {
	out := report.BypassedInterface{Sent: s.Sent, Seen: s.Seen}
	names := e.names()
	e.linksMu.Lock()
	defer e.linksMu.Unlock()
	for _, i := range e.found.Interfaces {
		if i.Index == index {
			out.Interface, out.Bridge = i.Name, i.Shared
		}
	}
	for address, leading := range e.found.Direct {
		if name := names[address]; leading == index && (out.Pod == "" || name < out.Pod) {
			out.Pod = name
		}
	}
	return out
}
