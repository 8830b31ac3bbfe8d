package query

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// ruleTexts describes rules as text. A nil *ruleTexts contains no policies, so it describes a
// rule only by its position, such as "ingress[0]".
type ruleTexts struct {
	policies map[string]*policy.Policy
	snapshot *policy.Snapshot
}

func (c *Cluster) ruleTexts() *ruleTexts {
	t := &ruleTexts{policies: map[string]*policy.Policy{}, snapshot: c.snapshot}
	for _, p := range c.snapshot.Policies() {
		t.policies[p.String()] = p
	}
	return t
}

// place identifies a rule in its policy, such as "ingress[0]".
func place(d rule.Direction, index int) string { return fmt.Sprintf("%s[%d]", d, index) }

// rule describes a rule. If at least one peer of the rule matches the `other` parameter, the text
// lists only the matching peers. If other is nil or no peer matches, the text lists all peers.
func (t *ruleTexts) rule(policyName string, d rule.Direction, index int, other *End) report.RuleDetails {
	if t == nil {
		return report.RuleDetails{Text: place(d, index)}
	}
	p := t.policies[policyName]
	if p == nil || index >= len(p.Rules(d)) {
		return report.RuleDetails{Text: place(d, index)}
	}
	r := &p.Rules(d)[index]
	out := report.RuleDetails{Text: r.String(), RuleName: r.Name}
	if p.Tier != rule.NetworkPolicyTier {
		out.Priority = &p.Priority
	}
	if other != nil {
		end := t.snapshot.End(other.Address)
		out.Text = r.StringFor(&end)
	}
	return out
}
