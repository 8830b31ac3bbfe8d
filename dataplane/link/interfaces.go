package link

import (
	"fmt"
	"net/netip"
	"slices"

	rtnl "github.com/vishvananda/netlink"
)

// Interface describes an interface of the node.
type Interface struct {
	Index uint32
	Name  string
	// Uplink is set if interfaces of this kind never lead to a pod of this node. It is also set
	// if a route through the interface leads to machines beyond the directly connected
	// networks.
	Uplink bool
	// ToPod is set if the route to a pod leads directly through the interface, without a
	// gateway.
	ToPod bool
	// Shared is set if the interface can lead to several pods, such as a bridge.
	Shared bool
	// Networks contains the networks of the interface's addresses.
	Networks []netip.Prefix
}

// Kinds of interfaces, with the names that the kernel uses in IFLA_INFO_KIND. Physical
// interfaces and the loopback interface have no kind. The netlink library reports their kind as
// "device".
var (
	// outward lists the kinds of interfaces that lead only to other machines, or to no machine
	// at all.
	outward = map[string]bool{
		"device": true, "dummy": true, "bond": true, "team": true, "ifb": true,
		"vxlan": true, "geneve": true, "wireguard": true, "ipip": true, "ip6tnl": true, "sit": true, "gre": true, "gretap": true,
		"ip6gre": true, "ip6gretap": true, "erspan": true, "ip6erspan": true, "vti": true, "vti6": true, "xfrm": true,
	}
	// stacked lists the kinds of interfaces that send their packets through a parent
	// interface.
	stacked = map[string]bool{"vlan": true, "macsec": true}
	// pairs lists the kinds of interfaces that are connected to exactly one other interface.
	pairs = map[string]bool{"veth": true, "netkit": true}
)

// interfaces returns a description of each link. The `uplinks` parameter is the result of the
// method uplinks. The `toPods` parameter contains the indexes of the interfaces through which
// routes lead directly to pods.
func (f *Finder) interfaces(links []rtnl.Link, uplinks map[uint32]struct{}, toPods []uint32) ([]Interface, error) {
	addresses, err := f.routes.AddrList(nil, rtnl.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	networks := map[int][]netip.Prefix{}
	for _, a := range addresses {
		address, ok := netip.AddrFromSlice(a.IP)
		if bits, _ := a.Mask.Size(); ok {
			networks[a.LinkIndex] = append(networks[a.LinkIndex], netip.PrefixFrom(address.Unmap(), bits).Masked())
		}
	}
	byIndex := map[int]rtnl.Link{}
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	var out []Interface
	for _, l := range links {
		index := uint32(l.Attrs().Index)
		_, gateway := uplinks[index]
		out = append(out, Interface{
			Index: index, Name: l.Attrs().Name, Uplink: gateway || leadsOut(l, byIndex),
			ToPod: slices.Contains(toPods, index), Shared: !pairs[l.Type()], Networks: networks[l.Attrs().Index],
		})
	}
	return out, nil
}

// leadsOut reports whether a link can never lead to a pod because of its kind. For a stacked
// link, leadsOut checks the kind of the parent.
func leadsOut(l rtnl.Link, byIndex map[int]rtnl.Link) bool {
	for range len(byIndex) {
		if !stacked[l.Type()] {
			break
		}
		parent, ok := byIndex[l.Attrs().ParentIndex]
		if !ok {
			// The parent is in another network namespace.
			return true
		}
		l = parent
	}
	return outward[l.Type()]
}
