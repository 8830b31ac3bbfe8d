package resolve

import (
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// DenyOfDNS finds each Deny rule that is the first rule of its tier to match DNS over UDP for some
// pods. It ignores a rule of the Baseline tier if a NetworkPolicy isolates these pods, or if a rule
// of the Admin tier already decides about DNS.
var DenyOfDNS = check.Check{
	Name:       "deny-of-dns",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "a `Deny` rule of a ClusterNetworkPolicy that denies DNS, as egress of pods or as ingress of the DNS servers",
	Run: check.ForTiers(func(p *check.Pass) {
		deniesDNS(p, rule.Ingress, check.IngressPart)
		deniesDNS(p, rule.Egress, check.EgressPart)
	}),
}

func deniesDNS(p *check.Pass, d rule.Direction, part int) {
	hit := map[int]*sample.Pods{}
	for g := range p.Selected() {
		if g.IsDNSServer != (d == rule.Ingress) || !reachesTier(p, d, g) {
			continue
		}
		if r := dnsRule(p, p.Tier, d, g); r.Policy == p.Policy && r.Action == rule.ActionDeny {
			if hit[r.Index] == nil {
				hit[r.Index] = &sample.Pods{}
			}
			hit[r.Index].Add(g.Pods...)
		}
	}
	for _, i := range slices.Sorted(maps.Keys(hit)) {
		f := p.Find(check.InRule(part, i, &p.Rules(d)[i]), check.Warning)
		if f == nil {
			continue
		}
		f.Message = "the rule denies DNS, so that the selected pods cannot resolve names"
		f.Fix = "before this rule, add a rule with action Accept for UDP and TCP port 53 to pods k8s-app=kube-dns in namespace kube-system"
		if d == rule.Ingress {
			f.Message = "the rule denies DNS queries to the DNS servers, so that its peers cannot resolve names"
			f.Fix = "before this rule, add a rule with action Accept for UDP and TCP port 53, or exclude the DNS servers from the subject"
		}
		p.Detail(f, "%s: %s", sample.PodCount(hit[i].Count), hit[i])
	}
}

// reachesTier reports whether DNS queries to or from the pods of a group can reach the tier of the
// policy. They cannot if an earlier tier allows or denies them.
func reachesTier(p *check.Pass, d rule.Direction, g *check.Group) bool {
	if p.Tier == rule.AdminTier {
		return true
	}
	before := dnsRule(p, rule.AdminTier, d, g)
	return !p.Isolated(g, d) && (before.Policy == nil || before.Action == rule.ActionPass)
}
