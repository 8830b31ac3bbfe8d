package lint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// noDNS finds policies that isolate pods for egress and leave these pods unable to resolve
// names. A pod cannot resolve names if no policy for the pod allows DNS over UDP.
//
// A run on one namespace cannot determine which pods of other namespaces are DNS servers, so it
// assumes that every namespaceSelector and every block includes one.
var noDNS = Check{
	Name:       "no-dns",
	Severities: []Severity{Warning, Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a policy that isolates pods for egress, if neither it nor another policy allows DNS for these pods; a note if all egress is denied",
	run: func(p *pass) {
		if !p.Isolates[rule.Egress] {
			return
		}
		p.prepareDNS()
		at := outside("spec.egress", endPart)
		without, pods := p.withoutDNS()
		switch {
		case !without:
		case len(p.Egress) > 0:
			p.reportDNS(at, pods)
		case !p.otherEgressRules():
			p.report(at, Note, dnsFix(p.subject), "the policy denies all egress, including DNS, and no other policy allows any")
		}
	},
}

// dnsState is the progress of prepareDNS for a namespace.
type dnsState struct {
	started, done bool
	// allows is true if a policy of the namespace allows DNS, and egressRules if a policy that
	// isolates pods for egress has egress rules.
	allows, egressRules bool
}

// prepareDNS determines, for all pods in the namespace of the policy, whether a policy allows
// DNS. It does so once for each namespace. If the budget does not suffice, the check no-dns
// remains incomplete for all policies of the namespace.
func (p *pass) prepareDNS() {
	state := &p.namespace.dns
	switch {
	case state.done:
		return
	case state.started:
		p.stopped = true
		return
	}
	state.started = true
	for _, s := range p.namespace.subjects {
		if !s.Isolates[rule.Egress] || len(s.Egress) == 0 || p.stopped {
			continue
		}
		other := pass{cluster: p.cluster, subject: s, budget: p.budget}
		allows := other.allowsDNS()
		state.egressRules, state.allows = true, state.allows || allows
		for g := range other.selected() {
			g.hasEgressRules, g.allowsDNS = true, g.allowsDNS || allows
		}
		p.stopped = other.stopped
	}
	for _, g := range p.namespace.groups {
		if p.dnsRule(rule.AdminTier, rule.Egress, g).action == rule.ActionAccept {
			g.allowsDNS = true
		}
	}
	state.done = !p.stopped
}

// withoutDNS reports whether the policy selects at least one pod for which no policy allows
// DNS, and returns these pods. It ignores pods that are DNS servers. If the input contains no
// pods, withoutDNS assumes that all policies of the namespace select the same pods.
func (p *pass) withoutDNS() (without bool, pods sample.Pods) {
	if !p.podsKnown {
		return !p.namespace.dns.allows, pods
	}
	for g := range p.selected() {
		if !g.allowsDNS && !dns.IsServer(g.labels) {
			pods.Add(g.pods...)
		}
	}
	return pods.Count > 0, pods
}

func (p *pass) reportDNS(at place, pods sample.Pods) {
	f := p.find(at, Warning)
	if f == nil {
		return
	}
	f.Message = "the policy isolates pods for egress and neither it nor another policy allows DNS: these pods cannot resolve names"
	f.Fix = dnsFix(p.subject)
	if pods.Count > 0 {
		p.detail(f, "%s: %s", sample.PodCount(pods.Count), &pods)
	}
}

// otherEgressRules reports whether a policy in the namespace has egress rules for pods that
// the policy selects. If such a policy exists, it is the policy that lacks a rule for DNS. The
// finding then refers to that policy instead of this one.
func (p *pass) otherEgressRules() bool {
	if !p.podsKnown {
		return p.namespace.dns.egressRules
	}
	for g := range p.selected() {
		if g.hasEgressRules {
			return true
		}
	}
	return false
}

func dnsFix(s *subject) string {
	for i := range s.Egress {
		r := &s.Egress[i]
		if len(r.Ports) > 0 && dns.Includes(r.Ports, flow.TCP) && !dns.Includes(r.Ports, flow.UDP) {
			return "add protocol: UDP at port 53; a port without a protocol is TCP, and DNS uses UDP first"
		}
	}
	return "allow UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
}

// allowsDNS reports whether at least one egress rule of the policy allows connections to a
// DNS server.
func (p *pass) allowsDNS() bool {
	for i := range p.Egress {
		r := &p.Egress[i]
		if p.spend(10+10*len(r.Ports)) && !r.Invalid && dns.Includes(r.Ports, flow.UDP) && p.reachesDNS(r) {
			return true
		}
	}
	return false
}

// reachesDNS reports whether at least one peer of the rule can be a DNS server. A rule
// without peers includes every DNS server.
func (p *pass) reachesDNS(r *policy.Rule) bool {
	for i := range r.Peers {
		if p.stopped || p.canBeDNS(r, &r.Peers[i]) {
			return true
		}
	}
	return len(r.Peers) == 0
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
func (p *pass) canBeDNS(r *policy.Rule, peer *policy.Peer) bool {
	switch {
	case !p.contains(peer):
		return true
	case peer.OfNodes:
		return false
	case peer.Block != nil:
		return len(r.Ports) > 0 || peer.Block.CIDR.Prefix.Bits() == 0 || slices.ContainsFunc(p.dnsPods, func(pod *policy.Pod) bool { return p.blockContains(peer.Block, pod) })
	case len(p.dnsPods) > 0 && p.scope == ScopeCluster:
		return slices.ContainsFunc(p.dnsPods, func(pod *policy.Pod) bool { return p.setContains(&peer.PodSet, pod) })
	case len(r.Ports) > 0:
		return true
	case p.scope == ScopeNamespace:
		return slices.ContainsFunc(p.dnsPods, func(pod *policy.Pod) bool { return p.setContains(&peer.PodSet, pod) })
	default:
		return peer.Namespaces.Present() && peer.Namespaces.Matches(label.Of(map[string]string{corev1.LabelMetadataName: dns.Namespace}))
	}
}

func (p *pass) blockContains(b *policy.Block, pod *policy.Pod) bool {
	return p.spend(10*(1+len(b.Except))*len(pod.Addresses)) && slices.ContainsFunc(pod.Addresses, b.Contains)
}

func (p *pass) setContains(set *policy.PodSet, pod *policy.Pod) bool {
	return p.matchesSpace(set, p.space(pod.Namespace)) && p.matches(set.Pods, &group{labels: pod.Labels})
}
