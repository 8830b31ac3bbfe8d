package query

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// ruleTexts describes rules as text. A nil *ruleTexts contains no policies. It
// describes a rule only by its position, such as "ingress[0]".
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

// rule describes a rule in one line. If other is not nil and at least one peer of
// the rule matches this end, the text lists only the matching peers.
func (t *ruleTexts) rule(policyName string, d rule.Direction, index int, other *End) string {
	place := fmt.Sprintf("%s[%d]", d, index)
	if t == nil {
		return place
	}
	p := t.policies[policyName]
	if p == nil || index >= len(p.Rules(d)) {
		return place
	}
	r := &p.Rules(d)[index]
	if other == nil {
		return r.String()
	}
	end := t.snapshot.End(other.Address)
	return r.StringFor(&end)
}
