package link

import (
	"fmt"
	"os"

	rtnl "github.com/vishvananda/netlink"
)

// Traffic contains the packet counters of an interface that leads to pods.
type Traffic struct {
	// Sent is the number of packets that the interface has received from its pods.
	Sent uint64
	// Delivered is the number of packets that a bridge has delivered to the node itself. The
	// bridge has forwarded all other packets between its ports. Delivered is 0 if the interface
	// is not a bridge.
	Delivered uint64
}

// Traffic returns the counters of each interface that leads to pods. The key is the index of the
// interface. For a bridge, Sent is the sum over the ports that lead to other network namespaces.
// The map omits other interfaces that can lead to several pods, because the kernel has no
// counter for the packets that these pods send.
func (f *Finder) Traffic() (map[uint32]Traffic, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.routes == nil {
		return nil, fmt.Errorf("reading the counters of interfaces: %w", os.ErrClosed)
	}
	links, err := f.routes.LinkList()
	if err != nil {
		return nil, fmt.Errorf("reading the counters of interfaces: %w", err)
	}
	out := map[uint32]Traffic{}
	add := func(index int, t Traffic) {
		sum := out[uint32(index)]
		out[uint32(index)] = Traffic{Sent: sum.Sent + t.Sent, Delivered: sum.Delivered + t.Delivered}
	}
	for _, l := range links {
		a := l.Attrs()
		switch {
		case a.Statistics == nil:
		case l.Type() == "bridge":
			add(a.Index, Traffic{Delivered: a.Statistics.RxPackets})
		case pairs[l.Type()]:
			add(a.Index, Traffic{Sent: a.Statistics.RxPackets})
			if isPodPort(l) {
				add(a.MasterIndex, Traffic{Sent: a.Statistics.RxPackets})
			}
		}
	}
	return out, nil
}

// isPodPort reports whether a link is one end of a veth pair that meets two conditions: it is a
// port of a bridge or of a similar interface, and the other end is in another network
// namespace.
func isPodPort(l rtnl.Link) bool {
	a := l.Attrs()
	return l.Type() == "veth" && a.NetNsID >= 0 && a.MasterIndex != 0
}
