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
	// Ports contains the ports that lead to pods, by name, with their indexes: interfaces
	// of veth pairs whose other interface is in another network namespace. Physical
	// interfaces, tunnels and the interfaces of virtual machines may carry tagged frames for
	// other purposes.
	Ports map[string]uint32
	// VLANs reports whether the bridge handles VLANs itself (vlan_filtering). Such a bridge
	// tags the frames of its ports.
	VLANs bool
}

// bridgesAmong returns the links that are bridges and have one of the given indexes. direct
// contains the interface that leads to each address.
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

// leadingThrough returns the addresses to which an interface leads, in ascending order.
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
