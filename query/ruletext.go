package query

import (
	"fmt"

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

// rule describes a rule in one line. If at least one peer of the rule matches the parameter
// other, the text lists only the matching peers. If other is nil or no peer matches, the text
// lists all peers.
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
