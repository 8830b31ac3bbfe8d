package engine

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

func TestBridgesOf(t *testing.T) {
	address := netip.MustParseAddr
	found := []link.Bridge{
		{
			Pods:  []netip.Addr{address("10.0.0.1"), address("10.0.0.2"), address("fd00::1")},
			Ports: map[string]uint32{"veth1": 7, "veth2": 3},
		},
		// The ports of a bridge that handles VLANs must be omitted, because the pods on such a
		// bridge may send tagged frames.
		{Pods: []netip.Addr{address("10.0.1.1")}, Ports: map[string]uint32{"veth3": 4}, VLANs: true},
	}
	sandboxes := []report.Sandbox{
		{HostInterface: "veth1", Addresses: []netip.Addr{address("10.0.0.1"), address("fd00::1")}},
		// No route to this address leads to a bridge, for example because the address belongs
		// to another network.
		{HostInterface: "veth2", Addresses: []netip.Addr{address("10.9.0.1")}},
		{HostInterface: "veth3", Addresses: []netip.Addr{address("10.0.1.1")}},
		// The CNI plugin reports no interface for this pod, or an interface that is not a port
		// of a bridge.
		{Addresses: []netip.Addr{address("10.0.0.2")}},
		{HostInterface: "cni0", Addresses: []netip.Addr{address("10.0.0.2")}},
	}
	want := ruleset.Bridges{
		Ports:  []uint32{3, 7},
		Owners: []ruleset.Owner{{Port: 7, Address: address("10.0.0.1")}, {Port: 7, Address: address("fd00::1")}},
	}
	if diff := cmp.Diff(want, bridgesOf(found, sandboxes), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
