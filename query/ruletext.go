package query

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// ruleTexts describes rules by their names. A nil *ruleTexts knows no policy and
// describes a rule by its place only.
type ruleTexts struct {
	policies   map[string]*policy.Policy
	namespaces map[string]*policy.Namespace
	cluster    *Cluster
}

func (c *Cluster) ruleTexts() *ruleTexts {
	t := &ruleTexts{policies: map[string]*policy.Policy{}, namespaces: map[string]*policy.Namespace{}, cluster: c}
	for _, object := range c.snapshot.Policies() {
		p, _ := policy.ReadNetworkPolicy(object)
		t.policies[p.String()] = p
	}
	for _, n := range c.snapshot.Namespaces() {
		t.namespaces[n.Name] = &n
	}
	return t
}

// rule describes a rule in one line. Peers that do not match the other end, if
// one is given, are left out, unless no peer matches it.
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
	return r.StringFor(t.policyEnd(other))
}

// policyEnd returns an end as package policy matches it.
func (t *ruleTexts) policyEnd(e *End) *policy.End {
	end := &policy.End{Address: e.Address}
	if p, ok := t.cluster.snapshot.Owner(e.Address); ok {
		end.Pod, end.Namespace = &p, t.namespaces[p.Namespace]
	}
	return end
}
