package resolve

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
)

// dnsRule returns the first rule of a tier that matches DNS over UDP. For egress, this is a query
// from the pods of the group to a DNS server. For ingress, it is a query from any peer to the pods
// of the group.
func dnsRule(p *check.Pass, t rule.Tier, d rule.Direction, g *check.Group) check.DecidingRule {
	if known := g.Tiers.DNS[t][d]; known != nil {
		return *known
	}
	found := findDNSRule(p, t, d, g)
	if !p.Stopped {
		g.Tiers.DNS[t][d] = &found
	}
	return found
}

func findDNSRule(p *check.Pass, t rule.Tier, d rule.Direction, g *check.Group) check.DecidingRule {
	for _, s := range p.Tiers[t] {
		if !p.Selects(s, g) {
			continue
		}
		for i := range s.Rules(d) {
			r := &s.Rules(d)[i]
			if d == rule.Ingress && !r.Invalid && p.Spend(10+10*len(r.Ports)) && dns.IncludesPort(r.Ports, flow.UDP, g.DNSPort) || d == rule.Egress && reachesDNS(p, r) {
				return check.DecidingRule{Policy: s, Index: i, Action: r.Action}
			}
		}
	}
	return check.DecidingRule{}
}
