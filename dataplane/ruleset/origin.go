package ruleset

import (
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// The dataplane identifies a pod by its addresses. So the rules below drop two kinds of forged
// packets: packets with which another host tries to open a connection from a pod's address, and
// packets from an egress-isolated pod with the address of another host.

// firstPacketRules returns the rules for packets that do not belong to an established connection.
// If the source address belongs to a pod, isolated or not, the packet must arrive on the interface
// to which the address is routed. Otherwise the address is forged, and the rules drop the packet.
// If the rules accepted it, the packet would create a connection, and connection tracking would
// treat later packets from the attacker to the pod as replies.
func (c Config) firstPacketRules() []nft.Expressions {
	if c.WithoutReversePath {
		return nil
	}
	rules := []nft.Expressions{
		// A program on this node, such as a transparent proxy, may send packets with the source
		// address of a pod to the node's own addresses.
		append(nft.FromLoopback(), nft.ReturnToCaller()),
	}
	for _, s := range linkedSets {
		rules = append(rules, append(nft.Join(inSet(s), nft.SourceHasNoReversePath()), nft.Drop()))
	}
	return rules
}

// originRules returns the rules that drop a packet if its source address is not routed to the
// interface on which the packet arrived.
func (c Config) originRules() []nft.Expressions {
	rules := []nft.Expressions{
		append(nft.NeighbourDiscovery(), nft.ReturnToCaller()),
		// If this node sends a multicast packet, the packet can loop back to the node on the
		// same interface. Any other packet that arrives with a source address of this node is
		// forged. For IPv4, the kernel already drops such forged packets during routing.
		append(nft.Join(nft.Family(unix.NFPROTO_IPV4), nft.SourceIsLocal()), nft.ReturnToCaller()),
		append(nft.Join(nft.ToMulticast(), nft.SourceIsLocal()), nft.ReturnToCaller()),
		append(nft.Join(inputInterfaceIn(closedLinks), nft.SourceIsLinkLocal()), nft.GoTo(linkLocal)),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(nft.SourceHasNoReversePath(), nft.Drop()))
	}
	return rules
}

// linkLocalRules returns the rules that deny packets from the link-local address of an
// egress-isolated pod, except for multicast listener discovery and DHCPv6. Neighbour discovery
// does not reach these rules, because the chain `origin` returns earlier.
func linkLocalRules() []nft.Expressions {
	return []nft.Expressions{
		append(nft.ListenerDiscovery(), nft.ReturnToCaller()),
		append(nft.ListenerReport2(), nft.ReturnToCaller()),
		append(nft.FromDHCPClient(), nft.ReturnToCaller()),
		{nft.GoTo(deny)},
	}
}
