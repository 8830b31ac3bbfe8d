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

// unbridgePause is how long the bridge table stays installed after the last isolated pod was
// disconnected from a bridge. The pause keeps removals rare, because each removal makes the
// kernel drop all queued packets.
const unbridgePause = 10 * time.Second

// bridges describes the bridges to which isolated pods are connected.
type bridges struct {
	found []link.Bridge
	// err is the reason why frames are not validated. It is nil if frames are validated.
	err error
	// unused is the time at which the last isolated pod was disconnected from a bridge. It is
	// zero while an isolated pod is connected to a bridge.
	unused time.Time
	// removed reports whether the bridge table has been removed.
	removed bool
}

// setBridges installs the rules that validate the frames that pods send on the given bridges.
// If this fails, the status contains the error, and the other rules are not affected.
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

// bridgesOf returns the bridge ports on which frames are validated, each with the addresses of
// its pods. It reads these addresses from the sandboxes. It omits the ports of a bridge that
// handles VLANs itself, because the pods on such a bridge may send tagged frames.
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

// bridgeSettings lists the br_netfilter settings. If they are 1, the packets that a bridge
// forwards between its own ports traverse the nftables rules.
var bridgeSettings = []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}

// disabledBridgeSettings returns the names of the settings that are 0 or do not exist.
func disabledBridgeSettings() []string {
	var out []string
	for _, name := range bridgeSettings {
		// A missing setting counts as disabled, because it means that br_netfilter is not
		// loaded.
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil || strings.TrimSpace(string(value)) == "0" {
			out = append(out, name)
		}
	}
	return out
}

// bridgesStatus returns the status of the bridges to which isolated pods are connected, or nil
// if there are no such bridges.
func (e *Engine) bridgesStatus() *report.Bridges {
	e.statusMu.Lock()
	b := e.bridges
	e.statusMu.Unlock()
	if len(b.found) == 0 {
		return nil
	}
	out := &report.Bridges{Disabled: disabledBridgeSettings()}
	for _, found := range b.found {
		out.Names = append(out.Names, found.Name)
	}
	if b.err != nil {
		out.TaggedFrames = b.err.Error()
	}
	return out
}
