package link_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/lab"
)

// add adds an interface to the node.
func (n *node) add(l netlink.Link) {
	n.t.Helper()
	if err := n.Do(func() error { return netlink.LinkAdd(l) }); err != nil {
		n.t.Fatal(err)
	}
}

// enslave adds an interface to a bridge as a port.
func (n *node) enslave(name, bridge string) {
	n.t.Helper()
	n.change(name, func(port netlink.Link) error {
		l, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(port, l)
	})
}

// connect connects a pod to a bridge, and adds routes for the pod's addresses through the
// bridge.
func (n *node) connect(pod *lab.Pod, bridge string) {
	n.t.Helper()
	n.enslave(pod.Interface, bridge)
	n.change(bridge, func(l netlink.Link) error {
		for _, a := range pod.Addresses() {
			dst, err := netlink.ParseIPNet(netip.PrefixFrom(a, a.BitLen()).String())
			if err != nil {
				return err
			}
			if err := netlink.RouteReplace(&netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *node) wantBridges(when string, isolated ruleset.Addresses, want ...link.Bridge) {
	n.t.Helper()
	var all []netip.Addr
	for _, p := range n.pods {
		all = append(all, p.Addresses()...)
	}
	got, err := n.finder.Find(link.Pods{All: all, Isolated: isolated})
	if err != nil {
		n.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Bridges, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		n.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func sorted(all []netip.Addr) []netip.Addr {
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

func TestFindBridges(t *testing.T) {
	n := newNode(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}}
	n.add(bridge)
	n.change("cni0", netlink.LinkSetUp)
	a, b, routed := n.pod("a"), n.pod("b"), n.pod("routed")
	n.connect(a, "cni0")
	n.connect(b, "cni0")
	// Add the interface of a virtual machine, and a veth pair with both interfaces on the node.
	n.add(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "vm"}, Mode: netlink.TUNTAP_MODE_TAP})
	n.add(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "patch"}, PeerName: "patch-peer"})
	n.enslave("vm", "cni0")
	n.enslave("patch", "cni0")

	want := link.Bridge{Name: "cni0", Pods: sorted(append(a.Addresses(), b.Addresses()...)), Ports: map[string]uint32{
		a.Interface: n.number(a.Interface), b.Interface: n.number(b.Interface),
	}}
	n.wantBridges("isolated for egress", ruleset.Addresses{Egress: a.Addresses()}, want)
	n.wantBridges("isolated for ingress", ruleset.Addresses{Ingress: a.Addresses()[:1]}, want)
	n.wantBridges("a routed pod is isolated", ruleset.Addresses{Ingress: routed.Addresses()})

	// Although a route through the bridge has a gateway, the result still contains the
	// bridge.
	n.change("cni0", func(l netlink.Link) error {
		dst, err := netlink.ParseIPNet("198.51.100.0/24")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Gw: a.Addresses()[0].AsSlice()})
	})
	n.wantBridges("with a gateway", ruleset.Addresses{Egress: a.Addresses()}, want)
}

// When a pod on a bridge ends, the routes through the bridge remain. When a pod with its own
// link ends, the routes through this link are removed.
func TestRoutedPods(t *testing.T) {
	n := newNode(t)
	n.add(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "cni0"}})
	n.change("cni0", netlink.LinkSetUp)
	bridged, routed := n.pod("bridged"), n.pod("routed")
	n.connect(bridged, "cni0")
	want := func(want ...netip.Addr) {
		t.Helper()
		got, err := n.finder.Find(link.Pods{All: slices.Concat(bridged.Addresses(), routed.Addresses())})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Routed, want) {
			t.Errorf("pods with a separate route: %v, want %v", got.Routed, want)
		}
	}
	want(sorted(routed.Addresses())...)
	n.change(routed.Interface, netlink.LinkDel)
	want()
}

// The kernel of a test machine may lack CONFIG_BRIDGE_VLAN_FILTERING. Therefore, this test
// constructs links instead of reading them from the kernel.
func TestBridgesThatHandleVLANs(t *testing.T) {
	on, off := true, false
	links := []netlink.Link{
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "on", Index: 1}, VlanFiltering: &on},
		&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "off", Index: 2}, VlanFiltering: &off},
		&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a", Index: 3, MasterIndex: 1}},
		&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "b", Index: 4, MasterIndex: 2}},
	}
	want := []link.Bridge{
		{Name: "on", Ports: map[string]uint32{"a": 3}, VLANs: true},
		{Name: "off", Ports: map[string]uint32{"b": 4}},
	}
	if diff := cmp.Diff(want, link.BridgesAmong(links, []uint32{1, 2}, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
