package report

import "github.com/sluicenet/sluice/dataplane/rule"

// Side is the one JSON form of a side of a decision.
type Side struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	// Policy and Rule identify the rule that decided: the policy as
	// "namespace/name", and the index of the rule in the policy's list for the
	// direction. Both are nil if no rule decided.
	Policy *string `json:"policy"`
	Rule   *int    `json:"rule"`
	// Text is a short text of the rule that decided, if its policy is at hand.
	Text string `json:"text,omitempty"`
	// IsolatedBy are the policies that isolate the pod in this direction.
	IsolatedBy []string `json:"isolatedBy,omitempty"`
	// NearMisses are the rules that almost matched, if they were requested.
	NearMisses []NearMiss `json:"nearMisses,omitempty"`
}

// SideOf returns a side with the names that the namer has for it. The side must
// come from the namer's evaluator. Without a namer, which is nil then, the side
// has no names.
func SideOf(names rule.Namer, s rule.Side) Side {
	out := Side{Verdict: s.Verdict.String(), Reason: s.Reason.String()}
	if names == nil {
		return out
	}
	if policy, index, ok := names.Rule(s); ok {
		out.Policy, out.Rule = &policy, &index
	}
	out.IsolatedBy = names.IsolatedBy(s)
	return out
}

// NearMiss is the JSON form of a rule that almost matched.
type NearMiss struct {
	// Policy and Rule identify the rule, as in Side.
	Policy string `json:"policy"`
	Rule   int    `json:"rule"`
	// Text is a short text of the rule, if its policy is at hand.
	Text string `json:"text,omitempty"`
	// Differs is the part that does not match: "peer" or "port".
	Differs string `json:"differs"`
	// Ports are the ports at which the rule allows the flow's peer, such as
	// "TCP 80". They are set only if Differs is "port".
	Ports []string `json:"ports,omitempty"`
}

// NearMissesOf returns the JSON form of near misses.
func NearMissesOf(misses []rule.NearMiss) []NearMiss {
	var out []NearMiss
	for _, m := range misses {
		n := NearMiss{Policy: m.Policy, Rule: m.Index, Differs: m.Differs.String()}
		for _, p := range m.Ports {
			n.Ports = append(n.Ports, p.String())
		}
		out = append(out, n)
	}
	return out
}
