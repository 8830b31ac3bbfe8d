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
	case rule.Matched.String():
		fmt.Fprintf(w, "  %s %s by a rule.\n    Rule: %s %s\n", side, is, *s.Policy, s.Text)
		writeIsolation(w, d, s)
	case rule.NoRuleMatched.String():
		fmt.Fprintf(w, "  %s %s: the pod is isolated for %s, and no rule allows this flow.\n", side, is, d)
		writeIsolation(w, d, s)
		writeNearMisses(w, s.NearMisses)
	case rule.SameNode.String():
		fmt.Fprintf(w, "  %s %s: no policy denies traffic from the pod's own node, so that probes work.\n", side, is)
	case rule.SamePod.String():
		fmt.Fprintf(w, "  %s %s: a pod can always reach itself.\n", side, is)
	case rule.Elsewhere.String():
		fmt.Fprintf(w, "  %s is not evaluated: it is not a pod of this node. If it is a pod of another node, that node evaluates its %s.\n", side, d)
	default:
		writeExternal(w, side, is, end)
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
	for i, m := range misses {
		switch {
		case i == maxNearMisses:
			fmt.Fprintf(w, "    %s (-o json lists all).\n", number(len(misses)-i, "more rule almost matches", "more rules almost match"))
			return
		case m.Differs == rule.PortPart.String():
			fmt.Fprintf(w, "    This peer is allowed on other ports (%s): %s %s\n", few(m.Ports), m.Policy, m.Text)
		default:
			fmt.Fprintf(w, "    Other peers are allowed on this port: %s %s\n", m.Policy, m.Text)
		}
	}
}
