package link

import (
	"net/netip"
	"slices"

	rtnl "github.com/vishvananda/netlink"
)

// Bridge is a bridge that leads to isolated pods.
type Bridge struct {
	Name string
	// Pods contains the addresses of the pods, isolated or not, to which the bridge leads.
	Pods []netip.Addr
	// Ports contains the indexes of the ports that lead to pods, by the name of the port.
	// Such a port is an interface of a veth pair whose other interface is in another
	// network namespace. Ports omits physical interfaces, tunnels and the interfaces of
	// virtual machines, because they may carry VLAN-tagged frames for other purposes.
	Ports map[string]uint32
	// VLANs is set if the bridge handles VLANs itself (vlan_filtering). Such a bridge adds
	// VLAN tags to the frames of its ports.
	VLANs bool
}

// bridgesAmong returns a description of each link that is a bridge and has one of the given
// indexes. direct contains the index of the interface that leads to each pod, by the
// address of the pod.
func bridgesAmong(links []rtnl.Link, numbers []uint32, direct map[netip.Addr]uint32) []Bridge {
	ports := map[int]map[string]uint32{}
	for _, l := range links {
		a := l.Attrs()
		if l.Type() != "veth" || a.NetNsID < 0 || a.MasterIndex == 0 {
			continue
		}
		if ports[a.MasterIndex] == nil {
			ports[a.MasterIndex] = map[string]uint32{}
		}
		ports[a.MasterIndex][a.Name] = uint32(a.Index)
	}
	var out []Bridge
	for _, number := range numbers {
		for _, l := range links {
			if b, ok := l.(*rtnl.Bridge); ok && uint32(b.Index) == number {
				out = append(out, Bridge{
					Name: b.Name, Pods: leadingThrough(number, direct), Ports: ports[b.Index],
					VLANs: b.VlanFiltering != nil && *b.VlanFiltering,
				})
			}
		}
	}
	return out
}

// leadingThrough returns the addresses of the pods to which an interface leads, in
// ascending order.
func leadingThrough(number uint32, direct map[netip.Addr]uint32) []netip.Addr {
	var out []netip.Addr
	for a, leading := range direct {
		if leading == number {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}
