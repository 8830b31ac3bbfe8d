package ruleset

import "golang.org/x/sys/unix"

// Policies identify a pod by its addresses. These rules drop packets that come in
// by an interface of a pod that is isolated for egress and have a source that does
// not belong there.

// originRules drops packets whose source is not routed to the interface by which
// they came in.
func (c Config) originRules() []expressions {
	rules := []expressions{
		append(neighbourDiscovery(), returnToCaller()),
		// A multicast packet of this node loops back to it by the interface that it
		// went out by. Any other incoming packet with a source of this node is
		// forged. For IPv4, the kernel drops such packets while routing.
		append(join(family(unix.NFPROTO_IPV4), sourceIsLocal()), returnToCaller()),
		append(join(toMulticast(), sourceIsLocal()), returnToCaller()),
		append(join(inputInterfaceIn(closedLinks), sourceIsLinkLocal()), goTo(linkLocal)),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(sourceHasNoReversePath(), drop()))
	}
	return rules
}

// linkLocalRules denies packets from the link-local address of a pod that is
// isolated for egress, except for the protocols that the link itself needs.
func linkLocalRules() []expressions {
	return []expressions{
		append(listenerDiscovery(), returnToCaller()),
		append(listenerReport2(), returnToCaller()),
		append(fromDHCPClient(), returnToCaller()),
		{goTo(deny)},
	}
}
