package resolve

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// NoDNS finds policies that isolate pods for egress and leave these pods unable to resolve
// names. A pod cannot resolve names if no policy for the pod allows DNS over UDP.
//
// A run on one namespace cannot determine which pods of other namespaces are DNS servers, so it
// assumes that every namespaceSelector and every block includes one.
var NoDNS = check.Check{
	Name:       "no-dns",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "a policy that isolates pods for egress, if no policy allows DNS for these pods; a note if all egress is denied",
	Run: func(p *check.Pass) {
		if !p.Isolates[rule.Egress] {
			return
		}
		prepareDNS(p)
		at := check.Outside("spec.egress", check.EndPart)
		without, pods := withoutDNS(p)
		switch {
		case !without:
		case len(p.Egress) > 0:
			reportDNS(p, at, pods)
		case !otherEgressRules(p):
			p.Report(at, check.Note, dnsFix(p.Policy), "the policy denies all egress, including DNS, and no other policy allows any")
		}
	},
}

// prepareDNS determines, for all pods in the namespace of the policy, whether a policy allows
// DNS. It does so once for each namespace. If the budget does not suffice, the check no-dns
// remains incomplete for all policies of the namespace.
func prepareDNS(p *check.Pass) {
	state := &p.Namespace.DNS
	switch {
	case state.Done:
		return
	case state.Started:
		p.Stopped = true
		return
	}
	state.Started = true
	for _, s := range p.Namespace.Policies {
		if !s.Isolates[rule.Egress] || len(s.Egress) == 0 || p.Stopped {
			continue
		}
		other := p.On(s)
		allows := allowsDNS(other)
		state.EgressRules, state.Allows = true, state.Allows || allows
		for g := range other.Selected() {
			g.HasEgressRules, g.AllowsDNS = true, g.AllowsDNS || allows
		}
		p.Stopped = other.Stopped
	}
	for _, g := range p.Namespace.Groups {
		if dnsRule(p, rule.AdminTier, rule.Egress, g).Action == rule.ActionAccept {
			g.AllowsDNS = true
		}
	}
	state.Done = !p.Stopped
}

// withoutDNS reports whether the policy selects at least one pod for which no policy allows
// DNS, and returns these pods. It ignores pods that are DNS servers. If the input contains no
// pods, withoutDNS assumes that all policies of the namespace select the same pods.
func withoutDNS(p *check.Pass) (without bool, pods sample.Pods) {
	if !p.PodsKnown {
		return !p.Namespace.DNS.Allows, pods
	}
	for g := range p.Selected() {
		if !g.AllowsDNS && !dns.IsServer(g.Labels) {
			pods.Add(g.Pods...)
		}
	}
	return pods.Count > 0, pods
}

func reportDNS(p *check.Pass, at check.Place, pods sample.Pods) {
	f := p.Find(at, check.Warning)
	if f == nil {
		return
	}
	f.Message = "the policy isolates pods for egress and neither it nor another policy allows DNS: these pods cannot resolve names"
	f.Fix = dnsFix(p.Policy)
	if pods.Count > 0 {
		p.Detail(f, "%s: %s", sample.PodCount(pods.Count), &pods)
	}
}

// otherEgressRules reports whether another policy has egress rules for pods that this policy
// selects. If so, the rule for DNS is missing in the other policy, and the finding refers to that
// policy.
func otherEgressRules(p *check.Pass) bool {
	if !p.PodsKnown {
		return p.Namespace.DNS.EgressRules
	}
	for g := range p.Selected() {
		if g.HasEgressRules {
			return true
		}
	}
	return false
}

func dnsFix(s *check.Policy) string {
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
func allowsDNS(p *check.Pass) bool {
	for i := range p.Egress {
		r := &p.Egress[i]
		if p.Spend(10+10*len(r.Ports)) && !r.Invalid && dns.Includes(r.Ports, flow.UDP) && reachesDNS(p, r) {
			return true
		}
	}
	return false
}

// reachesDNS reports whether at least one peer of the rule can be a DNS server. A rule
// without peers includes every DNS server.
func reachesDNS(p *check.Pass, r *policy.Rule) bool {
	for i := range r.Peers {
		if p.Stopped || canBeDNS(p, r, &r.Peers[i]) {
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
func canBeDNS(p *check.Pass, r *policy.Rule, peer *policy.Peer) bool {
	switch {
	case !p.Contains(peer):
		return true
	case peer.OfNodes:
		return false
	case peer.Block != nil:
		return len(r.Ports) > 0 || peer.Block.CIDR.Prefix.Bits() == 0 || slices.ContainsFunc(p.DNSPods, func(pod *policy.Pod) bool { return blockContains(p, peer.Block, pod) })
	case len(p.DNSPods) > 0 && p.RunScope == check.ScopeCluster:
		return slices.ContainsFunc(p.DNSPods, func(pod *policy.Pod) bool { return setContains(p, &peer.PodSet, pod) })
	case len(r.Ports) > 0:
		return true
	case p.RunScope == check.ScopeNamespace:
		return slices.ContainsFunc(p.DNSPods, func(pod *policy.Pod) bool { return setContains(p, &peer.PodSet, pod) })
	default:
		return peer.Namespaces.Present() && peer.Namespaces.Matches(label.Of(map[string]string{corev1.LabelMetadataName: dns.Namespace}))
	}
}

func blockContains(p *check.Pass, b *policy.Block, pod *policy.Pod) bool {
	return p.Spend(10*(1+len(b.Except))*len(pod.Addresses)) && slices.ContainsFunc(pod.Addresses, b.Contains)
}

func setContains(p *check.Pass, set *policy.PodSet, pod *policy.Pod) bool {
	return p.MatchesSpace(set, p.Space(pod.Namespace)) && p.Matches(set.Pods, &check.Group{Labels: pod.Labels})
}
