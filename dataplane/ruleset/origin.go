package ruleset

import "golang.org/x/sys/unix"

// The dataplane identifies a pod by its addresses. So the rules below drop two kinds of forged
// packets: packets with which another host tries to open a connection from a pod's address, and
// packets from an egress-isolated pod with the address of another host.

// firstPacketRules returns the rules for packets that do not belong to an established connection.
// If the source address belongs to a pod, isolated or not, the packet must arrive on the interface
// to which the address is routed. Otherwise the address is forged, and the rules drop the packet.
// If the rules accepted it, the packet would create a connection, and connection tracking would
// treat later packets from the attacker to the pod as replies.
func (c Config) firstPacketRules() []expressions {
	if c.WithoutReversePath {
		return nil
	}
	rules := []expressions{
		// A program on this node, such as a transparent proxy, may send packets with the source
		// address of a pod to the node's own addresses.
		append(fromLoopback(), returnToCaller()),
	}
	for _, s := range linkedSets {
		rules = append(rules, append(join(inSet(s), sourceHasNoReversePath()), drop()))
	}
	return rules
}

// originRules returns the rules that drop a packet if its source address is not routed to the
// interface on which the packet arrived.
func (c Config) originRules() []expressions {
	rules := []expressions{
		append(neighbourDiscovery(), returnToCaller()),
		// If this node sends a multicast packet, the packet can loop back to the node on the
		// same interface. Any other packet that arrives with a source address of this node is
		// forged. For IPv4, the kernel already drops such forged packets during routing.
		append(join(family(unix.NFPROTO_IPV4), sourceIsLocal()), returnToCaller()),
		append(join(toMulticast(), sourceIsLocal()), returnToCaller()),
		append(join(inputInterfaceIn(closedLinks), sourceIsLinkLocal()), goTo(linkLocal)),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(sourceHasNoReversePath(), drop()))
	}
	return rules
}

// linkLocalRules returns the rules that deny packets from the link-local address of an
// egress-isolated pod, except for multicast listener discovery and DHCPv6. Neighbour discovery
// does not reach these rules, because the chain `origin` returns earlier.
func linkLocalRules() []expressions {
	return []expressions{
		append(listenerDiscovery(), returnToCaller()),
		append(listenerReport2(), returnToCaller()),
		append(fromDHCPClient(), returnToCaller()),
		{goTo(deny)},
	}
}
