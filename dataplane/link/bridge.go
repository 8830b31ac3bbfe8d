package link

import (
	"net/netip"
	"slices"

	rtnl "github.com/vishvananda/netlink"
)

// Bridge is a bridge that leads to isolated pods.
type Bridge struct {
	Name string
	// Pods contains the addresses of all pods to which the bridge leads, including pods that
	// are not isolated.
	Pods []netip.Addr
	// Ports maps the names of the bridge ports that lead to pods to their indexes. Such a port
	// is one end of a veth pair. The other end is in another network namespace. Ports omits
	// physical interfaces, tunnels and the interfaces of virtual machines, because these
	// interfaces may carry VLAN-tagged frames for other purposes.
	Ports map[string]uint32
	// VLANs is set if the bridge handles VLANs itself (vlan_filtering). Such a bridge adds
	// VLAN tags to the frames of its ports.
	VLANs bool
}

// bridgesAmong describes the bridges in `links` whose indexes are in `numbers`. The `direct`
// map contains an interface index for each pod address: the route to the address leads through
// this interface.
func bridgesAmong(links []rtnl.Link, numbers []uint32, direct map[netip.Addr]uint32) []Bridge {
	ports := map[int]map[string]uint32{}
	for _, l := range links {
		if !isPodPort(l) {
			continue
		}
		a := l.Attrs()
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

// leadingThrough returns the pod addresses to which routes lead through the interface with the
// given index, in ascending order. For the `direct` map, see bridgesAmong.
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
