// Package hits shows how often the rules of policies are used. It combines the policies of a cluster
// with the counters that the dataplanes of its nodes report.
package hits

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/query"
)

// Filter selects the rules of a result.
type Filter struct {
	// Namespace selects the NetworkPolicies of a namespace. If it is empty, all policies are
	// selected, including ClusterNetworkPolicies.
	Namespace string
	// Unused selects the rules that were never used.
	Unused bool
}

// Hits states how often rules are used.
type Hits struct {
	query.TypeMeta
	// Since is the time from which all nodes that responded count. Some of them count since an
	// earlier time. It is zero if no node responded.
	Since time.Time `json:"since,omitzero"`
	// Nodes is the number of nodes that responded. Missing lists the other nodes, whose counts are
	// not included.
	Nodes   int       `json:"nodes"`
	Missing []Missing `json:"missing,omitempty"`
	// Overflow lists the nodes whose trees contain too many rules, so that some rules are not counted.
	Overflow []string `json:"overflow,omitempty"`
	Rules    []Rule   `json:"rules"`
	// Now is the time at which WriteText computes ages. Unused and Namespace are the fields of the
	// Filter.
	Now       time.Time `json:"-"`
	Unused    bool      `json:"-"`
	Namespace string    `json:"-"`
}

// Missing is a node that did not respond.
type Missing struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// Rule states how often a rule was used.
type Rule struct {
	// Tier is "Admin" or "Baseline" for a ClusterNetworkPolicy, and empty for a NetworkPolicy.
	Tier string `json:"tier,omitempty"`
	// Policy is "namespace/name" for a NetworkPolicy, and the name for a ClusterNetworkPolicy.
	Policy    string `json:"policy"`
	Direction string `json:"direction"`
	// Rule is the index of the rule in the policy, starting at 0. It is nil for the packets that were
	// denied because the policy isolates the pod and no rule of any policy matched.
	Rule *int `json:"rule"`
	// Text describes the rule in the same way as explain.
	Text string `json:"text"`
	report.Use
}

// New combines policies with the counters of nodes. It lists the rules in the order of tier, policy,
// direction and position. `now` is the time at which WriteText computes ages.
func New(policies []*policy.Policy, nodes []Node, f Filter, now time.Time) *Hits {
	out := &Hits{TypeMeta: query.NewTypeMeta("Hits"), Rules: []Rule{}, Now: now, Unused: f.Unused, Namespace: f.Namespace}
	for i := range nodes {
		switch n := &nodes[i]; {
		case n.Hits == nil:
			out.Missing = append(out.Missing, Missing{n.Name, n.Err.Error()})
			continue
		case n.Hits.Overflow:
			out.Overflow = append(out.Overflow, n.Name)
		}
		out.Nodes++
	}
	uses := NewUses(nodes)
	out.Since = uses.since
	for _, p := range sorted(policies) {
		if f.Namespace != "" && p.Scope != f.Namespace {
			continue
		}
		for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
			for _, r := range rulesOf(p, d, uses) {
				if !f.Unused || r.unused() {
					out.Rules = append(out.Rules, r)
				}
			}
		}
	}
	return out
}

// OfNode returns the counters of one node without the policies of the cluster. The text of a rule is
// then only its position.
func OfNode(n Node, f Filter, now time.Time) *Hits {
	out := New(nil, []Node{n}, f, now)
	if n.Hits == nil {
		return out
	}
	for i := range n.Hits.Counters {
		h := &n.Hits.Counters[i]
		if h.Gone || f.Namespace != "" && !strings.HasPrefix(h.Policy, f.Namespace+"/") {
			continue
		}
		r := Rule{h.Tier, h.Policy, h.Direction, h.Rule, deniedText(h.Direction), report.Use{Count: h.Count, Last: h.Last, Since: h.Since, Applied: 1, CountedPartly: h.CountedPartly}}
		if h.Rule != nil {
			r.Text = fmt.Sprintf("%s[%d]", h.Direction, *h.Rule)
		}
		if !f.Unused || r.unused() {
			out.Rules = append(out.Rules, r)
		}
	}
	return out
}

