package report

import "time"

// Hits states how often the rules in the tree of a node have decided the first packet of a flow. The
// counts start at 0 when the dataplane starts.
type Hits struct {
	// Since is the time at which the dataplane started to count.
	Since time.Time `json:"since"`
	// Rules is the number of rules in the tree in use. Unused is the number of rules in this tree that
	// have decided no packet. It does not include rules that are counted only partly.
	Rules  int `json:"rules"`
	Unused int `json:"unused"`
	// Overflow is true if some rules have no counter and are missing from this report, because the
	// tree contains more than 65,000 different rules.
	Overflow bool `json:"overflow,omitempty"`
	// Counters contains the counters. It is nil if the client did not request the counters.
	Counters []RuleHits `json:"counters,omitempty"`
}

// RuleHits is the counter of a rule, or of the flows that a policy denied because no rule matched.
type RuleHits struct {
	// Tier and Policy identify the policy, as in Side.
	Tier      string `json:"tier,omitempty"`
	Policy    string `json:"policy"`
	Direction string `json:"direction"`
	// Rule is the index of the rule in the policy, starting at 0. It is nil for the flows that were
	// denied because the policy isolates the pod and no rule of any policy matched.
	Rule *int `json:"rule"`
	// Fingerprint identifies the content of the rule, as 16 hexadecimal digits. It is empty if Rule
	// is nil.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Count is the number of evaluated packets that the rule decided.
	Count uint64 `json:"count"`
	// Last is the time of the latest of these packets, in seconds. It is zero if Count is 0.
	Last time.Time `json:"last,omitzero"`
	// Since is the time from which the rule was counted.
	Since time.Time `json:"since"`
	// Gone is true if the tree in use no longer contains the rule.
	Gone bool `json:"gone,omitempty"`
	// CountedPartly is true if the rule applies to a pod whose flows the kernel accepts without an
	// evaluation, because no policy can deny them. Such flows are not counted.
	CountedPartly bool `json:"countedPartly,omitempty"`
}
