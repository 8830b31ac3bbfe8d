package resolve

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// explain returns the likely reason why the rules of the policy do not allow DNS, and a fix. If there is
// no likely reason, cause is "".
func explain(p *check.Pass) (cause, fix string) {
	for i := range p.Egress {
		if cause, fix := explainRule(p, &p.Egress[i]); cause != "" {
			return cause, fix
		}
	}
	return "", fixOf(p)
}

// explainRule returns the likely reason why a rule that seems to allow DNS does not do so.
func explainRule(p *check.Pass, r *policy.Rule) (cause, fix string) {
	name := sample.RuleName(r)
	if len(r.Ports) > 0 && dns.Includes(r.Ports, flow.TCP) && !dns.Includes(r.Ports, flow.UDP) {
		return name + " allows port 53 only over TCP", "add protocol: UDP at port 53; a port without a protocol is TCP, and DNS uses UDP first"
	}
	if p.RunScope != check.ScopeCluster {
		return "", ""
	}
	if p.NodeLocalDNS {
		return "the pods send their queries to the DNS cache of their node, which no selector matches", fixOf(p)
	}
	if cause := allowsService(p, r); cause != "" {
		return cause, fixOf(p)
	}
	for _, s := range p.DNSServers {
		if cause := cutOff(p, r, s); cause != "" {
			return cause, fixOf(p)
		}
	}
	if len(p.DNSServers) > 0 && len(r.Ports) > 0 && len(r.Peers) > 0 && dns.Includes(r.Ports, flow.UDP) {
		return "no peer of " + name + " is a DNS server of this cluster", fixOf(p)
	}
	return "", ""
}

// allowsService returns a text that states that a rule allows the address of the DNS Service instead of
// the addresses of the DNS servers. If the rule does not allow this address, the result is "".
func allowsService(p *check.Pass, r *policy.Rule) string {
	if !dns.IncludesPort(r.Ports, flow.UDP, dns.ServicePort) {
		return ""
	}
	for i := range r.Peers {
		if a := dnsServiceIn(p, &r.Peers[i]); a != nil {
			return fmt.Sprintf("%s allows %s, the address of the DNS Service %s, but policies apply after this address is translated to the address of a DNS server", sample.RuleName(r), a.Addr, a.Service)
		}
	}
	return ""
}

// cutOff returns why a rule does not match queries to a DNS server, if it would match them with other
// ports, or without the excepts of its blocks. Otherwise it returns "".
func cutOff(p *check.Pass, r *policy.Rule, s check.DNSServer) string {
	if dns.Includes(r.Ports, flow.UDP) && anyPeer(p, r, func(peer *policy.Peer) bool { return matchesPod(p, peer, s.Pod) }) {
		return fmt.Sprintf("the DNS servers listen on port %d, which %s does not allow: policies apply to the ports of pods, and not to the port of the Service", s.UDPPort, sample.RuleName(r))
	}
	for i := range r.Peers {
		b := r.Peers[i].Block
		if b == nil || !dns.IncludesPort(r.Ports, flow.UDP, s.UDPPort) || !blockContains(p, &policy.Block{CIDR: b.CIDR}, s.Pod) {
			continue
		}
		return fmt.Sprintf("the excepts of %s contain the addresses of the DNS servers", sample.RuleName(r))
	}
	return ""
}

// fixOf returns a fix for a policy that does not allow DNS. It names the DNS servers of the cluster if
// these are known.
func fixOf(p *check.Pass) string {
	switch {
	case p.RunScope == check.ScopeCluster && p.NodeLocalDNS:
		return fmt.Sprintf("allow UDP and TCP port 53 to ipBlock: {cidr: %s/32}, the DNS cache of the node", dns.NodeLocal) + serviceOfCache(p)
	case p.RunScope == check.ScopeCluster && len(p.DNSServers) > 0:
		s := p.DNSServers[0]
		pods := "the DNS pods"
		if l := dns.Label(s.Labels); l != "" {
			pods = "pods " + l
		}
		return fmt.Sprintf("allow UDP and TCP port %d to %s in namespace %s", s.UDPPort, pods, s.Namespace)
	default:
		return "allow UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
	}
}

// serviceOfCache returns the end of a fix for a cluster with DNS caches. A cache can also listen on the
// address of the DNS Service.
func serviceOfCache(p *check.Pass) string {
	if a := p.DNSServiceAddress(); a.IsValid() {
		return fmt.Sprintf(", and to %s/%d, the address of the DNS Service, if the pods use this address", a, a.BitLen())
	}
	return ""
}
