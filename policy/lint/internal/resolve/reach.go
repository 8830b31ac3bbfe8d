package resolve

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
)

// allowsDNS reports whether at least one egress rule of the policy allows connections to a
// DNS server.
func allowsDNS(p *check.Pass) bool {
	for i := range p.Egress {
		if reachesDNS(p, &p.Egress[i]) {
			return true
		}
	}
	return false
}

// reachesDNS reports whether a rule matches queries over UDP to a DNS server:
//
//   - If the nodes run DNS caches, pods send their queries to the address of the cache. Depending on
//     its configuration, the cache also listens on the address of the DNS Service.
//   - If the input contains the DNS servers, at least one of them must be a peer, with its port.
//   - Otherwise the rule must include the DNS port, and a peer must be able to be a DNS server.
func reachesDNS(p *check.Pass, r *policy.Rule) bool {
	switch {
	case r.Invalid || !p.Spend(10+10*len(r.Ports)):
		return false
	case p.RunScope == check.ScopeCluster && p.NodeLocalDNS:
		return dns.IncludesPort(r.Ports, flow.UDP, 53) && anyPeer(p, r, func(peer *policy.Peer) bool { return isCache(p, peer) })
	case p.RunScope == check.ScopeCluster && len(p.DNSServers) > 0:
		return slices.ContainsFunc(p.DNSServers, func(s check.DNSServer) bool { return reachesServer(p, r, s) }) || reachesOutside(p, r)
	default:
		return dns.Includes(r.Ports, flow.UDP) && anyPeer(p, r, func(peer *policy.Peer) bool { return canBeDNS(p, r, peer) })
	}
}

// anyPeer reports whether the function f returns true for a peer of a rule, or the rule has no peers.
func anyPeer(p *check.Pass, r *policy.Rule, f func(*policy.Peer) bool) bool {
	for i := range r.Peers {
		if p.Stopped || p.Spend(10) && f(&r.Peers[i]) {
			return true
		}
	}
	return len(r.Peers) == 0
}

// isCache reports whether a peer can be the DNS cache of a node.
func isCache(p *check.Pass, peer *policy.Peer) bool {
	return peer.Block != nil && (peer.Block.Contains(dns.NodeLocal) || dnsServiceIn(p, peer) != nil)
}

// dnsServiceIn returns an address of the DNS Service in a block. If the peer is no block, or the block
// contains no such address, it returns nil.
func dnsServiceIn(p *check.Pass, peer *policy.Peer) *check.ServiceAddress {
	if peer.Block == nil {
		return nil
	}
	for a := range p.ServicesInBlock(peer.Block) {
		if a.IsDNS {
			return &a
		}
	}
	return nil
}

// reachesServer reports whether a rule matches queries to a DNS server.
func reachesServer(p *check.Pass, r *policy.Rule, s check.DNSServer) bool {
	return dns.IncludesPort(r.Ports, flow.UDP, s.UDPPort) &&
		anyPeer(p, r, func(peer *policy.Peer) bool { return matchesPod(p, peer, s.Pod) })
}

func matchesPod(p *check.Pass, peer *policy.Peer, pod *policy.Pod) bool {
	switch {
	case peer.OfNodes:
		return false
	case peer.Block != nil:
		return blockContains(p, peer.Block, pod)
	default:
		return setContains(p, &peer.PodSet, pod)
	}
}

// reachesOutside reports whether a rule lists the DNS port, and one of its peers is a block that
// contains no address of the cluster, such as the address of a public DNS server. The author of such a
// rule then configured the pods to use this server.
func reachesOutside(p *check.Pass, r *policy.Rule) bool {
	return len(r.Ports) > 0 && dns.IncludesPort(r.Ports, flow.UDP, 53) && slices.ContainsFunc(r.Peers, func(peer policy.Peer) bool {
		return peer.Block != nil && p.Spend(10) && peer.Block.CIDR.Prefix.Bits() > 0 && outside(p, peer.Block)
	})
}

// outside reports whether a block contains no address of a pod or a Service.
func outside(p *check.Pass, b *policy.Block) bool {
	whole := &policy.Block{CIDR: b.CIDR}
	for range p.ServicesInBlock(whole) {
		return false
	}
	return p.PodsInBlock(whole).Count == 0
}

// canBeDNS reports whether a peer can be a DNS server if the DNS servers are unknown. The caller has
// already checked that the rule allows the DNS port. A rule that lists ports allows this port
// explicitly, so the conditions for its peers are weaker.
func canBeDNS(p *check.Pass, r *policy.Rule, peer *policy.Peer) bool {
	switch {
	case !p.Contains(peer):
		return true
	case peer.OfNodes:
		return false
	case peer.Block != nil && peer.Block.CIDR.Prefix.IsSingleIP() && dnsServiceIn(p, peer) != nil:
		return false
	case peer.Block != nil:
		return !excludesPrivate(peer.Block) && (len(r.Ports) > 0 || peer.Block.CIDR.Prefix.Bits() == 0)
	case len(r.Ports) > 0:
		return true
	case p.RunScope == check.ScopeNamespace:
		return slices.ContainsFunc(p.DNSServers, func(s check.DNSServer) bool { return setContains(p, &peer.PodSet, s.Pod) })
	default:
		return peer.Namespaces.Present() && peer.Namespaces.Matches(label.Of(map[string]string{corev1.LabelMetadataName: dns.Namespace}))
	}
}

// excludesPrivate reports whether a block contains all IPv4 addresses except the private ranges. The
// addresses of pods are nearly always in these ranges.
func excludesPrivate(b *policy.Block) bool {
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		if !slices.ContainsFunc(b.Except, func(c policy.CIDR) bool { return c.Prefix.String() == private }) {
			return false
		}
	}
	return b.CIDR.Prefix.Bits() == 0
}

func blockContains(p *check.Pass, b *policy.Block, pod *policy.Pod) bool {
	return p.Spend(10*(1+len(b.Except))*len(pod.Addresses)) && slices.ContainsFunc(pod.Addresses, b.Contains)
}

func setContains(p *check.Pass, set *policy.PodSet, pod *policy.Pod) bool {
	return p.MatchesSpace(set, p.Space(pod.Namespace)) && p.Matches(set.Pods, &check.Group{Labels: pod.Labels})
}
