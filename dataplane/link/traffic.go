package link

import (
	"fmt"
	"os"

	rtnl "github.com/vishvananda/netlink"
)

// Sent returns the number of packets that each interface has received from the pods to which it
// leads. The key is the index of the interface. For a bridge, it is the sum over the ports that
// lead to other network namespaces. The map omits all other interfaces that can lead to several
// pods, because the kernel does not count the packets of their pods.
func (f *Finder) Sent() (map[uint32]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.routes == nil {
		return nil, fmt.Errorf("reading the counters of interfaces: %w", os.ErrClosed)
	}
	links, err := f.routes.LinkList()
	if err != nil {
		return nil, fmt.Errorf("reading the counters of interfaces: %w", err)
	}
	out := map[uint32]uint64{}
	for _, l := range links {
		a := l.Attrs()
		if !pairs[l.Type()] || a.Statistics == nil {
			continue
		}
		if isPodPort(l) {
			out[uint32(a.MasterIndex)] += a.Statistics.RxPackets
		}
		out[uint32(a.Index)] += a.Statistics.RxPackets
	}
	return out, nil
}

// isPodPort reports whether a link is the port of a bridge or of another interface, and leads to
// another network namespace.
func isPodPort(l rtnl.Link) bool {
	a := l.Attrs()
	return l.Type() == "veth" && a.NetNsID >= 0 && a.MasterIndex != 0
}
