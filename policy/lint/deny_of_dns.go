package lint

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// denyOfDNS finds Deny rules that are the first rules of their tier to match DNS over UDP. A rule
// of the Baseline tier affects only pods that no NetworkPolicy isolates and about which the Admin
// tier did not decide.
var denyOfDNS = Check{
	Name:       "deny-of-dns",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "a `Deny` rule of a ClusterNetworkPolicy that denies DNS: from pods to the DNS servers, or to the DNS servers",
	run: forTiers(func(p *pass) {
		p.deniesDNS(rule.Ingress, ingressPart)
		p.deniesDNS(rule.Egress, egressPart)
	}),
}

func (p *pass) deniesDNS(d rule.Direction, part int) {
	hit := map[int]*sample.Pods{}
	for g := range p.selected() {
		if dns.IsServer(g.labels) != (d == rule.Ingress) || !p.reachesTier(d, g) {
			continue
		}
		if r := p.dnsRule(p.Tier, d, g); r.policy == p.subject && r.action == rule.ActionDeny {
			if hit[r.index] == nil {
				hit[r.index] = &sample.Pods{}
			}
			hit[r.index].Add(g.pods...)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(hit)) {
		f := p.find(inRule(part, i, &p.Rules(d)[i]), Warning)
		if f == nil {
			continue
		}
		f.Message = "the rule denies DNS, so that the selected pods cannot resolve names"
		f.Fix = "before this rule, add a rule with action Accept for UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
		if d == rule.Ingress {
			f.Message = "the rule denies DNS queries to the DNS servers, so that its peers cannot resolve names"
			f.Fix = "before this rule, add a rule with action Accept for UDP and TCP port 53, or exclude the DNS servers from the subject"
		}
		p.detail(f, "%s: %s", sample.PodCount(hit[i].Count), hit[i])
	}
}

// reachesTier reports whether flows with DNS queries of a group can reach the tier of the policy.
func (p *pass) reachesTier(d rule.Direction, g *group) bool {
	if p.Tier == rule.AdminTier {
		return true
	}
	before := p.dnsRule(rule.AdminTier, d, g)
	return !p.isolated(g, d) && (before.policy == nil || before.action == rule.ActionPass)
}
