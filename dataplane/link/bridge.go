package link

import (
	"fmt"

	rtnl "github.com/vishvananda/netlink"
)

// Bridge is a bridge that leads to isolated pods.
type Bridge struct {
	Name string
	// Ports contains the indexes of the ports that lead to pods: interfaces of veth pairs
	// whose other interface is in another network namespace. Physical interfaces, tunnels
	// and the interfaces of virtual machines may carry tagged frames for other purposes.
	Ports []uint32
	// VLANs reports whether the bridge handles VLANs itself (vlan_filtering). Such a bridge
	// tags the frames of its ports.
	VLANs bool
}

// bridges returns those of the given interfaces that are bridges.
func (f *Finder) bridges(numbers []uint32) ([]Bridge, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	links, err := f.routes.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	return bridgesAmong(links, numbers), nil
}

func bridgesAmong(links []rtnl.Link, numbers []uint32) []Bridge {
	ports := map[int][]uint32{}
	for _, l := range links {
		if a := l.Attrs(); l.Type() == "veth" && a.NetNsID >= 0 && a.MasterIndex != 0 {
			ports[a.MasterIndex] = append(ports[a.MasterIndex], uint32(a.Index))
		}
	}
	var out []Bridge
	for _, number := range numbers {
		for _, l := range links {
			if b, ok := l.(*rtnl.Bridge); ok && uint32(b.Index) == number {
				out = append(out, Bridge{Name: b.Name, Ports: ports[b.Index], VLANs: b.VlanFiltering != nil && *b.VlanFiltering})
			}
		}
	}
	return out
}
