package ruleset

import "golang.org/x/sys/unix"

// A pod is known by its addresses. So these rules look at what comes in by an
// interface that leads to a pod isolated for egress, and let nothing by that
// says it is somebody else's.

// originRules drops what cannot come from where it came from.
func (c Config) originRules() []expressions {
	rules := []expressions{
		append(neighbourDiscovery(), comeBack()),
		// What this node sends to a group comes in again by the interface that it
		// went out by. Anything else in this node's name is forged, which IPv4 finds
		// out while routing.
		append(join(family(unix.NFPROTO_IPV4), sourceIsLocal()), comeBack()),
		append(join(toMulticast(), sourceIsLocal()), comeBack()),
		append(join(cameInBy(closedLinks), sourceIsLinkLocal()), continueAt(linkLocal)),
	}
	if !c.WithoutReversePath {
		rules = append(rules, append(sourceIsElsewhere(), drop()))
	}
	return rules
}

// linkLocalRules refuses what a pod isolated for egress sends from its link-local
// address, but for what keeps the link running.
func linkLocalRules() []expressions {
	return []expressions{
		append(listenerDiscovery(), comeBack()),
		append(listenerReport2(), comeBack()),
		append(fromDHCPClient(), comeBack()),
		{continueAt(refuse)},
	}
}
