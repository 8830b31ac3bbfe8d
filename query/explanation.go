package query

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// maxNearMisses is the maximum number of near misses that the text lists for one side.
const maxNearMisses = 4

// WriteWide writes the text with all near misses.
func (e *Explanation) WriteWide(out io.Writer) error {
	e.showAll()
	return e.WriteText(out)
}

func (e *Explanation) showAll() {
	e.all = true
	if e.OtherFamily != nil {
		e.OtherFamily.showAll()
	}
	for i := range e.Backends {
		e.Backends[i].showAll()
	}
}

// WriteText writes the explanation as human-readable text.
func (e *Explanation) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %s to %s", e.headline(), &e.From, e.destination())
	if e.Node != "" {
		fmt.Fprintf(w, ", evaluated by node %s", e.Node)
	}
	fmt.Fprint(w, "\n\n")
	if e.Service == nil {
		e.writeFamilies(w)
	} else {
		e.writeBackends(w)
	}
	writeHints(w, e.Hints)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing explanation: %w", err)
	}
	return nil
}

// headline returns the verdict for the first line.
func (e *Explanation) headline() string {
	switch {
	case e.Verdict != Mixed:
		return phrase.Verdict(e.Verdict)
	case e.OtherFamily != nil && len(e.Backends) < 2:
		return fmt.Sprintf("%s over IPv4, %s over IPv6", phrase.Verdict(e.own()), strings.ToLower(phrase.Verdict(e.OtherFamily.Verdict)))
	default:
		return "Partly allowed"
	}
}

// The method `own` returns the verdict for the flow between From and To, regardless of the other
// family and of other backends.
func (e *Explanation) own() string {
	if e.Egress.Verdict == e.Ingress.Verdict {
		return e.Egress.Verdict
	}
	return rule.Deny.String()
}

// destination describes the destination and the port for the first line.
func (e *Explanation) destination() string {
	if e.Service == nil {
		return fmt.Sprintf("%s on %s", &e.To, portText(e.Protocol, e.Port))
	}
	port := int(e.Service.Port)
	return fmt.Sprintf("Service %s on %s", e.Service.Name, portText(e.Service.Protocol, &port))
}

// writeFamilies writes both sides of the flow, for each address family that has its own verdict.
func (e *Explanation) writeFamilies(w io.Writer) {
	if e.OtherFamily != nil {
		fmt.Fprintln(w, "  Over IPv4:")
	}
	e.writeSide(w, rule.Egress, &e.From)
	e.writeSide(w, rule.Ingress, &e.To)
	if e.OtherFamily != nil {
		fmt.Fprintln(w, "  Over IPv6:")
		e.OtherFamily.writeFamilies(w)
		writeHints(w, e.OtherFamily.Hints)
	}
}

// writeBackends writes the backends of the Service, and the reasons for each group of backends that
// have the same decision.
func (e *Explanation) writeBackends(w io.Writer) {
	s := e.Service
	groups := groupBackends(e.Backends)
	fmt.Fprintf(w, "  %s -> %s", s.title(), s.translation())
	if len(groups) == 1 {
		fmt.Fprintf(w, ": %s", backendNames(groups[0]))
	}
	fmt.Fprintln(w)
	for _, group := range groups {
		if len(groups) > 1 {
			fmt.Fprintf(w, "\n  %s for %s:\n", group[0].headline(), backendNames(group))
		}
		group[0].writeFamilies(w)
		writeHints(w, group[0].Hints)
	}
}

func backendNames(group []*Explanation) string {
	var names []string
	for _, b := range group {
		names = append(names, b.To.String())
	}
	return phrase.Few(names)
}

func writeHints(w io.Writer, hints []string) {
	for _, hint := range hints {
		fmt.Fprintf(w, "  Hint: %s\n", hint)
	}
}

// groupBackends groups the backends with the same decision. Groups with denied backends come first.
func groupBackends(all []Explanation) [][]*Explanation {
	var groups [][]*Explanation
	index := map[string]int{}
	for i := range all {
		e := &all[i]
		key := fmt.Sprint(e.Verdict, e.sidesText())
		if e.OtherFamily != nil {
			key += e.OtherFamily.sidesText()
		}
		at, found := index[key]
		if !found {
			at, groups = len(groups), append(groups, nil)
			index[key] = at
		}
		groups[at] = append(groups[at], e)
	}
	allowed := func(g []*Explanation) int {
		if g[0].Verdict == rule.Allow.String() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(groups, func(a, b []*Explanation) int { return allowed(a) - allowed(b) })
	return groups
}

// sidesText returns a text that is equal for explanations with the same decision.
func (e *Explanation) sidesText() string {
	var b strings.Builder
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		s := e.side(d)
		fmt.Fprintln(&b, s.Reason, s.Verdict, s.Tier, s.Text, s.IsolatedBy)
		if s.Policy != nil {
			fmt.Fprintln(&b, *s.Policy, *s.Rule)
		}
		writePassed(&b, d, s)
		e.writeNearMisses(&b, s.NearMisses)
	}
	return b.String()
}

// portText returns a text such as "TCP port 80", or only the protocol if the
// protocol has no ports.
func portText(protocol string, port *int) string {
	if port == nil {
		return protocol
	}
	return fmt.Sprintf("%s port %d", protocol, *port)
}

