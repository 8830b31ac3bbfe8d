// Package ruletext describes rules as text.
package ruletext

import (
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// Texts describes rules as text. A nil *Texts contains no policies, so it describes a rule only by
// its position, such as "ingress[0]".
type Texts struct {
	// Policies contains each policy by its name.
	Policies map[string]*policy.Policy
	snapshot *policy.Snapshot
}

// Of returns the texts of all rules in a snapshot.
func Of(s *policy.Snapshot) *Texts {
	t := &Texts{Policies: map[string]*policy.Policy{}, snapshot: s}
	for _, p := range s.Policies() {
		t.Policies[p.String()] = p
	}
	return t
}

// Rule describes a rule. If `other` is a valid address and at least one peer of the rule matches it,
// the text lists only the matching peers. Otherwise, the text lists all peers.
func (t *Texts) Rule(policyName string, d rule.Direction, index int, other netip.Addr) report.RuleDetails {
	if t == nil {
		return report.RuleDetails{Text: phrase.Place(d, index)}
	}
	p := t.Policies[policyName]
	if p == nil || index >= len(p.Rules(d)) {
		return report.RuleDetails{Text: phrase.Place(d, index)}
	}
	r := &p.Rules(d)[index]
	out := report.RuleDetails{Text: r.String(), RuleName: r.Name}
	if p.Tier != rule.NetworkPolicyTier {
		out.Priority = &p.Priority
	}
	if other.IsValid() {
		end := t.snapshot.End(other)
		out.Text = r.StringFor(&end)
	}
	return out
}

// Fingerprint returns the fingerprint of a rule as text, or "" if the policy is unknown.
func (t *Texts) Fingerprint(policyName string, d rule.Direction, index int) string {
	if t == nil || t.Policies[policyName] == nil || index >= len(t.Policies[policyName].Rules(d)) {
		return ""
	}
	return report.FingerprintText(fingerprint.Rules(t.Policies[policyName], d)[index])
}
