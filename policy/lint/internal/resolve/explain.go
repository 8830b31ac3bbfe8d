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
	for _, pod := range p.DNSPods {
		if cause := cutOff(p, r, pod); cause != "" {
			return cause, fixOf(p)
		}
	}
	if len(p.DNSPods) > 0 && len(r.Ports) > 0 && len(r.Peers) > 0 && dns.Includes(r.Ports, flow.UDP) {
		return "no peer of " + name + " is a DNS server of this cluster", fixOf(p)
	}
	return "", ""
}

// cutOff returns why a rule does not match queries to a DNS server, if it would match them with other
// ports, or without the excepts of its blocks. Otherwise it returns "".
func cutOff(p *check.Pass, r *policy.Rule, pod *policy.Pod) string {
	if dns.Includes(r.Ports, flow.UDP) && anyPeer(p, r, func(peer *policy.Peer) bool { return matchesPod(p, peer, pod) }) {
		return fmt.Sprintf("the DNS servers listen on port %d, which %s does not allow: policies apply to the ports of pods, and not to the port of the Service", dns.Port(pod.Ports), sample.RuleName(r))
	}
	for i := range r.Peers {
		b := r.Peers[i].Block
		if b == nil || !dns.IncludesPort(r.Ports, flow.UDP, dns.Port(pod.Ports)) || !blockContains(p, &policy.Block{CIDR: b.CIDR}, pod) {
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
		return fmt.Sprintf("allow UDP and TCP port 53 to ipBlock: {cidr: %s/32}, the DNS cache of the node", dns.NodeLocal)
	case p.RunScope == check.ScopeCluster && len(p.DNSPods) > 0:
		pod := p.DNSPods[0]
		pods := "the DNS pods"
		if l := dns.Label(pod.Labels); l != "" {
			pods = "pods " + l
		}
		return fmt.Sprintf("allow UDP and TCP port %d to %s in namespace %s", dns.Port(pod.Ports), pods, pod.Namespace)
	default:
		return "allow UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
	}
}
