package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// causeKey identifies the decisions of a side before and after the change.
type causeKey struct {
	direction     rule.Direction
	before, after rule.Side
}

// cause returns the cause because of which a side is responsible for the new verdict of a flow. If
// the side is not responsible for it, cause returns nil. Equal causes have the same address.
func (c *comparison) cause(d rule.Direction, s *span, verdict rule.Verdict) *Cause {
	if s.before.Verdict == s.after.Verdict || s.after.Verdict != verdict {
		return nil
	}
	key := causeKey{d, s.before, s.after}
	if cause := c.causeOf[key]; cause != nil {
		return cause
	}
	out := c.denial(d, s)
	if verdict == rule.Allow {
		out = c.permission(d, s)
	}
	out.Direction = d.String()
	text := out.Direction + " " + out.Text
	if c.causes[text] == nil {
		c.causes[text] = &out
	}
	c.causeOf[key] = c.causes[text]
	return c.causes[text]
}

// denial explains why a side denies a flow that it allowed before.
func (c *comparison) denial(d rule.Direction, s *span) Cause {
	if source, ok := c.after.tree.Rule(s.after); ok {
		return c.added(d, source, "denies it")
	}
	if source, ok := c.before.tree.Rule(s.before); ok && source.Tier != rule.BaselineTier {
		return c.removed(d, source, "no longer allows it")
	}
	return Cause{
		Policies: c.after.tree.IsolatedBy(s.after),
		Text:     isolating(c.after.tree.IsolatedBy(s.after), "isolates", "isolate", d) + ", and no rule allows it",
	}
}

// permission explains why a side allows a flow that it denied before.
func (c *comparison) permission(d rule.Direction, s *span) Cause {
	allowing, allowed := c.after.tree.Rule(s.after)
	denying, denied := c.before.tree.Rule(s.before)
	switch {
	case allowed && (!denied || !c.existed(d, allowing)):
		return c.added(d, allowing, "allows it")
	case denied:
		return c.removed(d, denying, "no longer denies it")
	}
	isolated := c.before.tree.IsolatedBy(s.before)
	return Cause{
		Policies: isolated,
		Text:     isolating(isolated, "no longer isolates", "no longer isolate", d),
	}
}

// isolating states that policies isolate the pod of a side.
func isolating(policies []string, one, many string, d rule.Direction) string {
	end := " the source"
	if d == rule.Ingress {
		end = " the destination"
	}
	if len(policies) == 1 {
		return "policy " + policies[0] + " " + one + end
	}
	return "policies " + phrase.Few(policies) + " " + many + end
}

// existed reports whether the rule with the given position after the change existed before.
func (c *comparison) existed(d rule.Direction, source rule.Source) bool {
	return has(c.before.policies[source.Policy], d, ruleAt(c.after.policies[source.Policy], d, source.Index))
}

// added describes the effect of a rule that decides after the change.
func (c *comparison) added(d rule.Direction, source rule.Source, verb string) Cause {
	return describe(source, c.after.policies[source.Policy], c.before.policies[source.Policy], d, verb, "added", "")
}

// removed describes the effect of a rule that decided before the change.
func (c *comparison) removed(d rule.Direction, source rule.Source, verb string) Cause {
	return describe(source, c.before.policies[source.Policy], c.after.policies[source.Policy], d, verb, "removed", "no longer applies")
}

// describe describes a rule of the version `of` of a policy. The version `other` is its version in
// the other state, or nil. The `missing` parameter describes a rule that the other version does not
// contain, and the `present` parameter one that it contains.
func describe(source rule.Source, of, other *policy.Policy, d rule.Direction, verb, missing, present string) Cause {
	r := ruleAt(of, d, source.Index)
	out := Cause{Policies: []string{source.Policy}, Field: r.Field}
	at := out.Field
	switch {
	case other == nil:
		out.Change = "policy " + missing
		at += ", " + out.Change
	case has(other, d, r):
		out.Change = present
		at = strings.TrimSuffix(at+" "+present, " ")
	case len(other.Rules(d)) > source.Index && len(other.Rules(d)) == len(of.Rules(d)):
		out.Change = "changed"
		at += " changed"
	default:
		out.Change = missing
		at += " " + missing
	}
	out.Text = fmt.Sprintf("policy %s %s (%s)", source.Policy, verb, at)
	return out
}

func ruleAt(p *policy.Policy, d rule.Direction, index int) *policy.Rule {
	return &p.Rules(d)[index]
}

// has reports whether a policy contains a rule that is equal to r. The policy can be nil.
func has(p *policy.Policy, d rule.Direction, r *policy.Rule) bool {
	return p != nil && slices.ContainsFunc(p.Rules(d), r.Equal)
}
