package lint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// noDNS finds policies that isolate pods for egress and leave these pods unable to resolve
// names. A pod cannot resolve names if no policy for the pod allows DNS over UDP.
var noDNS = Check{
	Name:       "no-dns",
	Severities: []Severity{Warning, Note},
	Doc:        "a policy that isolates pods for egress, if neither it nor another policy allows DNS for these pods; a note if all egress is denied",
	run: eachPolicy(func(p *pass, s *subject) {
		if !s.Isolates[rule.Egress] {
			return
		}
		at := s.at("spec.egress", endPart)
		without, pods := p.withoutDNS(s)
		switch {
		case !without:
		case len(s.Egress) > 0:
			p.report(at, Warning, dnsFix(s),
				"the policy isolates pods for egress and neither it nor another policy allows DNS: %s cannot resolve names", pods)
		case !p.otherEgressRules(s):
			p.report(at, Note, dnsFix(s), "the policy denies all egress, including DNS, and no other policy allows any")
		}
	}),
}

const (
	dnsPort = 53
	// coreDNSPort is the port on which CoreDNS listens in some distributions. The DNS Service
	// of these distributions maps port 53 to this port.
	coreDNSPort  = 5353
	dnsNamespace = "kube-system"
)

// isDNS reports whether a pod has the labels of CoreDNS, which is the DNS server of most
// clusters.
func isDNS(p *policy.Pod) bool {
	return p.Labels.Get("k8s-app") == "kube-dns" || p.Labels.Get("k8s-app") == "coredns" || p.Labels.Get("app.kubernetes.io/name") == "coredns"
}

// withoutDNS reports whether the policy selects at least one pod for which no policy allows
// DNS. It ignores pods that are DNS servers. It also returns a text that lists the pods
// without DNS. If the snapshot contains no pods, withoutDNS assumes that all policies of the
// namespace select the same pods, and returns the text "pods".
func (c *cluster) withoutDNS(s *subject) (without bool, pods string) {
	if !c.anyPod {
		return !slices.ContainsFunc(c.byNamespace[s.Scope], c.allowsDNS), "pods"
	}
	var found []*policy.Pod
	for _, pod := range s.pods {
		allowed := slices.ContainsFunc(c.byNamespace[s.Scope], func(s *subject) bool { return s.Selects(pod) && c.allowsDNS(s) })
		if !allowed && !isDNS(pod) {
			found = append(found, pod)
		}
	}
	return len(found) > 0, list(found)
}

// otherEgressRules reports whether a policy in the namespace has egress rules for pods that
// policy s selects. If such a policy exists, it is the policy that lacks a rule for DNS. The
// finding then refers to that policy instead of s.
func (c *cluster) otherEgressRules(s *subject) bool {
	return slices.ContainsFunc(c.byNamespace[s.Scope], func(other *subject) bool {
		return other.Isolates[rule.Egress] && len(other.Egress) > 0 && (!c.anyPod || slices.ContainsFunc(s.pods, other.Selects))
	})
}

func dnsFix(s *subject) string {
	for i := range s.Egress {
		r := &s.Egress[i]
		if len(r.Ports) > 0 && includesDNS(r.Ports, flow.TCP) && !includesDNS(r.Ports, flow.UDP) {
			return "add protocol: UDP at port 53; a port without a protocol is TCP, and DNS uses UDP first"
		}
	}
	return "allow UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
}

// allowsDNS reports whether at least one egress rule of a policy allows connections to a
// DNS server.
func (c *cluster) allowsDNS(s *subject) bool {
	if s.dns == unknown {
		s.dns = no
		for i := range s.Egress {
			if r := &s.Egress[i]; s.Isolates[rule.Egress] && !r.Invalid && includesDNS(r.Ports, flow.UDP) && c.reachesDNS(r) {
				s.dns = yes
			}
		}
	}
	return s.dns == yes
}

// reachesDNS reports whether at least one peer of the rule can be a DNS server. A rule
// without peers includes every DNS server.
func (c *cluster) reachesDNS(r *policy.Rule) bool {
	return len(r.Peers) == 0 || slices.ContainsFunc(r.Peers, func(p policy.Peer) bool { return c.canBeDNS(r, &p) })
}

// canBeDNS reports whether a peer can be a DNS server. The caller has already checked that
// the rule allows the DNS port. A rule that lists ports allows this port explicitly, so the
// conditions for its peers are weaker:
//
//   - A set of pods must contain a DNS pod if the snapshot contains any. If the snapshot
//     contains no DNS pod, either the rule must list ports, or the set must include the
//     namespace kube-system.
//   - For an ipBlock, either the rule must list ports, or the block must contain all addresses
//     or the address of a DNS pod.
func (c *cluster) canBeDNS(r *policy.Rule, p *policy.Peer) bool {
	switch {
	case p.Block != nil:
		return len(r.Ports) > 0 || p.Block.CIDR.Prefix.Bits() == 0 || slices.ContainsFunc(c.podsInBlock(p.Block), isDNS)
	case len(c.dnsPods) > 0:
		return slices.ContainsFunc(c.podsOf(&p.PodSet), isDNS)
	case len(r.Ports) > 0:
		return true
	default:
		return p.Namespaces.Present() && p.Namespaces.Matches(label.Of(map[string]string{corev1.LabelMetadataName: dnsNamespace}))
	}
}

// includesDNS reports whether the list ports includes the DNS port for a protocol. An empty
// list includes every port.
func includesDNS(ports []policy.Port, protocol flow.Protocol) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p policy.Port) bool {
		switch {
		case p.Protocol != protocol:
			return false
		case p.Name != "":
			return p.Name == "dns" || p.Name == "domain" || p.Name == "dns-udp"
		default:
			return p.First <= dnsPort && dnsPort <= p.Last || p.First == coreDNSPort && p.Last == coreDNSPort
		}
	})
}
