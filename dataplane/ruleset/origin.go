package ruleset

import "golang.org/x/sys/unix"

// Policies identify a pod by its addresses. So the source address of a packet from an
// egress-isolated pod must not be forged. The rules below drop a packet that arrives on an
// interface of such a pod if the source address does not belong to this interface.

// originRules returns the rules that drop a packet if its source is not routed to the
// interface on which the packet arrived.
func (c Config) originRules() []expressions {
	rules := []expressions{
		append(neighbourDiscovery(), returnToCaller()),
		// A multicast packet that this node sends loops back on the same interface. Any
		// other arriving packet with a source address of this node is forged. For IPv4,
		// the kernel already drops forged packets during routing.
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
// egress-isolated pod, except for the protocols that the link itself needs.
func linkLocalRules() []expressions {
	return []expressions{
		append(listenerDiscovery(), returnToCaller()),
		append(listenerReport2(), returnToCaller()),
		append(fromDHCPClient(), returnToCaller()),
		{goTo(deny)},
	}
}
