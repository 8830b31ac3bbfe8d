package report

import "github.com/sluicenet/sluice/dataplane/rule"

// Side is the JSON form of one side of a decision. All JSON output uses this type.
type Side struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Tier is the tier that determined the verdict: "Admin" or "Baseline". It is empty if the
	// NetworkPolicy tier or no tier determined the verdict.
	Tier string `json:"tier,omitempty"`
	// Policy and Rule identify the rule that determined the verdict. Policy is the policy's
	// name: "namespace/name" for a NetworkPolicy, and the name alone for a ClusterNetworkPolicy.
	// Rule is the index of the rule in the policy's ingress or egress list, starting at 0. Both
	// are nil if the verdict does not result from a rule.
	Policy *string `json:"policy"`
	Rule   *int    `json:"rule"`
	RuleDetails
	// Use states how often the rule was used. It is nil if the counter of the rule was not read.
	Use *Use `json:"use,omitempty"`
	// Passed lists the rules with action Pass that passed the flow to the next tier.
	Passed []Passed `json:"passed,omitempty"`
	// IsolatedBy lists the names of the NetworkPolicies that isolate the pod in this direction.
	IsolatedBy []string `json:"isolatedBy,omitempty"`
	// NearMisses lists the rules that almost matched. It is empty unless near misses were
	// requested.
	NearMisses []NearMiss `json:"nearMisses,omitempty"`
}

// RuleDetails describes a rule. It is empty if the program that writes the report has not read the
// policy.
type RuleDetails struct {
	// Text is a short description of the rule.
	Text string `json:"text,omitempty"`
	// RuleName is the name of the rule, and Priority the priority of its policy. They are set only
	// for a rule of a ClusterNetworkPolicy. RuleName is empty if the rule has no name.
	RuleName string `json:"ruleName,omitempty"`
	Priority *int32 `json:"priority,omitempty"`
	// Fingerprint identifies the counter of the rule, as in RuleHits.
	Fingerprint string `json:"-"`
}

// SideOf returns the JSON form of a side of a decision. The `names` parameter resolves the names
// of policies, and must belong to the evaluator that returned the side. If `names` is nil, the
// result contains no names.
func SideOf(names rule.Namer, s rule.Side) Side {
	out := Side{Verdict: s.Verdict.String(), Reason: s.Reason.String()}
	if names == nil {
		return out
	}
	if source, ok := names.Rule(s); ok {
		out.Tier, out.Policy, out.Rule = tierOf(source), &source.Policy, &source.Index
	}
	for _, source := range names.Passed(s) {
		out.Passed = append(out.Passed, Passed{Tier: tierOf(source), Policy: source.Policy, Rule: source.Index})
	}
	out.IsolatedBy = names.IsolatedBy(s)
	return out
}

// tierOf returns the JSON form of the tier of a rule.
func tierOf(s rule.Source) string {
	if s.Tier == rule.NetworkPolicyTier {
		return ""
	}
	return s.Tier.String()
}

// Passed is the JSON form of a rule that passed a flow to the next tier.
type Passed struct {
	Tier   string `json:"tier"`
	Policy string `json:"policy"`
	Rule   int    `json:"rule"`
	RuleDetails
}

// NearMiss is the JSON form of a rule that almost matched.
type NearMiss struct {
	// Tier, Policy and Rule identify the rule, as in Side.
	Tier   string `json:"tier,omitempty"`
	Policy string `json:"policy"`
	Rule   int    `json:"rule"`
	RuleDetails
	// Differs is the part of the rule that does not match: "peer" or "port".
	Differs string `json:"differs"`
	// Ports lists the ports at which the rule allows the peer of the flow, for example
	// "TCP 80". It is set only if Differs is "port".
	Ports []string `json:"ports,omitempty"`
	// Unmatched is true if the peers of the rule match no address at all.
	Unmatched bool `json:"unmatched,omitempty"`
}

// NearMissesOf returns the JSON forms of near misses.
func NearMissesOf(misses []rule.NearMiss) []NearMiss {
	var out []NearMiss
	for _, m := range misses {
		n := NearMiss{Tier: tierOf(m.Source), Policy: m.Policy, Rule: m.Index, Differs: m.Differs.String()}
		for _, p := range m.Ports {
			n.Ports = append(n.Ports, p.String())
		}
		out = append(out, n)
	}
	return out
}
