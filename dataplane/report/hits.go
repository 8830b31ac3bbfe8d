package report

import (
	"fmt"
	"time"
)

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

// FingerprintText returns the form of a fingerprint in RuleHits.
func FingerprintText(fingerprint uint64) string { return fmt.Sprintf("%016x", fingerprint) }

// Use is the sum of the counters of a rule on one or more nodes.
type Use struct {
	// Node is the node whose counter this is. It is empty for a sum over all nodes.
	Node string `json:"node,omitempty"`
	// Count is the number of evaluated packets that the rule decided.
	Count uint64 `json:"count"`
	// Last is the time of the latest of these packets, in seconds. It is zero if Count is 0.
	Last time.Time `json:"last,omitzero"`
	// Since is the time from which Count is complete. Count also includes packets that some nodes
	// counted before. Since is zero if no node has counted the rule.
	Since time.Time `json:"since,omitzero"`
	// Applied is the number of nodes whose trees contain the rule. If it is 0, the policy selects no
	// pod, or the peers of the rule match nothing.
	Applied int `json:"applied"`
	// CountedPartly has the same meaning as in RuleHits.
	CountedPartly bool `json:"countedPartly,omitempty"`
}

// String returns a phrase such as "used 12 times on node n1 since 2026-01-02 15:04:05 UTC".
func (u *Use) String() string {
	text := "never used"
	switch u.Count {
	case 0:
	case 1:
		text = "used once"
	default:
		text = fmt.Sprintf("used %d times", u.Count)
	}
	if u.Node != "" {
		text += " on node " + u.Node
	}
	text += " since " + u.Since.UTC().Format(time.DateTime) + " UTC"
	if u.CountedPartly {
		text += "; not all of its flows are counted"
	}
	return text
}
