package text

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
)

// SplitRule finds a rule with only peers, followed by a rule with only ports. The author may have meant
// a single rule. A rule with only the DNS port is usual, because pods send DNS queries to servers that
// the other rules do not name.
var SplitRule = check.Check{
	Name:       "split-rule",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopePolicy},
	Doc:        "a rule with only `from` or `to`, followed by a rule with only `ports`, that were probably meant as one rule. If the list has other rules, the severity is `note`",
	Run: func(p *check.Pass) {
		splitRules(p, rule.Ingress, check.IngressPart)
		splitRules(p, rule.Egress, check.EgressPart)
	},
}

func splitRules(p *check.Pass, d rule.Direction, part int) {
	rules := p.Rules(d)
	severity, list, anyone := check.Note, "from", "from every source"
	if d == rule.Egress {
		list, anyone = "to", "to every destination"
	}
	if len(rules) == 2 {
		severity = check.Warning
	}
	for i := 1; i < len(rules) && !p.ClusterScoped(); i++ {
		if onlyPeers(&rules[i-1]) && onlyPorts(&rules[i]) && !dns.Includes(rules[i].Ports, flow.UDP) {
			p.Report(check.InRule(part, i, &rules[i]), severity, "if both must hold, remove the dash before ports, so that "+list+" and ports are in one rule",
				"two rules: the rule before allows every port of its peers, and this rule allows its ports %s", anyone)
		}
	}
}

func onlyPeers(r *policy.Rule) bool { return !r.Invalid && len(r.Peers) > 0 && len(r.Ports) == 0 }

func onlyPorts(r *policy.Rule) bool { return !r.Invalid && len(r.Peers) == 0 && len(r.Ports) > 0 }
