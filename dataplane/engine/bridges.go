package engine

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// unbridgePause is the time from the moment at which no isolated pod is on a bridge until
// the bridge table is removed. When the kernel removes the table, it drops all packets that
// wait in the queues, so the table must not be removed whenever a pod ends.
const unbridgePause = 10 * time.Second

// bridges describes the bridges that lead to isolated pods.
type bridges struct {
	found []link.Bridge
	// err is the reason why frames are not validated. It is nil if they are.
	err error
	// unused is the time since which there has been no such bridge. It is zero while there
	// is one.
	unused time.Time
	// removed is set when the bridge table has been removed.
	removed bool
}

// setBridges makes the rules validate the frames that pods send on the given bridges. An
// error is reported in the status. It does not affect the other rules.
func (e *Engine) setBridges(found []link.Bridge, sandboxes []report.Sandbox) {
	b := bridges{found: found}
	if len(found) > 0 {
		b.err = e.table.SetBridges(bridgesOf(found, sandboxes))
	} else {
		b.unused, b.removed = e.bridges.unused, e.bridges.removed
		switch {
		case b.unused.IsZero():
			b.unused = time.Now()
			time.AfterFunc(unbridgePause, e.linksDue.Set)
		case !b.removed && time.Since(b.unused) >= unbridgePause:
			b.err = e.table.Unbridge()
			b.removed = b.err == nil
		}
	}
	if b.err != nil {
		e.config.Log.Error(b.err, "validating the frames of pods on bridges failed, will retry when an interface changes")
	}
	e.statusMu.Lock()
	e.bridges = b
	e.statusMu.Unlock()
}

// bridgesOf returns the ports on which frames are validated, and the pods to which they lead
// according to the sandboxes. If a bridge handles VLANs itself, its pods may send tagged
// frames, so its ports are omitted.
func bridgesOf(found []link.Bridge, sandboxes []report.Sandbox) ruleset.Bridges {
	var out ruleset.Bridges
	for _, b := range found {
		if b.VLANs {
			continue
		}
		out.Ports = append(out.Ports, slices.Sorted(maps.Values(b.Ports))...)
		for _, s := range sandboxes {
			port, ok := b.Ports[s.HostInterface]
			if !ok {
				continue
			}
			for _, a := range s.Addresses {
				if _, ok := slices.BinarySearchFunc(b.Pods, a, netip.Addr.Compare); ok {
					out.Owners = append(out.Owners, ruleset.Owner{Port: port, Address: a})
				}
			}
		}
	}
	return out
}

// bridgeSettings are the settings of br_netfilter that send the packets between the ports of
// a bridge through the rules.
var bridgeSettings = []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}

// bridgesStatus returns the status of the bridges, or nil if there are none.
func (e *Engine) bridgesStatus() *report.Bridges {
	e.statusMu.Lock()
	b := e.bridges
	e.statusMu.Unlock()
	if len(b.found) == 0 {
		return nil
	}
	out := &report.Bridges{}
	for _, found := range b.found {
		out.Names = append(out.Names, found.Name)
	}
	for _, name := range bridgeSettings {
		// If br_netfilter is not loaded, the setting does not exist.
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil || strings.TrimSpace(string(value)) == "0" {
			out.Disabled = append(out.Disabled, name)
		}
	}
	if b.err != nil {
		out.TaggedFrames = b.err.Error()
	}
	return out
}