func (e *Explanation) writeSide(w io.Writer, d rule.Direction, end *End) {
	s := e.side(d)
	is := "is allowed"
	if s.Verdict == rule.Deny.String() {
		is = "is denied"
	}
	side := "Egress from "
	if d == rule.Ingress {
		side = "Ingress to "
	}
	side += end.details()
	switch s.Reason {
	case rule.NotIsolated.String():
		fmt.Fprintf(w, "  %s %s: no policy isolates the pod for %s.\n", side, is, d)
		writePassed(w, d, s)
	case rule.Matched.String():
		writeMatched(w, side+" "+is, d, s)
		e.writeNearMisses(w, s.NearMisses)
	case rule.NoRuleMatched.String():
		fmt.Fprintf(w, "  %s %s: the pod is isolated for %s, and no rule allows this flow.\n", side, is, d)
		writePassed(w, d, s)
		writeIsolation(w, d, s)
		e.writeNearMisses(w, s.NearMisses)
	case rule.SameNode.String():
		fmt.Fprintf(w, "  %s %s: no policy denies traffic from the pod's own node, so that probes work.\n", side, is)
	case rule.SamePod.String():
		fmt.Fprintf(w, "  %s %s: NetworkPolicies do not apply to traffic from a pod to itself.\n", side, is)
		writePassed(w, d, s)
	case rule.Elsewhere.String():
		fmt.Fprintf(w, "  %s is not evaluated: it is not a pod of this node. If it is a pod of another node, that node evaluates its %s.\n", side, d)
	default:
		writeExternal(w, side, is, end)
	}
}

// writeMatched writes a side whose verdict comes from a rule. The `decided` parameter is the
// beginning of the sentence, such as "Ingress to shop/db is denied".
func writeMatched(w io.Writer, decided string, d rule.Direction, s *report.Side) {
	if s.Tier == "" {
		fmt.Fprintf(w, "  %s by a rule.\n", decided)
		writePassed(w, d, s)
		fmt.Fprintf(w, "    Rule: %s %s\n", *s.Policy, s.Text)
		writeUse(w, s)
		writeIsolation(w, d, s)
		return
	}
	fmt.Fprintf(w, "  %s by %s.\n", decided, tierRule(d, s.Tier, *s.Policy, *s.Rule, &s.RuleDetails))
	writePassed(w, d, s)
	if s.Priority != nil {
		fmt.Fprintf(w, "    Rule: %s\n", s.Text)
	}
	writeUse(w, s)
}

// writeUse writes how often the rule that decided a side was used.
func writeUse(w io.Writer, s *report.Side) {
	if s.Use != nil {
		fmt.Fprintf(w, "    The rule was %s.\n", s.Use)
	}
}

// tierRule names a rule of a ClusterNetworkPolicy with its tier.
func tierRule(d rule.Direction, tier, policyName string, index int, r *report.RuleDetails) string {
	name := phrase.Place(d, index)
	if r.RuleName != "" {
		name = fmt.Sprintf("%q", r.RuleName)
	}
	return fmt.Sprintf("rule %s of %s", name, tierPolicy(tier, policyName, r.Priority))
}

// tierPolicy names a policy. For a ClusterNetworkPolicy, it adds the kind, the tier and the priority.
func tierPolicy(tier, policyName string, priority *int32) string {
	switch {
	case tier == "":
		return policyName
	case priority == nil:
		return fmt.Sprintf("ClusterNetworkPolicy %s (%s tier)", policyName, tier)
	default:
		return fmt.Sprintf("ClusterNetworkPolicy %s (%s tier, priority %d)", policyName, tier, *priority)
	}
}

// writePassed writes the rules that passed the flow to the next tier, one per line.
func writePassed(w io.Writer, d rule.Direction, s *report.Side) {
	for i := range s.Passed {
		p := &s.Passed[i]
		fmt.Fprintf(w, "    Passed to the next tier by %s", tierRule(d, p.Tier, p.Policy, p.Rule, &p.RuleDetails))
		if p.Priority != nil {
			fmt.Fprintf(w, ": %s", p.Text)
		}
		fmt.Fprintln(w)
	}
}

// writeExternal writes a side to which no policy can apply, because the end on this side is an
// address outside the cluster, a node, or a pod in the host network.
func writeExternal(w io.Writer, side, is string, end *End) {
	if end.hostNetwork {
		fmt.Fprintf(w, "  %s %s: the pod is in its node's network, where no policy applies.\n", side, is)
		return
	}
	fmt.Fprintf(w, "  %s %s: it is not a pod, so no policy applies.\n", side, is)
}

func writeIsolation(w io.Writer, d rule.Direction, s *report.Side) {
	fmt.Fprintf(w, "    Isolated for %s by %s.\n", d, phrase.Few(s.IsolatedBy))
}

func (e *Explanation) writeNearMisses(w io.Writer, misses []report.NearMiss) {
	for i := range misses {
		m := &misses[i]
		policyName := tierPolicy(m.Tier, m.Policy, m.Priority)
		switch {
		case i == maxNearMisses && !e.all:
			fmt.Fprintf(w, "    %s (-o wide lists all).\n", phrase.Number(len(misses)-i, "more rule almost matches", "more rules almost match"))
			return
		case m.Unmatched:
			fmt.Fprintf(w, "    No address matches the peers of a rule for this port: %s %s\n", policyName, m.Text)
		case m.Differs == rule.PortPart.String():
			fmt.Fprintf(w, "    This peer is allowed on other ports (%s): %s %s\n", phrase.Few(m.Ports), policyName, m.Text)
		default:
			fmt.Fprintf(w, "    Other peers are allowed on this port: %s %s\n", policyName, m.Text)
		}
	}
}