func deniedText(direction string) string { return direction + " denied: no rule matched" }

// unused reports whether the rule was never used. The packets that no rule matched are not a rule.
func (r *Rule) unused() bool { return r.Rule != nil && r.Count == 0 && !r.CountedPartly }

// Complete reports whether every node responded.
func (h *Hits) Complete() bool { return len(h.Missing) == 0 && h.Nodes > 0 }

func sorted(policies []*policy.Policy) []*policy.Policy {
	return slices.SortedFunc(slices.Values(policies), func(a, b *policy.Policy) int {
		if a.Tier != b.Tier {
			return int(a.Tier) - int(b.Tier)
		}
		return strings.Compare(a.String(), b.String())
	})
}

// rulesOf returns the valid rules of a policy for a direction, and the packets that it denies.
func rulesOf(p *policy.Policy, d rule.Direction, uses *Uses) (out []Rule) {
	if !p.Affects(d) {
		return nil
	}
	name, tier := p.String(), ""
	if p.Tier != rule.NetworkPolicyTier {
		tier = p.Tier.String()
	}
	fingerprints := fingerprint.Rules(p, d)
	for i := range p.Rules(d) {
		if r := &p.Rules(d)[i]; !r.Invalid {
			index := i
			out = append(out, Rule{tier, name, d.String(), &index, r.String(), uses.Rule(fingerprints[i])})
		}
	}
	if p.Isolates[d] {
		out = append(out, Rule{tier, name, d.String(), nil, deniedText(d.String()), uses.Denied(name, d)})
	}
	return out
}

// Uses contains the sums of the counters of nodes.
type Uses struct {
	// since is the latest time at which one of the nodes started to count.
	since time.Time
	rules map[string]*report.Use
}

// NewUses adds up the counters of the nodes that responded.
func NewUses(nodes []Node) *Uses {
	u := &Uses{rules: map[string]*report.Use{}}
	for i := range nodes {
		if nodes[i].Hits == nil {
			continue
		}
		if since := nodes[i].Hits.Since; since.After(u.since) {
			u.since = since
		}
		for j := range nodes[i].Hits.Counters {
			u.add(&nodes[i].Hits.Counters[j])
		}
	}
	return u
}

func (u *Uses) add(h *report.RuleHits) {
	key := h.Fingerprint
	if h.Rule == nil {
		key = deniedKey(h.Policy, h.Direction)
	}
	sum := u.rules[key]
	if sum == nil {
		sum = &report.Use{Since: h.Since}
		u.rules[key] = sum
	}
	sum.Count += h.Count
	if h.Last.After(sum.Last) {
		sum.Last = h.Last
	}
	if h.Since.Before(sum.Since) {
		sum.Since = h.Since
	}
	if !h.Gone {
		sum.Applied++
	}
	sum.CountedPartly = sum.CountedPartly || h.CountedPartly
}

// Rule returns the use of a rule with the given fingerprint. See package fingerprint.
func (u *Uses) Rule(sum uint64) report.Use { return u.use(report.FingerprintText(sum)) }

// Denied returns the number of packets that were denied because a NetworkPolicy isolates the pod for
// a direction, and no rule of any policy matched.
func (u *Uses) Denied(policyName string, d rule.Direction) report.Use {
	return u.use(deniedKey(policyName, d.String()))
}

// use returns the use with a key. A rule that appeared before all nodes started to count is complete
// only from the latest start.
func (u *Uses) use(key string) report.Use {
	sum := u.rules[key]
	if sum == nil {
		return report.Use{}
	}
	out := *sum
	if u.since.After(out.Since) {
		out.Since = u.since
	}
	return out
}

func deniedKey(policyName, direction string) string { return policyName + " " + direction }
