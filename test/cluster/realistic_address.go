package cluster

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Pods have addresses in 10.0.0.0/8 and fd00:10::/64. Each node has a separate range for its
// pods. Nodes have addresses in 172.16.0.0/12 and fd00:20::/64.

func nodeName(index int) string { return fmt.Sprintf("node-%d", index) }

// locals returns the number of pods on LocalNode, not including its hostNetwork pod.
func (r *Realistic) locals() int {
	if r.size.Nodes == 1 {
		return r.size.Pods
	}
	return min(LocalPods, r.size.Pods)
}

// localsBefore returns the number of pods on LocalNode whose index is less than the `index`
// parameter. The indexes of the pods on LocalNode are evenly distributed, so that every namespace
// has some pods on LocalNode.
func (r *Realistic) localsBefore(index int) int { return index * r.locals() / r.size.Pods }

func (r *Realistic) isLocal(index int) bool {
	return r.localsBefore(index+1) > r.localsBefore(index)
}

func (r *Realistic) nodeOf(index int) int {
	if r.isLocal(index) {
		return 0
	}
	return 1 + (index-r.localsBefore(index))%(r.size.Nodes-1)
}

func (r *Realistic) podAddresses(index int) []netip.Addr {
	node, place := 0, r.localsBefore(index)
	if !r.isLocal(index) {
		node, place = r.nodeOf(index), (index-r.localsBefore(index))/(r.size.Nodes-1)
	}
	return r.addresses(10<<24, 0x10, uint32(node)<<r.podBits+uint32(place)+2)
}

func (r *Realistic) nodeAddresses(node int) []netip.Addr {
	return r.addresses(172<<24|16<<16, 0x20, uint32(node)+1)
}

func (r *Realistic) addresses(base4 uint32, subnet6 byte, host uint32) []netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], base4+host)
	addresses := []netip.Addr{netip.AddrFrom4(four)}
	if r.size.DualStack {
		six := [16]byte{0: 0xfd, 3: subnet6}
		binary.BigEndian.PutUint32(six[12:], host)
		addresses = append(addresses, netip.AddrFrom16(six))
	}
	return addresses
}
