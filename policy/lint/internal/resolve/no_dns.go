package resolve

import (
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// NoDNS finds policies that isolate pods for egress and leave these pods unable to resolve names.
// A pod cannot resolve names if no policy for the pod allows DNS over UDP.
//
// A run on one namespace has no information about DNS servers in other namespaces. So it assumes
// that every namespaceSelector and every block includes a DNS server.
var NoDNS = check.Check{
	Name:       "no-dns",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a policy that isolates pods for egress, although no policy allows DNS for these pods. If all egress is denied, the severity is `note`",
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
			p.Report(at, check.Note, fixOf(p), "the policy denies all egress, including DNS, and no other policy allows any")
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
		if !g.AllowsDNS && !g.IsDNSServer {
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
	cause, fix := explain(p)
	if f.Fix = fix; cause != "" {
		f.Message += "; " + cause
	}
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
