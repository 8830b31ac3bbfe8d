package hits

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// Summary returns the number of rules and of unused rules, without the counters. The receiver c may
// be nil.
func (c *Counters) Summary() *report.Hits { return c.report(false) }

// Report returns all counters, in the order of tier, policy, direction and rule. The receiver c may
// be nil.
func (c *Counters) Report() *report.Hits { return c.report(true) }

func (c *Counters) report(detailed bool) *report.Hits {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &report.Hits{Since: c.since.UTC(), Overflow: c.overflow}
	denied := map[policyKey]*report.RuleHits{}
	for _, r := range c.records {
		count := c.sum(r.slot) - r.base
		gone := r.table < c.tables
		if !gone && r.index != noRule {
			out.Rules++
			if count == 0 && !r.unqueued {
				out.Unused++
			}
		}
		if !detailed {
			continue
		}
		h := report.RuleHits{Direction: r.direction.String(), Count: count, Since: r.appeared.UTC(), Gone: gone}
		if count > 0 {
			h.Last = c.last(r.slot)
		}
		if r.index == noRule {
			addDenied(denied, r, &h)
			continue
		}
		index := r.index // The record may change later.
		h.Policy, h.Rule, h.CountedPartly = r.policies[0], &index, r.unqueued
		h.Fingerprint = report.FingerprintText(r.key)
		if r.tier != rule.NetworkPolicyTier {
			h.Tier = r.tier.String()
		}
		out.Counters = append(out.Counters, h)
	}
	for _, h := range denied {
		out.Counters = append(out.Counters, *h)
	}
	slices.SortFunc(out.Counters, compare)
	return out
}

// policyKey identifies a NetworkPolicy and a direction.
type policyKey struct {
	policy    string
	direction rule.Direction
}

// addDenied adds the count of a list of policies to the count of each of these policies.
func addDenied(denied map[policyKey]*report.RuleHits, r *record, h *report.RuleHits) {
	for _, policy := range r.policies {
		sum := denied[policyKey{policy, r.direction}]
		if sum == nil {
			first := *h
			first.Policy = policy
			denied[policyKey{policy, r.direction}] = &first
			continue
		}
		sum.Count += h.Count
		sum.Gone = sum.Gone && h.Gone
		if h.Last.After(sum.Last) {
			sum.Last = h.Last
		}
		if h.Since.Before(sum.Since) {
			sum.Since = h.Since
		}
	}
}

// last returns the time of the latest hit of a slot.
func (c *Counters) last(slot uint32) time.Time {
	var seconds int64
	for _, l := range c.lanes {
		seconds = max(seconds, l.cells[slot].last.Load())
	}
	return time.Unix(seconds, 0).UTC()
}

func compare(a, b report.RuleHits) int {
	number := func(h *report.RuleHits) int {
		if h.Rule == nil {
			return math.MaxInt
		}
		return *h.Rule
	}
	return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Direction, b.Direction),
		cmp.Compare(number(&a), number(&b)), cmp.Compare(a.Fingerprint, b.Fingerprint))
}
