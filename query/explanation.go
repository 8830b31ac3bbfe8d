package query

import (
	"bufio"
	"fmt"
	"io"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// maxNearMisses is the maximum number of near misses that the text lists for one side.
const maxNearMisses = 4

// WriteText writes the explanation as human-readable text.
func (e *Explanation) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %s to %s on %s", verdictText(e.Verdict), &e.From, &e.To, portText(e.Protocol, e.Port))
	if e.Node != "" {
		fmt.Fprintf(w, ", evaluated by node %s", e.Node)
	}
	fmt.Fprint(w, "\n\n")
	e.writeSide(w, rule.Egress, &e.From)
	e.writeSide(w, rule.Ingress, &e.To)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing explanation: %w", err)
	}
	return nil
}

// verdictText returns "Allowed" or "Denied" for the beginning of a sentence.
func verdictText(verdict string) string {
	if verdict == rule.Allow.String() {
		return "Allowed"
	}
	return "Denied"
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
		writeNearMisses(w, s.NearMisses)
	case rule.NoRuleMatched.String():
		fmt.Fprintf(w, "  %s %s: the pod is isolated for %s, and no rule allows this flow.\n", side, is, d)
		writePassed(w, d, s)
		writeIsolation(w, d, s)
		writeNearMisses(w, s.NearMisses)
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

// writeMatched writes a side that a rule decided. The `decided` parameter is the beginning of the
// sentence, such as "Ingress to shop/db is denied".
func writeMatched(w io.Writer, decided string, d rule.Direction, s *report.Side) {
	if s.Tier == "" {
		fmt.Fprintf(w, "  %s by a rule.\n", decided)
		writePassed(w, d, s)
		fmt.Fprintf(w, "    Rule: %s %s\n", *s.Policy, s.Text)
		writeIsolation(w, d, s)
		return
	}
	fmt.Fprintf(w, "  %s by %s.\n", decided, tierRule(d, s.Tier, *s.Policy, *s.Rule, &s.RuleDetails))
	writePassed(w, d, s)
	if s.Priority != nil {
		fmt.Fprintf(w, "    Rule: %s\n", s.Text)
	}
}

// tierRule names a rule of a ClusterNetworkPolicy with its tier.
func tierRule(d rule.Direction, tier, policyName string, index int, r *report.RuleDetails) string {
	name := place(d, index)
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

// writeExternal writes the side of an end to which no policy can apply. Such an end is an
// address outside the cluster, a node, or a pod in the host network.
func writeExternal(w io.Writer, side, is string, end *End) {
	if end.hostNetwork {
		fmt.Fprintf(w, "  %s %s: the pod is in its node's network, where no policy applies.\n", side, is)
		return
	}
	fmt.Fprintf(w, "  %s %s: it is not a pod, so no policy applies.\n", side, is)
}

func writeIsolation(w io.Writer, d rule.Direction, s *report.Side) {
	fmt.Fprintf(w, "    Isolated for %s by %s.\n", d, few(s.IsolatedBy))
}

func writeNearMisses(w io.Writer, misses []report.NearMiss) {
	for i := range misses {
		m := &misses[i]
		policyName := tierPolicy(m.Tier, m.Policy, m.Priority)
		switch {
		case i == maxNearMisses:
			fmt.Fprintf(w, "    %s (-o json lists all).\n", number(len(misses)-i, "more rule almost matches", "more rules almost match"))
			return
		case m.Differs == rule.PortPart.String():
			fmt.Fprintf(w, "    This peer is allowed on other ports (%s): %s %s\n", few(m.Ports), policyName, m.Text)
		default:
			fmt.Fprintf(w, "    Other peers are allowed on this port: %s %s\n", policyName, m.Text)
		}
	}
}
