package main

import (
	"bufio"
	"fmt"
	"io"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/judge"
)

// explanation is what explain answers; it is its JSON as well.
type explanation struct {
	Verdict string `json:"verdict"`
	// Node is set where one node's tree was asked.
	Node     string        `json:"node,omitempty"`
	From     end           `json:"from"`
	To       end           `json:"to"`
	Protocol string        `json:"protocol"`
	Port     *uint16       `json:"port"`
	Egress   explainedSide `json:"egress"`
	Ingress  explainedSide `json:"ingress"`
}

// explainedSide is one direction of it.
type explainedSide struct {
	Verdict string  `json:"verdict"`
	Reason  string  `json:"reason"`
	Policy  *string `json:"policy"`
	Rule    *int    `json:"rule"`
	// Text is the deciding rule in short.
	Text       string     `json:"text,omitempty"`
	IsolatedBy []string   `json:"isolatedBy,omitempty"`
	Near       []nearMiss `json:"near,omitempty"`

	reason rule.Reason
}

// nearMiss is a rule that would have allowed the flow but for one thing.
type nearMiss struct {
	Policy string `json:"policy"`
	Rule   int    `json:"rule"`
	Text   string `json:"text"`
	// Wrong is "port" when the rule is for this peer, "peer" when it is for
	// this port.
	Wrong string `json:"wrong"`
	// Ports are the ports that the rule allows this peer.
	Ports []string `json:"ports,omitempty"`
}

func newExplanation(f flow.Flow, from, to end) *explanation {
	e := &explanation{From: from, To: to, Protocol: f.Protocol.String()}
	if f.Protocol.HasPorts() {
		e.Port = &f.DstPort
	}
	return e
}

func explainSide(texts *ruleTexts, d rule.Direction, s *judge.Side, other *end) explainedSide {
	out := explainedSide{Verdict: s.Verdict.String(), Reason: s.Reason.String(), IsolatedBy: s.IsolatedBy, reason: s.Reason}
	if s.Reason == rule.Matched {
		out.Policy, out.Rule = &s.Policy, &s.Rule
		out.Text = texts.rule(s.Policy, d, s.Rule, other)
	}
	return out
}

// addNear adds the near misses of a direction that refused for want of a rule.
func (e *explanation) addNear(texts *ruleTexts, d rule.Direction, near []judge.Near) {
	side, other := &e.Egress, &e.To
	if d == rule.Ingress {
		side, other = &e.Ingress, &e.From
	}
	if side.reason != rule.NoRuleMatched {
		return
	}
	for _, n := range near {
		miss := nearMiss{Policy: n.Policy, Rule: n.Rule, Text: texts.rule(n.Policy, d, n.Rule, nil), Wrong: "peer"}
		if n.PeerMatches {
			miss.Wrong, miss.Text = "port", texts.rule(n.Policy, d, n.Rule, other)
			for _, p := range n.Ports {
				miss.Ports = append(miss.Ports, rangeText(p))
			}
		}
		side.Near = append(side.Near, miss)
	}
}

func rangeText(p rule.Ports) string {
	protocol := flow.Protocol(p.Protocol)
	switch {
	case p.First == 0 && p.Last == 65535:
		return fmt.Sprintf("every %s port", protocol)
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", protocol, p.First)
	default:
		return fmt.Sprintf("%s %d-%d", protocol, p.First, p.Last)
	}
}

// write tells it to a person.
func (e *explanation) write(out io.Writer) error {
	w := bufio.NewWriter(out)
	what := e.Protocol
	if e.Port != nil {
		what = fmt.Sprintf("%s port %d", e.Protocol, *e.Port)
	}
	verdict := "Allowed"
	if e.Verdict != rule.Allow.String() {
		verdict = "Refused"
	}
	fmt.Fprintf(w, "%s: %s to %s on %s", verdict, e.From.String(), e.To.String(), what)
	if e.Node != "" {
		fmt.Fprintf(w, ", as node %s judges it", e.Node)
	}
	fmt.Fprint(w, "\n\n")
	e.writeSide(w, rule.Egress, &e.From, &e.Egress)
	e.writeSide(w, rule.Ingress, &e.To, &e.Ingress)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing answer: %w", err)
	}
	return nil
}

func (e *explanation) writeSide(w io.Writer, d rule.Direction, who *end, s *explainedSide) {
	may, mayNot := "may open it", "may not open it"
	if d == rule.Ingress {
		may, mayNot = "lets it in", "does not let it in"
	}
	fmt.Fprintf(w, "  %s", who.String())
	if who.Name != "" {
		fmt.Fprintf(w, " (%s)", who.where())
	}
	switch s.reason {
	case rule.NotIsolated:
		fmt.Fprintf(w, " %s: no policy isolates it for %s.\n", may, d)
	case rule.Matched:
		if s.Verdict == rule.Deny.String() {
			may = mayNot
		}
		fmt.Fprintf(w, " %s.\n    Rule: %s %s\n", may, *s.Policy, s.Text)
		isolation(w, d, s)
	case rule.NoRuleMatched:
		fmt.Fprintf(w, " %s: it is isolated for %s, and no rule allows this.\n", mayNot, d)
		isolation(w, d, s)
		e.writeNear(w, s)
	case rule.SameNode:
		fmt.Fprintf(w, " %s: it comes from the pod's own node, which no policy stops (so that probes work).\n", may)
	case rule.SamePod:
		fmt.Fprintf(w, " %s: a pod always reaches itself.\n", may)
	case rule.Elsewhere:
		fmt.Fprintf(w, " is no pod of this node: if it is a pod of another, that node judges its %s.\n", d)
	default:
		if who.hostNetwork {
			fmt.Fprintf(w, " %s: it is in its node's network, where policies do not apply.\n", may)
			return
		}
		fmt.Fprintf(w, " %s: it is no pod, so there is no policy for its %s.\n", may, d)
	}
}

func isolation(w io.Writer, d rule.Direction, s *explainedSide) {
	fmt.Fprintf(w, "    Isolated for %s by %s.\n", d, few(s.IsolatedBy))
}

// nearShown bounds the near misses in text.
const nearShown = 4

func (e *explanation) writeNear(w io.Writer, s *explainedSide) {
	for i, n := range s.Near {
		if i == nearShown {
			fmt.Fprintf(w, "    and %d more rules that come near (-o json shows them).\n", len(s.Near)-i)
			return
		}
		if n.Wrong == "port" {
			fmt.Fprintf(w, "    Right peer, wrong port (it may use %s): %s %s\n", few(n.Ports), n.Policy, n.Text)
		} else {
			fmt.Fprintf(w, "    Right port, wrong peer: %s %s\n", n.Policy, n.Text)
		}
	}
}
