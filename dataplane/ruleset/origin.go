package ruleset

import "golang.org/x/sys/unix"

// The dataplane identifies a pod by its addresses. So no other host may open a connection
// from the address of a pod, and an egress-isolated pod may not use the address of another
// host. The rules below drop packets with such forged source addresses.

// firstPacketRules returns the rules for packets that do not belong to an established connection.
// If the source address belongs to a pod, isolated or not, the packet must arrive on the interface
// to which the address is routed. Otherwise the address is forged, and the rules drop the packet,
// so the packet creates no connection. If the rules accepted it, connection tracking would treat
// later packets from the attacker to the pod as replies.
func (c Config) firstPacketRules() []expressions {
	if c.WithoutReversePath {
		return nil
	}
	rules := []expressions{
		// A program on this node, such as a transparent proxy, may send from the address
		// of a pod to an address of this node.
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
